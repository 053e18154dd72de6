"""`empnn sweep`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from empnn.cli.common import Json, Quiet, in_options, parsed_shard, print_json, reports_errors
from empnn.terminal import stderr

if TYPE_CHECKING:
    from empnn.search.results import Row
    from empnn.search.sweep import Found


@reports_errors
def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG|KEY=VALUE",
            help="paper-grid, a preset of train or a YAML file, if any; then changes to it, and keys to search over: "
            "lr=[1e-3,1e-4], lr=log(1e-5,1e-2), model.action_layers=range(2,6), data.path=choices(a,b).",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all; every combination by default, 20 if there are ranges.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="A file that processes share, or a database (postgresql://...); sweeps/CONFIG.journal by default.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs, table and picture; FILE without its suffix by default.")
    ] = None,
    halving: Annotated[
        int | None,
        typer.Option(min=1, metavar="STEP", help="Give up two of three trials at this step, and at 3, 9 ... times it."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the order of trials and of what is proposed.")] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Run every N-th trial only, from the I-th (0 is first).")
    ] = "0/1",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search for the best values of keys: many runs of train, compared on the development set.

    Start it several times, on several machines, to share the work; start it again to go on, or to see the table.
    """
    from empnn.search.plan import load_plan
    from empnn.search.sweep import places
    from empnn.search.sweep import sweep as search

    given = list(arguments or [])
    base = given.pop(0) if given and "=" not in given[0] else None
    plan, share = load_plan(base, given, trials, seed, halving), parsed_shard(shard)
    console = stderr(quiet)
    where = places(plan, storage, out)

    def tell(line: str) -> None:
        console.print(in_options(line), markup=False)

    try:
        found = search(plan, *where, tell, quiet, share)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command goes on") from None
    if as_json:
        print_json(found.as_dict())
    elif not quiet:
        _print(found, list(plan.dimensions))
    if not quiet:
        _say_what_is_next(found, console)


def _print(found: Found, keys: list[str]) -> None:
    console = Console(highlight=False, markup=False)
    console.print(_table(found.rows, keys))
    if found.importances:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in found.importances.items())
        console.print(f"importance: {shares}")


def _table(rows: list[Row], keys: list[str]) -> Table:
    table = Table()
    table.add_column("trial", justify="right")
    for key in keys:
        table.add_column(_heading(key, keys), justify="right", overflow="fold")
    for column in ("removed", "at step", "steps", "time"):
        table.add_column(column, justify="right")
    table.add_column("status", overflow="fold")
    for row in rows:
        table.add_row(
            str(row.trial),
            *(_value(row.parameters[key]) if key in row.parameters else "" for key in keys),
            "" if row.score is None else f"{100 * row.score:z.1f} %",
            "" if row.best_step is None else f"{row.best_step:,}",
            f"{row.step:,}",
            "" if row.seconds is None else str(timedelta(seconds=round(row.seconds))),
            row.status if row.message is None else f"{row.status}: {row.message}",
        )
    return table


def _heading(key: str, keys: list[str]) -> str:
    """The last part of a key in words, if no other ends with it."""
    last = key.rpartition(".")[2]
    return last.replace("_", " ") if [other.rpartition(".")[2] for other in keys].count(last) == 1 else key


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _say_what_is_next(found: Found, console: Console) -> None:
    console.print(f"table, picture and runs: {found.folder}", markup=False)
    if found.best is not None:
        console.print(f"the best is trial {found.best.trial}; use it with --model {found.best.run}", markup=False)
