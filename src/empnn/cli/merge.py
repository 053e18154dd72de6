"""`empnn merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from empnn.cli.changes import Changes, check_report
from empnn.cli.common import Json, Quiet, json_document, reports_errors
from empnn.cli.relax import DONE, Ending, Output, ReportFile, Run, follow, target_of

_OTHERS = 256
"""Files that a process has open anyway."""


@reports_errors
def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Folders that --shard has written to.", show_default=False, readable=False),
    ],
    output: Output,
    ending: Ending = None,
    report: ReportFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Join shards into what one process would have written, in the order of the inputs, and tell of all structures.

    Refused as a whole if a shard is missing, there twice, or of another run.
    """
    from empnn.bulk.merge import merge as join
    from empnn.bulk.shards import manifests, results

    figures = results(folders)
    if figures:
        _merge_figures(figures, Path(output), quiet, as_json)
        return
    shards = manifests(folders)
    _allow_files(len(shards))
    run = shards[0].run
    target = target_of(output, ending)
    if report is not None:
        check_report(report, [one.shard.file for one in shards], target)
    changes = Changes(report, f"merged from {', '.join(map(str, folders))}") if run["work"] == "relax" else None
    told = Run(done=DONE[run["work"]], strict=False, resume=False, quiet=quiet, as_json=as_json, changes=changes)

    follow(lambda tell: join(shards, target, tell.outcome), target, run["said"], told)


def _allow_files(count: int) -> None:
    """Let this process open two files for each of so many shards, as far as it may."""
    try:
        import resource
    except ImportError:  # Windows, where no such limit is set
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * count + _OTHERS
    if soft < needed:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )


def _merge_figures(parts: list[dict[str, Any]], output: Path, quiet: bool, as_json: bool) -> None:
    """What `empnn evaluate` would have found on all structures."""
    from empnn.cli.evaluate import tell
    from empnn.evaluate import from_json, merged
    from empnn.files import check_place, replacing

    check_place(output)
    whole = merged([from_json(part["part"]) for part in parts])
    figures = {**whole.as_dict(), "relaxer": parts[0]["relaxer"]}
    with replacing(output) as temporary:
        temporary.write_text(json_document(figures))
    tell(figures, quiet, as_json)
