"""`empnn evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from empnn.cli.common import Json, Quiet, print_json, reports_errors, stderr
from empnn.cli.energy import Fmax, Options, Steps, StoreFolder, Workers, parsed_options
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.crystals import CrystalBatch
    from empnn.evaluate import Evaluation

DEFAULT_SIGMA = 0.1
EMPNN = "empnn"


@reports_errors
def evaluate(
    data: Annotated[
        str, typer.Option(help="A file of relaxed crystals, or (with --split) a data folder or the name of a set.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A packaged model (see `empnn models`), a model folder or a run directory; mp-20."),
    ] = None,
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
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many crystals, the first ones.")] = None,
    passes: Annotated[
        int | None, typer.Option(min=1, help="Applications of the network; the model's own number by default.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where the model computes: cpu (default) or cuda.")] = None,
    relaxer: Annotated[
        str, typer.Option(help="empnn, or an oracle of `empnn energy` that relaxes the cell by stress.")
    ] = EMPNN,
    option: Options = None,
    fmax: Fmax = 0.02,
    steps: Steps = 200,
    workers: Workers = 1,
    store: StoreFolder = None,
    out: Annotated[Path | None, typer.Option(help="Also write the result as JSON to this file.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how much of a deformation the model removes, beside doing nothing (equations 11 and 12)."""
    from empnn.data.writing import replacing
    from empnn.evaluate import load_crystals

    if reference is not None and (noise is not None or noise_positions is not None):
        raise ConfigError("--noise and --reference exclude each other: with a reference no noise is added")
    sigma = DEFAULT_SIGMA if noise is None else noise
    if relaxer == EMPNN:
        _only_for_oracles(option, workers, store)
    else:
        _only_for_empnn(relaxer, model, passes, device, noise_positions)
    crystals = _first(load_crystals(data, split), limit)
    truth = None if reference is None else _first(load_crystals(reference, split), limit)
    if relaxer == EMPNN:
        result = _by_network(crystals, truth, model, device or "cpu", passes, (sigma, seed, noise_positions))
    else:
        arguments = (relaxer, parsed_options(option), fmax, steps, workers, store)
        result = _by_oracle(crystals, truth, arguments, (sigma, seed), quiet)
    figures = {**result.as_dict(), "relaxer": relaxer}
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(figures, indent=2) + "\n")
    if as_json:
        print_json(figures)
    elif not quiet:
        Console(highlight=False).print(_evaluation_table(figures))


def _first(crystals: CrystalBatch, limit: int | None) -> CrystalBatch:
    return crystals if limit is None else crystals.select(range(min(limit, len(crystals))))


def _only_for_empnn(relaxer: str, model: object, passes: object, device: object, noise_positions: object) -> None:
    given = {"--model": model, "--passes": passes, "--device": device, "--noise-positions": noise_positions}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} belongs to --relaxer empnn; leave it out for {relaxer}")
    if relaxer.partition(":")[0] == "vasp-inputs":
        raise ConfigError("--relaxer vasp-inputs: it writes files and relaxes nothing; see `empnn energy`")


def _only_for_oracles(option: list[str] | None, workers: int, store: Path | None) -> None:
    for name, given in (("--option", option), ("--workers", workers > 1), ("--store", store)):
        if given:
            raise ConfigError(f"{name} belongs to a --relaxer that computes energies; leave it out for empnn")


def _by_network(
    crystals: CrystalBatch,
    truth: CrystalBatch | None,
    model: str | None,
    device: str,
    passes: int | None,
    noise: tuple[float, int, float | None],
) -> Evaluation:
    from empnn.evaluate import compare, denoise
    from empnn.models import DEFAULT
    from empnn.nn.cpu import tuned
    from empnn.relax import load

    network = load(model or DEFAULT, device)
    with tuned(device):
        if truth is not None:
            return compare(network, crystals, truth, passes)
        sigma, seed, positions = noise
        return denoise(network, crystals, sigma, seed, passes, positions)


def _by_oracle(
    crystals: CrystalBatch,
    truth: CrystalBatch | None,
    arguments: tuple[str, dict[str, Any], float, int, int, Path | None],
    noise: tuple[float, int],
    quiet: bool,
) -> Evaluation:
    from empnn.energy.oracle import Relaxation
    from empnn.energy.run import Job, Judged
    from empnn.energy.workers import Choice
    from empnn.evaluate import compare_by_oracle, denoise_by_oracle

    name, options, fmax, steps, workers, store = arguments
    relaxation = Relaxation(mode="cell", fmax=fmax, steps=steps)
    job = Job(choice=Choice(name, options), relaxation=relaxation, workers=workers, store=store)
    console = stderr(quiet)
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task(name, total=len(crystals))

        def note(judged: Judged) -> None:
            progress.advance(task)
            if judged.message is not None:
                console.print(f"structure {judged.record.index}: {judged.message}", markup=False)

        if truth is not None:
            return compare_by_oracle(job, crystals, truth, note)
        return denoise_by_oracle(job, crystals, *noise, note)


def _evaluation_table(figures: dict[str, Any]) -> Table:
    noise = "" if figures["sigma"] is None else f", sigma {figures['sigma']:g}, seed {figures['seed']}"
    title = f"{figures['n']:,} structures{noise}, {figures['seconds']:.1f} s"
    counts = f"{figures['converged']:,} converged, {figures['failed']:,} failed" if "converged" in figures else None
    table = Table(title=title, title_justify="left", caption=counts, caption_justify="left")
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
