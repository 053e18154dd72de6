"""`empnn reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from empnn.cli.common import Device, Inputs, Json, Quiet, reports_errors
from empnn.cli.oracles import Options, StoreFolder, Workers, parsed_options, relaxation_of
from empnn.cli.relax import Ending, Output, Resume, Run, Strict, process, target_of
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.energy.run import Job


@reports_errors
def reconstruct(
    inputs: Inputs,
    output: Output,
    ending: Ending = None,
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="Network that starts from a cube.")
    ] = "mp-20-reconstruct",
    refine: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Network that goes on from there; by default the one MODEL names."),
    ] = None,
    bases: Annotated[
        int,
        typer.Option(
            min=1,
            max=649,
            help="Bases to try, the given one first: 1 if coordinates are in a reduced basis, else 109 or 649, which "
            "are all that two or three elementary matrices lead to. Time grows with it.",
        ),
    ] = 1,
    starts: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Starts to go on from, the most promising of the cubes in these bases and of 20 other shapes. "
            "[default: 4, or 16 of several bases]",
        ),
    ] = None,
    rank: Annotated[
        str,
        typer.Option(
            metavar="agreement|residual|errors|none|ORACLE",
            help="What is best of these: the least predicted error times the strain that the second pass made, the "
            "least strain of one more pass, the least predicted error, none but the cube in the given basis, or the "
            "lowest energy by an oracle (chgnet, sevennet ...).",
        ),
    ] = "agreement",
    passes: Annotated[int, typer.Option(min=1, max=1000, help="Passes of the second network.")] = 8,
    option: Options = None,
    workers: Workers = 1,
    store: StoreFolder = None,
    device: Device = "auto",
    resume: Resume = False,
    strict: Strict = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find cells from fractional coordinates and species alone (Table 3); the cells of the input are not looked at.

    A start depends on the basis of the coordinates, and a reduced one mostly does; else try more (`--bases`).
    """
    from empnn.nn.runtime.cpu import tuned
    from empnn.relax.reconstruct import NONE, RANKS, load
    from empnn.relax.reconstruct.files import How, Reconstructing
    from empnn.relax.reconstruct.shapes import shapes

    most = bases + len(shapes())
    if starts is not None and starts > most:
        raise ConfigError(f"--starts {starts}: {bases} bases have {most} starts; give more --bases")
    if rank == NONE and (bases > 1 or starts is not None):
        raise ConfigError(f"--rank {NONE}: goes on from the cube in the given basis; give no --bases and no --starts")
    job = None if rank in (*RANKS, NONE) else _job(rank, option, workers, store)
    if job is None and (option or workers != 1 or store is not None):
        raise ConfigError(f"--option, --workers and --store are those of an oracle, which --rank {rank} does not name")
    target = target_of(output, ending)
    found = load(model, refine, device)
    work = Reconstructing(found, How(bases=bases, starts=starts, passes=passes, rank=rank), job)
    with tuned(found.first.device.type):
        run = Run(done="reconstructed", strict=strict, resume=resume, quiet=quiet, as_json=as_json)
        process(inputs, target, work, run)


def _job(oracle: str, option: list[str] | None, workers: int, store: Path | None) -> Job:
    from empnn.energy.answers import Choice
    from empnn.energy.oracles.registry import ORACLES
    from empnn.energy.run import Job
    from empnn.names import suggestion
    from empnn.relax.reconstruct import NONE, RANKS

    if oracle.partition(":")[0] not in ORACLES and ":" not in oracle:
        raise ConfigError(
            f"--rank {oracle}: choose {', '.join((*RANKS, NONE))} or an oracle{suggestion(oracle, ORACLES)}"
        )
    choice = Choice(oracle, parsed_options(option))
    choice.load()
    return Job(choice=choice, relaxation=relaxation_of("none", None, None), workers=workers, store=store)
