"""`empnn relax` and `empnn convert`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from empnn.cli.changes import DRAWN, Changes, check_report
from empnn.cli.common import (
    IN_PLACE,
    Cluster,
    Device,
    Fixes,
    Inputs,
    Json,
    Model,
    Passes,
    Quiet,
    ShardOf,
    gone_through,
    in_options,
    parsed_fix,
    parsed_shard,
    reports_errors,
    worded,
)
from empnn.cli.oracles import Fmax, Options, Steps, StoreFolder, Workers, parsed_options, relaxation_of
from empnn.errors import ConfigError

if TYPE_CHECKING:
    from empnn.bulk.folder import Folder
    from empnn.bulk.pipeline import Outcome, Summary, Work
    from empnn.bulk.shards import Shard
    from empnn.bulk.spans import Place

    Target = Path | Folder | Shard | Place

SHARD_FORMAT = "extxyz"
"""That of shards, unless another is asked for: it holds all there is of any structure."""
DONE = {"relax": "relaxed", "convert": "converted", "energy": "judged"}
"""What is said to be done by the names of what is done."""
_FEW = 3
"""Inputs that a report calls by their names."""

Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="File to write, whose name tells the format, - for extxyz on stdout; a folder of files or shards.",
    ),
]
Ending = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="cif|vasp|poscar|...",
        help="One file of this format per structure in the folder OUT, called as its input is; of shards their format.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first refused structure.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a run that was stopped had come to.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Also say what changed in this file: FILE.html with pictures, or .csv.")
]
SpaceGroups = Annotated[
    bool | None,
    typer.Option(
        help="Look for space groups before and after; by default for reports, tables and --json. As slow as relaxing."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """How files are gone through, the word for what is done, and what is told of all structures."""

    done: str
    strict: bool
    resume: bool
    quiet: bool
    as_json: bool
    changes: Changes | None = None

    @property
    def report(self) -> Path | None:
        """The file of the report, if there is to be one."""
        return None if self.changes is None else self.changes.report


@reports_errors
def relax(
    inputs: Inputs,
    output: Output,
    ending: Ending = None,
    model: Model = "pbe",
    passes: Passes = None,
    fixes: Fixes = None,
    symmetrize: Annotated[
        float | None,
        typer.Option(metavar="TOL", help="Make the space group found in the answer within TOL angstrom exact."),
    ] = None,
    then: Annotated[
        str | None,
        typer.Option(metavar="ORACLE", help="Relax on from there by forces and stress: chgnet, sevennet, gpaw ..."),
    ] = None,
    option: Options = None,
    fmax: Fmax = None,
    steps: Steps = None,
    workers: Workers = 1,
    store: StoreFolder = None,
    device: Device = "auto",
    batch_atoms: Annotated[int, typer.Option(min=1, help="Atoms per batch; bounds memory.")] = 2048,
    resume: Resume = False,
    strict: Strict = False,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Write refused structures unchanged.")] = False,
    report: ReportFile = None,
    space_groups: SpaceGroups = None,
    shard: ShardOf = None,
    cluster: Cluster = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Relax crystals: order and species are kept, the cell changes; atoms move in it if the model was trained to.

    Atoms and directions that the input fixes (selective dynamics, constraints) keep their fractional coordinates.
    """
    from empnn.nn.runtime.cpu import tuned
    from empnn.relax import load
    from empnn.relax.files import Detail, How, Relaxing

    fix = parsed_fix(fixes)
    target = any_target(output, ending, shard, cluster)
    if cluster is not None and device not in ("auto", "cpu"):
        raise ConfigError(f"--device {device} and --cluster exclude each other: workers have a core each; leave it out")
    if report is not None:
        check_report(report, inputs, target)
    given = ", ".join(map(str, inputs)) if len(inputs) <= _FEW else f"{len(inputs):,} files and folders"
    by = model if then is None else f"{model}, then by {then}"
    changes = Changes(report, f"{given}, relaxed by {by}, to {output}", then)
    table = is_table(target)
    groups = (table or as_json or report is not None) if space_groups is None else space_groups
    written = table if space_groups is None else space_groups
    pictures = changes.pictures if shard is None and cluster is None else DRAWN
    detail = Detail(space_groups=groups, written_groups=written, columns=table, pictures=pictures)
    how = How(passes=passes, batch_atoms=batch_atoms, keep_failed=keep_failed, fix=fix, symmetrize=symmetrize)
    _only_with_then(then, {"--option": option, "--fmax": fmax, "--steps": steps, "--store": store}, workers)
    relaxer = load(model, device if cluster is None else "cpu")
    network = Relaxing(relaxer, how, detail)
    work: Work = network
    if then is not None:
        from empnn.energy.answers import Choice
        from empnn.energy.run import Job
        from empnn.relax.then import RelaxingOn

        relaxation = relaxation_of("cell" if fix == "positions" else "all", fmax, steps)
        choice = Choice(then, parsed_options(option))
        work = RelaxingOn(network, Job(choice=choice, relaxation=relaxation, workers=workers, store=store))
    with tuned(relaxer.device.type):
        run = Run(done=DONE[work.name], strict=strict, resume=resume, quiet=quiet, as_json=as_json, changes=changes)
        process(inputs, target, work, run)


@reports_errors
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="File, folder or pattern; - for extxyz on stdin.", readable=False)
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="File to write; - for extxyz on stdout; with --format a folder.")
    ],
    ending: Ending = None,
    resume: Resume = False,
    strict: Strict = False,
    shard: ShardOf = None,
    cluster: Cluster = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write crystals in another format, which the name of OUT or --format tells."""
    from empnn.bulk.pipeline import Conversion

    run = Run(done=DONE[Conversion.name], strict=strict, resume=resume, quiet=quiet, as_json=as_json)
    process([source], any_target(output, ending, shard, cluster), Conversion(), run)


def _only_with_then(then: str | None, options: dict[str, object], workers: int) -> None:
    options = {**options, "--workers": workers if workers > 1 else None}
    given = [name for name, value in options.items() if value is not None and value != []]
    if given and then is None:
        raise ConfigError(f"{given[0]} belongs to --then; name an oracle there, or leave it out")


def is_table(target: Target) -> bool:
    """Whether what is written is a table."""
    from empnn.bulk.shards import Shard
    from empnn.bulk.spans import Place
    from empnn.data.writing import format_called, writer

    if isinstance(target, Shard | Place):
        return format_called(target.ending).table
    return isinstance(target, Path) and str(target) != "-" and writer(target).format.table


def target_of(output: str, ending: str | None) -> Path | Folder:
    """The file or folder to write to."""
    from empnn.bulk.folder import Folder
    from empnn.data.writing import BARE_FORMATS, ENDINGS, FORMATS

    path = Path(output)
    is_folder = path.is_dir() or output.endswith("/")
    if ending is None:
        if is_folder:
            raise ConfigError(
                f"{output}: a folder gets a file per structure; say with --format of which format ({ENDINGS})"
            )
        return path
    if output == "-":
        raise ConfigError("--format and the output - exclude each other: files want a folder")
    if not is_folder and path.suffix.lower() in {**FORMATS, **BARE_FORMATS}:
        raise ConfigError(f"{output}: with --format this would be a folder; end its name with /, or leave out --format")
    return Folder(path, ending.lower().removeprefix("."))


def any_target(output: str, ending: str | None, shard: str | None, cluster: str | None) -> Target:
    """The file, folder, shard or shards to write."""
    from empnn.bulk.shards import Shard, Share
    from empnn.bulk.spans import Place
    from empnn.data.writing import BARE_FORMATS, FORMATS

    if shard is None and cluster is None:
        return target_of(output, ending)
    if shard is not None and cluster is not None:
        raise ConfigError("--shard and --cluster exclude each other: a cluster shares the work out by itself")
    path = Path(output)
    is_folder = path.is_dir() or output.endswith("/")
    if output == "-" or (path.suffix.lower() in {**FORMATS, **BARE_FORMATS} and not is_folder):
        what = "--shard" if cluster is None else "--cluster"
        raise ConfigError(f"{output}: with {what} this is a folder for all shards; end its name with /")
    ending = (ending or SHARD_FORMAT).lower().removeprefix(".")
    if shard is not None:
        return Shard(path, ending, Share(*parsed_shard(shard)))
    return Place(address=str(cluster), folder=path, ending=ending)


def process(inputs: list[Path], output: Target, work: Work, run: Run) -> None:
    """Go through all structures of all inputs, tell of each as was asked for, and end with status 1 if one failed."""
    from empnn.bulk.spans import Place

    def walk(told: Told) -> Summary:
        if isinstance(output, Place):
            from empnn.bulk.on_ray import process as on_ray

            return on_ray(inputs, output, work, told.outcome, told.progress, run.strict, run.resume)
        from empnn.bulk.pipeline import process as go_through

        work.say = told.say
        return go_through(inputs, output, work, told.outcome, run.strict, run.resume, told.share)

    follow(walk, output, work.said, run)


@dataclass(frozen=True)
class Told:
    """What is told while structures are gone through.

    Attributes:
        outcome: Takes what became of a structure.
        share: Takes the part that is done.
        say: Takes a line on what takes long.
        progress: Takes how many more are done, and the part that is, where outcomes come at the end only.
    """

    outcome: Callable[[Outcome], None]
    share: Callable[[float], None]
    say: Callable[[str], None]
    progress: Callable[[int, float], None]


def follow(walk: Callable[[Told], Summary], output: Target, said: Sequence[str], run: Run) -> None:
    """Tell what becomes of structures as was asked for, and end with status 1 if one failed."""
    from empnn.bulk.pipeline import CONVERTED, UNDONE
    from empnn.bulk.spans import Place

    if run.as_json and str(output) == "-":
        raise ConfigError("--json and the output - exclude each other: both want stdout")
    with ExitStack() as stack:
        outcomes = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        if run.changes is not None:
            stack.enter_context(run.changes)
        with gone_through(run.done, run.quiet) as (console, advance, reach):
            at_the_end = isinstance(output, Place)

            def progress(count: int, share: float) -> None:
                advance(count)
                reach(share)

            def note(outcome: Outcome) -> None:
                if not at_the_end:
                    advance(1)
                if run.changes is not None:
                    run.changes.add(outcome)
                if outcome.status in UNDONE:
                    console.print(outcome.line, markup=False)
                elif outcome.then is not None and outcome.then["status"] in UNDONE:
                    console.print(in_options(replace(outcome, message=outcome.warnings[-1]).line), markup=False)
                elif outcome.status == CONVERTED and outcome.warnings and not run.quiet:
                    lost = replace(outcome, message="; ".join(outcome.warnings))
                    console.print(lost.line, markup=False)
                if run.as_json or run.report is not None:
                    outcomes.write(f"{json.dumps(worded(outcome.as_dict(said)))}\n")

            def say(line: str) -> None:
                if not run.quiet:
                    console.print(in_options(line), markup=False)

            summary = walk(Told(note, reach, say, progress))
        if run.changes is not None:
            outcomes.seek(0)
            run.changes.write(outcomes)
        if run.as_json:
            outcomes.seek(0)
            _print_outcomes(run.done, summary, outcomes)
        changed = [] if run.changes is None or run.quiet else list(run.changes.lines())
    if not run.quiet:
        for line in changed:
            console.print(line, markup=False)
        console.print(_closing_line(run, summary, output), markup=False)
    if summary.skipped or any(summary.then[status] for status in UNDONE):
        raise typer.Exit(1)


def _print_outcomes(done: str, summary: Summary, lines: IO[str]) -> None:
    """The JSON interface, a structure at a time: there may be millions."""
    sys.stdout.write(f'{{"{done}": {summary.done}, "skipped": {summary.skipped}, "structures": [')
    for index, line in enumerate(lines):
        sys.stdout.write((",\n" if index else "\n") + line.rstrip("\n"))
    sys.stdout.write("]}\n")


def _closing_line(run: Run, summary: Summary, output: Target) -> str:
    from empnn.ase_atoms import DOUBTS
    from empnn.bulk.folder import Folder
    from empnn.bulk.shards import Shard
    from empnn.bulk.spans import Place

    key = DOUBTS if run.done == "converted" else "empnn_warnings"
    doubtful = f" ({summary.suspect:,} suspect: see {key} in the output, or --json)" if summary.suspect else ""
    resumed = f"; {summary.resumed:,} had been done before" if summary.resumed else ""
    if summary.discarded:
        resumed = f"; what an unfinished run had done ({summary.discarded:,}) was discarded without --resume"
    report = "" if run.report is None else f", and what changed to {run.report}"
    if isinstance(output, Folder):
        written = f"wrote {summary.written:,} file{'s' * (summary.written != 1)} to {output.path}"
        written += f", {summary.replaced:,} of them in place of earlier ones" if summary.replaced else ""
    else:
        place = output.file if isinstance(output, Shard) else output.folder if isinstance(output, Place) else output
        written = f"wrote {summary.written:,} to {'stdout' if str(place) == '-' else place}"
        written += IN_PLACE if summary.replaced else ""
    if not summary.written:
        written = "nothing written"
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(summary.then.items()))
    then = f"; then {counts}" if counts else ""
    return f"{summary.done:,} {run.done}{doubtful}, {summary.skipped:,} skipped{then}{resumed}; {written}{report}"
