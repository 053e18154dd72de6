"""`empnn reproduce`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from empnn.cli.common import Json, Quiet, in_options, parsed_shard, print_json, reports_errors
from empnn.cli.oracles import StoreFolder, Workers
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.reproduce.plan import Run
    from empnn.reproduce.scoring import Scoring
    from empnn.training.report import Reporter


class What(StrEnum):
    """What can be reproduced."""

    table1 = "table1"
    table2 = "table2"
    table3 = "table3"
    figure4 = "figure4"
    figure5 = "figure5"


_ENERGIES, _NO_ENERGIES = "sevennet", "none"
_TRAINING = ("budget", "preset", "train", "shard", "threads")
_RELAXERS = ("relaxer", "relaxer_limit")
_ORACLES = ("energies", *_RELAXERS, "workers", "store")
_UNUSED = {
    What.table1: _RELAXERS,
    What.table2: ("energies",),
    What.table3: _ORACLES,
    What.figure4: _TRAINING + _ORACLES,
    What.figure5: _TRAINING + _ORACLES,
}
"""Options that have nothing to say of a table or a figure, as the function names them."""


@reports_errors
def reproduce(
    what: Annotated[What, typer.Argument(metavar="TABLE|FIGURE", help="table1, table2, table3, figure4 or figure5.")],
    budget: Annotated[
        str, typer.Option(metavar="small|full", help="A thirty-second part of the paper's training, or all of it.")
    ] = "small",
    preset: Annotated[
        str, typer.Option(metavar="paper|pegnn", help="The paper's settings, or those of its code.")
    ] = "paper",
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SET", help="carbon_24, mp_20, perov_5; all by default.")
    ] = None,
    storage: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the runs, which any number of processes may share.")
    ] = Path("runs/reproduce"),
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the results; the storage by default.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to score on: val, or test where there is one.")] = "val",
    energies: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORACLE|none",
            help="Finds the energies of Table 1; may be given several times; sevennet by default.",
        ),
    ] = None,
    relaxer: Annotated[
        list[str] | None,
        typer.Option("--relaxer", metavar="ORACLE", help="Oracle in the place of the paper's DFT (Table 2)."),
    ] = None,
    relaxer_limit: Annotated[int, typer.Option(min=1, help="Crystals of each set that it relaxes.")] = 32,
    train: Annotated[bool, typer.Option(help="Train what is not trained yet.")] = True,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Train every N-th run only, from the I-th (0 is first).")
    ] = "0/1",
    threads: Annotated[int, typer.Option(min=0, help="Threads of each training; 0 lets torch decide.")] = 0,
    workers: Workers = 1,
    store: StoreFolder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a table or a figure of the paper: train what it lacks, score it, write it beside the paper's.

    Stopped at any time, the same command goes on. Several at a time share the runs. Sets are found as `data.name` is.
    """
    given = _unlike_defaults(dict(locals()))
    from empnn.names import respelled
    from empnn.reproduce import figures
    from empnn.reproduce.collect import collect
    from empnn.reproduce.paper import SETS
    from empnn.reproduce.plan import BUDGETS, cells_of, sets_of
    from empnn.reproduce.scoring import Scoring
    from empnn.reproduce.training import unique
    from empnn.terminal import stderr

    console = stderr(quiet)

    def say(line: str) -> None:
        console.print(in_options(line), markup=False)

    for name in _UNUSED[what]:
        if name in given:
            option = "--no-train" if name == "train" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} has nothing to say of {what}; leave it out")
    if budget not in BUDGETS:
        raise ConfigError(f"--budget {budget}: choose {' or '.join(BUDGETS)}")
    share = parsed_shard(shard)
    chosen = tuple(respelled(name, SETS) or name for name in sets or sets_of(str(what)))
    folder = out or storage
    if what in (What.figure4, What.figure5):
        folder.mkdir(parents=True, exist_ok=True)
        found = figures.make(str(what), chosen, split, folder, say)
    else:
        cells = cells_of(str(what), BUDGETS[budget], preset, chosen)
        _check(chosen, split, relaxer or [])
        oracles = _of_energies(energies or [], say) if what == What.table1 else ()
        how = Scoring(storage=storage, split=split, oracles=oracles, workers=workers, store=store, say=say)
        folder.mkdir(parents=True, exist_ok=True)
        if train:
            _train(unique(cells), how, share, threads, quiet)
        table = collect(str(what), BUDGETS[budget], preset, chosen, how, relaxer or [], relaxer_limit)
        files = [str(path) for path in table.write(folder)]
        found = {**table.as_dict(), "text": table.markdown(), "files": files}
    if as_json:
        print_json({key: value for key, value in found.items() if key != "text"})
    elif not quiet:
        typer.echo(found.pop("text"))
        say(f"wrote {', '.join(found['files'])}")


def _unlike_defaults(values: dict[str, object]) -> set[str]:
    """The arguments that are not as they are by default."""
    parameters = signature(reproduce).parameters
    return {name for name, value in values.items() if value != parameters[name].default}


def _check(sets: tuple[str, ...], split: str, oracles: list[str]) -> None:
    """Find out before hours of training what will be missing after it."""
    from empnn.data.sets import locate
    from empnn.energy.answers import Choice
    from empnn.evaluate import load_crystals

    for name in oracles:
        Choice(name, {}).load()
    for data in sets:
        load_crystals(locate(None, data), split)


def _train(runs: list[Run], how: Scoring, share: tuple[int, int], threads: int, quiet: bool) -> None:
    from dataclasses import replace

    from empnn.reproduce.training import DONE, train_missing
    from empnn.training.report import Reporter

    if threads:
        runs = [replace(run, overrides=(*run.overrides, f"train.threads={threads}")) for run in runs]

    def reporter() -> Reporter:
        return Reporter(quiet, in_options)

    became = train_missing(runs, how.storage, reporter, how.say, share)
    if len(became) > 1 or DONE not in became:
        how.say(", ".join(f"{count} runs {what}" for what, count in became.items()))


def _of_energies(given: list[str], say: Callable[[str], None]) -> tuple[str, ...]:
    """The oracles; none, with a word, if the default one is not there: the rest of the table does without."""
    from empnn.energy.answers import Choice

    oracles = tuple(dict.fromkeys(given or [_ENERGIES]))
    if oracles == (_NO_ENERGIES,):
        return ()
    try:
        for oracle in oracles:
            Choice(oracle, {}).load()
    except ConfigError as error:
        if given:
            raise
        say(f"no energies: {error}")
        return ()
    return oracles
