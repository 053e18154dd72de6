"""`empnn relax` and `empnn convert`."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from empnn.cli.common import Device, Fix, Json, Model, Passes, Quiet, gone_through, reports_errors, worded
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.bulk.pipeline import Outcome, Summary, Work

Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN",
        help="Files of crystals, folders, patterns; - for extxyz on stdin.",
        show_default=False,
        readable=False,
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="File to write; its name tells the format. - for extxyz on stdout.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first refused structure.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a run that was stopped had come to.")]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """How files are gone through, and the word for what is done."""

    done: str
    strict: bool
    resume: bool
    quiet: bool
    as_json: bool


@reports_errors
def relax(
    inputs: Inputs,
    output: Output,
    model: Model = "pbe",
    passes: Passes = None,
    fix: Fix = None,
    device: Device = "cpu",
    batch_atoms: Annotated[int, typer.Option(min=1, help="Atoms per batch; bounds memory.")] = 2048,
    resume: Resume = False,
    strict: Strict = False,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Write refused structures unchanged.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Relax crystals: order and species are kept, the cell changes; atoms move in it if the model was trained to.

    Atoms and directions that the input fixes (selective dynamics, constraints) keep their fractional coordinates.
    """
    from empnn.nn.runtime.cpu import tuned
    from empnn.relax import load
    from empnn.relax.files import Relaxing

    work = Relaxing(load(model, device), passes, batch_atoms, keep_failed, fix)
    with tuned(device):
        run = _Run(done="relaxed", strict=strict, resume=resume, quiet=quiet, as_json=as_json)
        _process(inputs, output, work, run)


@reports_errors
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="File, folder or pattern; - for extxyz on stdin.", readable=False)
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write; - for extxyz on stdout.")],
    resume: Resume = False,
    strict: Strict = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write crystals in another format, which the name of OUT tells."""
    from empnn.bulk.pipeline import Conversion

    run = _Run(done="converted", strict=strict, resume=resume, quiet=quiet, as_json=as_json)
    _process([source], target, Conversion(), run)


def _process(inputs: list[Path], output: Path, work: Work, run: _Run) -> None:
    from empnn.bulk.pipeline import CONVERTED, REFUSED, process

    if run.as_json and str(output) == "-":
        raise ConfigError("--json and the output - exclude each other: both want stdout")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as outcomes:
        with gone_through(run.done, run.quiet) as (console, advance, reach):

            def note(outcome: Outcome) -> None:
                advance()
                if outcome.status == REFUSED:
                    console.print(outcome.line, markup=False)
                elif outcome.status == CONVERTED and outcome.warnings and not run.quiet:
                    lost = replace(outcome, message="; ".join(outcome.warnings))
                    console.print(lost.line, markup=False)
                if run.as_json:
                    outcomes.write(f"{json.dumps(worded(vars(outcome)))}\n")

            summary = process(inputs, output, work, note, run.strict, run.resume, reach)
        if run.as_json:
            outcomes.seek(0)
            _print_outcomes(run.done, summary, outcomes)
    if not run.quiet:
        console.print(_closing_line(run.done, summary, output), markup=False)
    if summary.skipped:
        raise typer.Exit(1)


def _print_outcomes(done: str, summary: Summary, lines: IO[str]) -> None:
    """The JSON interface, a structure at a time: there may be millions."""
    sys.stdout.write(f'{{"{done}": {summary.done}, "skipped": {summary.skipped}, "structures": [')
    for index, line in enumerate(lines):
        sys.stdout.write((",\n" if index else "\n") + line.rstrip("\n"))
    sys.stdout.write("]}\n")


def _closing_line(done: str, summary: Summary, output: Path) -> str:
    from empnn.ase_atoms import DOUBTS

    key = "empnn_warnings" if done == "relaxed" else DOUBTS
    doubtful = f" ({summary.suspect:,} suspect: see {key} in the output, or --json)" if summary.suspect else ""
    resumed = f"; {summary.resumed:,} had been done before" if summary.resumed else ""
    if summary.discarded:
        resumed = f"; what an unfinished run had done ({summary.discarded:,}) was discarded without --resume"
    place = "stdout" if str(output) == "-" else str(output)
    written = f"wrote {summary.written:,} to {place}" if summary.written else "nothing written"
    return f"{summary.done:,} {done}{doubtful}, {summary.skipped:,} skipped{resumed}; {written}"
