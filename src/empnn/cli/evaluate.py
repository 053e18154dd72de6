"""`empnn evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from empnn.cli.common import (
    Fixes,
    Json,
    Quiet,
    ShardOf,
    followed,
    in_options,
    json_document,
    parsed_fix,
    parsed_shard,
    print_json,
    reports_errors,
)
from empnn.cli.oracles import Fmax, Options, Steps, StoreFolder, Workers, parsed_options, relaxation_of
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.bulk.shards import Share
    from empnn.crystals import CrystalBatch
    from empnn.energy.run import Job, Judged
    from empnn.relaxers import BatchRelaxer

DEFAULT_SIGMA = 0.1
EMPNN = "empnn"


@reports_errors
def evaluate(
    data: Annotated[
        str, typer.Option(help="A file of relaxed crystals, or (with --split) a data folder or the name of a set.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A packaged model (see `empnn models`), a model folder or a run directory; pbe by default."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a data folder.")] = "val",
    noise: Annotated[
        float | None, typer.Option(help="Deviation of the strain noise; 0.1 by default, 0 if the cell is kept.")
    ] = None,
    noise_positions: Annotated[
        float | None,
        typer.Option(help="Deviation of the noise on positions in angstrom; 0.1 by default if the model moves atoms."),
    ] = None,
    fixes: Fixes = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    reference: Annotated[
        Path | None,
        typer.Option(help="True relaxed crystals of --data, in its order; no noise is added then.", readable=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many crystals, the first ones.")] = None,
    passes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Applications of the network; by default one, and another where the cell changes much."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the model computes: auto (default), cpu, cuda or cuda:N.")
    ] = None,
    relaxer: Annotated[
        str, typer.Option(help="empnn, or an oracle of `empnn energy` that relaxes the cell by stress.")
    ] = EMPNN,
    option: Options = None,
    fmax: Fmax = None,
    steps: Steps = None,
    workers: Workers = 1,
    store: StoreFolder = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the result as JSON to this file; of shards the folder.")
    ] = None,
    shard: ShardOf = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how much of a deformation the model removes, beside doing nothing (equations 11 and 12)."""
    from empnn.bulk.shards import write_result
    from empnn.crystals import CELL
    from empnn.data.curation.usable import files_in
    from empnn.data.sets import origins
    from empnn.energy.answers import Choice
    from empnn.energy.run import Job
    from empnn.evaluate import as_json as as_content
    from empnn.evaluate import compare, denoise, load_crystals
    from empnn.files import check_outputs, replacing
    from empnn.relax.passes import FAR

    if reference is not None and (noise is not None or noise_positions is not None):
        raise ConfigError("--noise and --reference exclude each other: with a reference no noise is added")
    fix = parsed_fix(fixes)
    if relaxer == EMPNN:
        _only_for_oracles(option, fmax, steps, workers, store)
    else:
        _only_for_empnn(relaxer, model, passes, device, noise_positions)
    share = _share(shard, out)
    check_outputs(
        [out if shard is None else None], files_in([place for place in (data, reference) if place is not None])
    )
    crystals = _first(load_crystals(data, split), limit)
    truth = None if reference is None else _first(load_crystals(reference, split), limit)
    if relaxer == EMPNN:
        relaxing = _network(model, device, passes)
    else:
        choice, relaxation = Choice(relaxer, parsed_options(option)), relaxation_of("cell", fmax, steps)
        job = Job(choice=choice, relaxation=relaxation, workers=workers, store=store)
        relaxing = _oracle(job, len(crystals), quiet)
    if noise is None:
        noise = 0.0 if fix == CELL else DEFAULT_SIGMA
    with relaxing as relaxes:
        if truth is not None:
            result = compare(relaxes, crystals, truth, fix, share)
        else:
            result = denoise(relaxes, crystals, noise, seed, noise_positions, fix, origins(data, split)[:limit], share)
    figures = {**result.as_dict(), "relaxer": relaxer}
    if shard is not None:
        who = [getattr(relaxes, "digest", lambda: None)(), option, fmax, steps, passes or FAR]
        what = [data, split, str(reference), limit, len(crystals), noise, noise_positions, fix, seed]
        write_result(Path(str(out)), share, {"relaxer": relaxer, "of": [*who, *what], "part": as_content(result)})
    elif out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json_document(figures))
    tell(figures, quiet, as_json)


def tell(figures: dict[str, Any], quiet: bool, as_json: bool) -> None:
    """Show what was measured, and end with status 1 if something could not be."""
    if as_json:
        print_json(figures)
    elif not quiet:
        Console(highlight=False).print(_evaluation_table(figures))
    if figures.get("failed"):
        raise typer.Exit(1)


def _share(shard: str | None, out: Path | None) -> Share:
    from empnn.bulk.shards import ALL, Share
    from empnn.files import check_parent

    if shard is None:
        return ALL
    if out is None:
        raise ConfigError("--shard writes a file for `empnn merge`; give the folder of all shards with --out")
    check_parent(out)
    return Share(*parsed_shard(shard))


def _first(crystals: CrystalBatch, limit: int | None) -> CrystalBatch:
    return crystals if limit is None else crystals.select(range(min(limit, len(crystals))))


def _only_for_empnn(relaxer: str, model: object, passes: object, device: object, noise_positions: object) -> None:
    given = {"--model": model, "--passes": passes, "--device": device, "--noise-positions": noise_positions}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} belongs to --relaxer empnn; leave it out for {relaxer}")
    if relaxer.partition(":")[0] == "vasp-inputs":
        raise ConfigError("--relaxer vasp-inputs: it writes files and relaxes nothing; see `empnn energy`")


def _only_for_oracles(option: object, fmax: object, steps: object, workers: int, store: object) -> None:
    more = workers if workers > 1 else None
    given = {"--option": option or None, "--fmax": fmax, "--steps": steps, "--workers": more, "--store": store}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} belongs to a --relaxer that computes energies; leave it out for empnn")


@contextmanager
def _network(model: str | None, device: str | None, passes: int | None) -> Iterator[BatchRelaxer]:
    from empnn.models import DEFAULT
    from empnn.nn.runtime.cpu import tuned
    from empnn.relax import load

    relaxer = load(model or DEFAULT, device)
    relaxer.passes = passes
    with tuned(relaxer.device.type):
        yield relaxer


@contextmanager
def _oracle(job: Job, count: int, quiet: bool) -> Iterator[BatchRelaxer]:
    from empnn.energy.relaxer import OracleRelaxer

    with followed(job.choice.name, count, quiet) as (console, advance):

        def note(judged: Judged) -> None:
            advance()
            words = ([] if judged.message is None else [judged.message]) + judged.warnings
            if words and (judged.failed or not quiet):
                console.print(in_options(f"structure {judged.record.index}: {'; '.join(words)}"), markup=False)

        yield OracleRelaxer(job, note)


def _evaluation_table(figures: dict[str, Any]) -> Table:
    noise = "" if figures["sigma"] is None else f", sigma {figures['sigma']:g}, seed {figures['seed']}"
    kept = f", {figures['fix']} kept" if "fix" in figures else ""
    title = f"{figures['n']:,} structures{noise}{kept}, {figures['seconds']:.1f} s"
    counts = f"{figures['converged']:,} converged, {figures['failed']:,} failed" if "converged" in figures else None
    table = Table(title=title, title_justify="left", caption=counts, caption_justify="left")
    sets = figures.get("sets", {})
    if sets:
        table.add_column("set")
    table.add_column("mean error")
    for column in ("do nothing", "relaxed", "improvement", "removed"):
        table.add_column(column, justify="right")
    for number, (name, part) in enumerate({**sets, "all" if sets else "": figures}.items()):
        if number:
            table.add_section()
        for row, cells in enumerate(_rows(part)):
            table.add_row(*([name if row == 0 else ""] if sets else []), *cells)
    return table


def _rows(figures: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Lengths, angles and positions: the error of doing nothing, that of the answers, and what is gone."""
    for name, unit in (("lengths", "Å"), ("angles", "°"), ("positions", "Å")):
        if f"{name}_mae" in figures:
            before, after = figures[f"noise_{name}"], figures[f"{name}_mae"]
            shown = (f"{value:.3f} {unit}" for value in (before, after, before - after))
            yield name, *shown, f"{figures[f'{name}_removed']:.3f}"
