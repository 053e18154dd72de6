"""`empnn energy`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from empnn.cli.common import (
    IN_PLACE,
    Cluster,
    Inputs,
    Json,
    Quiet,
    ShardOf,
    gone_through,
    in_options,
    print_long_json,
    reports_errors,
    worded,
)
from empnn.cli.oracles import Fmax, Options, Steps, StoreFolder, Workers, parsed_options, relaxation_of
from empnn.cli.relax import DONE, Resume, Run, any_target, process
from empnn.errors import ConfigError
from empnn.terminal import stderr

if TYPE_CHECKING:
    from empnn.bulk.pipeline import Reached
    from empnn.data.records import Record
    from empnn.energy.run import Job, Judged

VASP = "vasp-inputs"

OracleName = Annotated[
    str,
    typer.Option(help="chgnet, sevennet, sevennet:7net-l3i5, gpaw, vasp-inputs, or module:Class of an ASE calculator."),
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
        typer.Option(
            "--output",
            "-o",
            help="File for the crystals with their energies; vasp-inputs, --shard and --cluster: a folder.",
        ),
    ] = None,
    ending: Annotated[
        str | None, typer.Option("--format", metavar="extxyz|...", help="Format of shards; extxyz by default.")
    ] = None,
    option: Options = None,
    fmax: Fmax = None,
    steps: Steps = None,
    workers: Workers = 1,
    store: StoreFolder = None,
    shard: ShardOf = None,
    cluster: Cluster = None,
    resume: Resume = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute the energy per atom of crystals, relaxed first if asked for; what is known is not computed again."""
    from empnn.bulk.pipeline import Reached
    from empnn.data.reading import files_of, read
    from empnn.data.writing import writer
    from empnn.energy.answers import Choice
    from empnn.energy.files import Judging, with_energy
    from empnn.energy.oracle import about
    from empnn.energy.oracles.registry import ORACLES
    from empnn.energy.run import Job
    from empnn.files import check_outputs

    options = parsed_options(option)
    if oracle == VASP:
        options |= _options_of_inputs(output, fmax, steps)
    how = "--cluster" if shard is None else "--shard"
    in_shards = shard is not None or cluster is not None
    if in_shards:
        _check_shards(how, oracle, output)
    else:
        _only_with_shards(ending, resume)
    write = writer(output) if output is not None and oracle != VASP and not in_shards else None
    check_outputs([output if write else None], [file for path in inputs for file in files_of(path)])
    default = ORACLES[oracle].default_mode if oracle in ORACLES else "none"
    relaxation = relaxation_of(relax or default, fmax, steps)
    choice = Choice(oracle, options)
    about_it = about(choice.load())
    # Nothing that VASP's inputs take could kill this process.
    job = Job(choice=choice, relaxation=relaxation, workers=0 if oracle == VASP else workers, store=store)
    if in_shards:
        run = Run(done=DONE[Judging.name], strict=False, resume=resume, quiet=quiet, as_json=as_json)
        process(inputs, any_target(str(output), ending, shard, cluster), Judging(job), run)
        return
    records: Iterator[Record] = read(*inputs)
    if write is not None:
        first = list(islice(records, 2))
        write.check(len(first))
        records = chain(first, records)
    replaced = IN_PLACE if output is not None and output.is_file() else ""
    counts: Counter[str] = Counter()
    with TemporaryFile("w+", encoding="utf-8") as lines, ExitStack() as stack:
        growing = None if write is None else stack.enter_context(write.growing())

        def keep(judged: Judged) -> None:
            counts.update(_counted(judged))
            if growing is not None and judged.result is not None:
                growing.add(with_energy(judged))
            if as_json:
                lines.write(f"{json.dumps(worded(judged.as_dict()))}\n")

        _judge(records, job, keep, Reached([file for path in inputs for file in files_of(path)]), quiet, as_json)
        stack.close()
        if as_json:
            relaxed = {"mode": relaxation.mode} if oracle == VASP else relaxation.settings
            lines.seek(0)
            print_long_json({"oracle": about_it, "relax": relaxed}, "structures", map(json.loads, lines))
    if not quiet:
        place = f" in {output}" if oracle == VASP else ""
        if growing is not None and growing.count:
            place = f"; wrote {growing.count:,} to {output}{replaced}"
        stderr().print(f"{_counts(counts)}{place}", markup=False)
    if counts["failed"]:
        raise typer.Exit(1)


def _only_with_shards(ending: str | None, resume: bool) -> None:
    for name, given in (("--format", ending is not None), ("--resume", resume)):
        if given:
            why = "the store keeps results anyway" if name == "--resume" else "the name of the output tells it"
            raise ConfigError(f"{name} belongs to --shard and --cluster; leave it out: {why}")


def _check_shards(how: str, oracle: str, output: Path | None) -> None:
    if oracle == VASP:
        raise ConfigError(f"{how} and --oracle {VASP} exclude each other: it only writes files; leave {how} out")
    if output is None:
        raise ConfigError(f"{how} writes files for `empnn merge`; give the folder of all shards with -o")


def _options_of_inputs(output: Path | None, fmax: float | None, steps: int | None) -> dict[str, Any]:
    if output is None:
        raise ConfigError("vasp-inputs writes a folder per structure; give the folder for them with -o")
    for name, given, option in (("--fmax", fmax, "ediffg=-0.02"), ("--steps", steps, "nsw=300")):
        if given is not None:
            raise ConfigError(f"{name}: VASP ends by its own rules; give --option {option}, or leave it out")
    return {"folder": str(output)}


def _judge(
    records: Iterator[Record], job: Job, keep: Callable[[Judged], None], reached: Reached, quiet: bool, as_json: bool
) -> None:
    """Energies, each on stdout and kept as soon as those before it are there; what is wrong on stderr at once.

    Where stdout is for JSON, stderr has the energies too.
    """
    from empnn.energy.run import judge_each

    with gone_through(job.choice.name, quiet) as (console, advance, reach):

        def note(judged: Judged) -> None:
            advance(1)
            figures = [_figures(judged)] if as_json and not judged.stored and judged.message is None else []
            words = [judged.message] if judged.message is not None else figures
            words += judged.warnings
            if words and (judged.failed or not quiet):
                console.print(in_options(f"{judged.record.label}: {'; '.join(words)}"), markup=False)

        def in_turn(judged: Judged) -> None:
            if not (quiet or as_json):
                _print_energy(judged)
            share = reached.with_it(judged.record.file, judged.record.share)
            if share is not None:
                reach(share)
            keep(judged)

        judge_each(records, job, note, in_turn)


def _figures(judged: Judged) -> str:
    result = judged.result
    if result is None:
        return judged.status
    steps = f", {result.steps} steps" if result.steps else ""
    return f"{judged.status}, {result.energy_per_atom:.4f} eV/atom{steps}, {result.seconds:.2f} s"


def _print_energy(judged: Judged) -> None:
    if judged.result is not None:
        sys.stdout.write(f"{judged.record.label}\t{judged.result.energy_per_atom:.6f} eV/atom\t{judged.status}\n")
        sys.stdout.flush()


def _counted(judged: Judged) -> list[str]:
    """What a crystal counts as."""
    counted = [name for name in ("stored", "failed") if getattr(judged, name)]
    counted += [judged.status] if judged.status in ("written", "not-converged") else []
    return ["all", *counted]


def _counts(of: Counter[str]) -> str:
    computed = of["all"] - of["stored"] - of["failed"] - of["written"]
    counts = [f"{computed:,} computed", f"{of['stored']:,} from store", f"{of['failed']:,} failed"]
    others = ((of["written"], "written"), (of["not-converged"], "not converged"))
    counts += [f"{number:,} {what}" for number, what in others if number]
    return ", ".join(counts)
