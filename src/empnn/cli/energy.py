"""`empnn energy`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from empnn.cli.common import Json, Quiet, print_json, reports_errors, stderr
from empnn.cli.relax import Inputs
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.energy.run import Job, Judged

VASP = "vasp-inputs"

OracleName = Annotated[
    str,
    typer.Option(help="chgnet, sevennet, sevennet:7net-l3i5, gpaw, vasp-inputs, or module:Class of an ASE calculator."),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Option of the oracle, as cutoff=800 or kpoint_density=4."),
]
Fmax = Annotated[float, typer.Option(help="Converged below this: eV/angstrom on atoms, eV of virial per atom.")]
Steps = Annotated[int, typer.Option(help="Steps after which a relaxation is given up.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes, with one thread each if more than one.")]
StoreFolder = Annotated[
    Path | None, typer.Option("--store", help="Folder of results; `energies` in the cache folder by default.")
]


@reports_errors
def energy(
    inputs: Inputs,
    oracle: OracleName,
    relax: Annotated[
        str | None, typer.Option(help="none, cell (fractional coordinates held) or all; vasp-inputs: cell by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the crystals with their energies; vasp-inputs: a folder."),
    ] = None,
    option: Options = None,
    fmax: Fmax = 0.02,
    steps: Steps = 200,
    workers: Workers = 1,
    store: StoreFolder = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Energy per atom of crystals, relaxed first if asked for; what was computed once is not computed again."""
    from empnn.data.reading import read
    from empnn.data.writing import writer
    from empnn.energy.oracle import Relaxation, about
    from empnn.energy.registry import ORACLES
    from empnn.energy.run import Job
    from empnn.energy.workers import Choice

    options = parsed_options(option)
    writes_inputs = oracle == VASP
    if writes_inputs:
        options["folder"] = None if output is None else str(output)
    write = writer(output) if output is not None and not writes_inputs else None
    default = ORACLES[oracle].default_mode if oracle in ORACLES else "none"
    relaxation = Relaxation(mode=relax or default, fmax=fmax, steps=steps)
    choice = Choice(oracle, options)
    chosen = choice.load()
    job = Job(choice=choice, relaxation=relaxation, workers=workers, store=store)
    judged = _judge(list(read(*inputs)), job, quiet)
    if write is not None and (written := [marked(one) for one in judged if one.result is not None]):
        write(written)
    if as_json:
        print_json({"oracle": about(chosen), "relax": relaxation.settings, "structures": [j.as_dict() for j in judged]})
    elif not quiet:
        _print_energies(judged)
    if not quiet:
        place = f" in {output}" if output is not None else ""
        stderr().print(f"{_counts(judged)}{place}", markup=False)
    if any(one.failed for one in judged):
        raise typer.Exit(1)


def parsed_options(given: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE as a dictionary; values are YAML.

    Raises:
        ConfigError: If one is not of that form.
    """
    import yaml

    options: dict[str, Any] = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--option {text}: give KEY=VALUE, as in cutoff=800")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--option {text}: the value cannot be read; give a number or [7,7,7]") from None
    return options


def marked(judged: Judged) -> Any:
    """The crystal at the end, with its energy (eV/atom), status and source in info, and the forces (eV/angstrom)."""
    import numpy as np

    from empnn.crystals import replace_cell

    result, record = judged.result, judged.record
    if result is None or record.atoms is None:
        raise ConfigError(f"{record.label}: there is no result to be written")
    shift = 0.0 if result.shift is None else np.array(result.shift)
    atoms: Any = replace_cell(record.atoms, np.array(result.cell), shift)
    if record.id is not None:
        atoms.info.setdefault("material_id", record.id)
    atoms.info |= {
        "empnn_energy_per_atom": result.energy_per_atom,
        "empnn_status": judged.status,
        "empnn_source": record.source,
    }
    return atoms


def _judge(records: list[Any], job: Job, quiet: bool) -> list[Judged]:
    from empnn.energy.run import judge

    console = stderr()
    columns = (TextColumn(job.choice.name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = not quiet and console.is_terminal
    with Progress(*columns, console=console, disable=not shown, transient=True) as progress:
        task = progress.add_task(job.choice.name, total=len(records))

        def note(judged: Judged) -> None:
            progress.advance(task)
            if judged.message is not None and (judged.failed or not quiet):
                console.print(f"{judged.record.label}: {judged.message}", markup=False)
            elif not quiet and not judged.stored:
                console.print(f"{judged.record.label}: {_figures(judged)}", markup=False)

        return judge(records, job, note)


def _figures(judged: Judged) -> str:
    result = judged.result
    if result is None:
        return judged.status
    steps = f", {result.steps} steps" if result.steps else ""
    return f"{judged.status}, {result.energy_per_atom:.4f} eV/atom{steps}, {result.seconds:.2f} s"


def _print_energies(judged: list[Judged]) -> None:
    for one in judged:
        if one.result is not None:
            sys.stdout.write(f"{one.record.label}\t{one.result.energy_per_atom:.6f} eV/atom\t{one.status}\n")


def _counts(judged: list[Judged]) -> str:
    counts = Counter(one.status for one in judged)
    return ", ".join(f"{number:,} {status}" for status, number in counts.items()) or "nothing to do"
