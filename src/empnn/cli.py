"""The command line: `empnn relax | train | evaluate | models | fields`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from empnn import __version__
from empnn.errors import ConfigError, CrystalError

Command = TypeVar("Command", bound=Callable[..., Any])

app = typer.Typer(
    help="Relax the unit cells of crystals with an equivariant network: milliseconds each, no forces needed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
Model = Annotated[str, typer.Option(help="A packaged model (see `empnn models`), a model folder or a run directory.")]
Passes = Annotated[
    int | None, typer.Option(min=1, help="Applications of the network; the model's own number by default.")
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")]

INTERRUPTED = 130
DEFAULT_SIGMA = 0.1


def main() -> None:
    """Entry point of the `empnn` command."""
    app()


def reports_errors(command: Command) -> Command:
    """Turn what a user can cause into one line on stderr and an exit status."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings():
                # What libraries warn their programmers of is no concern of whoever types a command.
                warnings.simplefilter("ignore")
                return command(*args, **kwargs)
        except ConfigError as error:
            _fail(f"empnn: {error}")
        except CrystalError as error:
            _fail(str(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            _fail(f"empnn: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        except MemoryError:
            _fail("empnn: out of memory; use a smaller --batch-atoms or train.batch_size")
        except KeyboardInterrupt:
            _fail("empnn: interrupted", INTERRUPTED)

    return wrapper  # type: ignore[return-value]


def _fail(message: str, status: int = 1) -> None:
    """Print one line on stderr and leave."""
    _stderr().print(" ".join(message.split()), markup=False)
    raise typer.Exit(status)


def _stderr(quiet: bool = False) -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, quiet=quiet)


def _print_json(content: object) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the program itself."""
    if show:
        typer.echo(f"empnn {__version__}")
        raise typer.Exit


@app.command()
@reports_errors
def relax(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN", help="Files of crystals.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its name tells the format.")],
    model: Model = "mp-20",
    passes: Passes = None,
    device: Device = "cpu",
    batch_atoms: Annotated[int, typer.Option(min=1, help="Atoms per batch; bounds memory.")] = 2048,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first refused structure.")] = False,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Write refused structures unchanged.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Relax crystals: order and species are kept, the cell changes; atoms move in it if the model was trained to."""
    from empnn.nn.cpu import tuned
    from empnn.relax import load
    from empnn.relax_files import REFUSED, RelaxOptions, relax_files

    console = _stderr()
    options = RelaxOptions(passes=passes, batch_atoms=batch_atoms, strict=strict, keep_failed=keep_failed)
    columns = (TextColumn("relaxing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task("relax", total=None)

        def show(outcome: Any) -> None:
            progress.advance(task)
            if outcome.status == REFUSED:
                console.print(outcome.line, markup=False)

        relaxer = load(model, device)
        with tuned(device):
            result = relax_files(inputs, output, relaxer, options, show)
    if as_json:
        _print_json(result.as_dict())
    relaxed = len(result.outcomes) - result.skipped
    suspect = sum(o.status == "suspect" for o in result.outcomes)
    doubtful = f" ({suspect:,} suspect: see empnn_warnings in the output, or --json)" if suspect else ""
    written = f"wrote {result.written:,} to {output}" if result.written else "nothing written"
    if not quiet:
        console.print(f"{relaxed:,} relaxed{doubtful}, {result.skipped:,} skipped; {written}", markup=False)
    if result.skipped:
        raise typer.Exit(1)


@app.command()
@reports_errors
def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG.yaml|PRESET] [KEY=VALUE]...", help="Configuration and changes to it."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this directory.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train on relaxed crystals: no energies, forces or stresses needed."""
    from empnn.training.config import load_config
    from empnn.training.report import Reporter
    from empnn.training.run import resume as resume_run
    from empnn.training.run import train as train_run

    given = list(arguments or [])
    if resume is not None:
        if given:
            raise ConfigError(f"--resume goes on with the run's own configuration; leave out {' '.join(given)}")
        folder = resume_run(resume, Reporter(quiet))
    else:
        base = given.pop(0) if given and "=" not in given[0] else None
        folder = train_run(load_config(base, given), Reporter(quiet))
    if as_json:
        _print_json({"run": str(folder), **json.loads((folder / "last" / "state.json").read_text())})


@app.command()
@reports_errors
def evaluate(
    data: Annotated[Path, typer.Option(help="A file of relaxed crystals, or a data folder (with --split).")],
    model: Model = "mp-20",
    split: Annotated[str, typer.Option(help="Split of a data folder.")] = "val",
    noise: Annotated[float | None, typer.Option(help="Deviation of the strain noise; 0.1 by default.")] = None,
    noise_positions: Annotated[
        float | None,
        typer.Option(help="Deviation of the noise on positions in angstrom; 0.1 by default if the model moves atoms."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    reference: Annotated[
        Path | None, typer.Option(help="True relaxed crystals of --data, in its order; no noise is added then.")
    ] = None,
    passes: Passes = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON to this file.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how much of a deformation the model removes, beside doing nothing (equations 11 and 12)."""
    from empnn.data.writing import replacing
    from empnn.evaluate import compare, denoise, load_crystals
    from empnn.nn.cpu import tuned
    from empnn.relax import load

    if reference is not None and (noise is not None or noise_positions is not None):
        raise ConfigError("--noise and --reference exclude each other: with a reference no noise is added")
    relaxer = load(model, device)
    crystals = load_crystals(data, split)
    with tuned(device):
        if reference is None:
            sigma = DEFAULT_SIGMA if noise is None else noise
            result = denoise(relaxer, crystals, sigma, seed, passes, noise_positions)
        else:
            result = compare(relaxer, crystals, load_crystals(reference, split), passes)
    figures = result.as_dict()
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")
    if as_json:
        _print_json(figures)
    elif not quiet:
        Console(highlight=False).print(_evaluation_table(figures))


def _evaluation_table(figures: dict[str, Any]) -> Table:
    noise = "" if figures["sigma"] is None else f", sigma {figures['sigma']:g}, seed {figures['seed']}"
    table = Table(title=f"{figures['n']:,} structures{noise}, {figures['seconds']:.1f} s", title_justify="left")
    table.add_column("mean absolute error")
    for column in ("do nothing", "relaxed", "improvement", "removed"):
        table.add_column(column, justify="right")
    for name, unit in (("lengths", "Å"), ("angles", "°")):
        values = [figures[key] for key in (f"noise_{name}", f"{name}_mae", f"{name}_improvement")]
        table.add_row(name, *(f"{v:.3f} {unit}" for v in values), f"{figures[f'{name}_removed']:.3f}")
    if "positions_mae" in figures:
        before, after = figures["noise_positions"], figures["positions_mae"]
        row = (f"{before:.3f} Å", f"{after:.3f} Å", f"{before - after:.3f} Å", f"{figures['positions_removed']:.3f}")
        table.add_row("positions", *row)
    return table


@app.command()
@reports_errors
def models(
    name: Annotated[str | None, typer.Argument(help="Print the whole card of this model.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the packaged weights with their cards."""
    from empnn.models import card_of, packaged

    cards = {n: card_of(n) for n in ([name] if name else packaged())}
    if as_json or name:
        _print_json(cards[name] if name else cards)
        return
    if quiet:
        return
    if not cards:
        _stderr().print("no models are packaged; give --model a model folder or a run directory")
        return
    table = Table()
    for column in ("name", "trained on", "removed at sigma 0.1 (lengths / angles)", "licence of the data"):
        table.add_column(column)
    for key, card in cards.items():
        scores = next((r for r in card.get("metrics", []) if r["sigma"] == 0.1), None)
        removed = f"{scores['lengths_removed']:.3f} / {scores['angles_removed']:.3f}" if scores else "-"
        table.add_row(key, card.get("data", "-"), removed, card.get("licence", "-"))
    Console(highlight=False).print(table)


@app.command()
@reports_errors
def fields(quiet: Quiet = False, as_json: Json = False) -> None:
    """List the vector fields: the rows of the paper's Table 2 with their formulas, and the single fields."""
    from empnn.fields import EDGE_FIELDS, TABLE2, TRIPLET_FIELDS

    rows = {key: row.formula for key, row in TABLE2.items()}
    single = {
        "edges": {name: field.formula for name, field in EDGE_FIELDS.items()},
        "triplets": {name: field.formula for name, field in TRIPLET_FIELDS.items()},
    }
    if as_json:
        _print_json({"rows": rows, **single})
    elif not quiet:
        table = Table("model.fields", "formulas, u = v / r, primes for the second leg", title="rows of Table 2")
        for key, formula in rows.items():
            table.add_row(key, formula)
        console = Console(highlight=False, markup=False)
        console.print(table)
        for kind, named in single.items():
            console.print(f"single fields on {kind}: {', '.join(named)}")
