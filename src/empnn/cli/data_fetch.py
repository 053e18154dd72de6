"""`empnn data fetch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from empnn.cli.common import Json, Quiet, print_json, reports_errors
from empnn.terminal import stderr

if TYPE_CHECKING:
    from empnn.data.fetch import Fetched


@reports_errors
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="carbon_24, perov_5, mp_20.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the sets; EMPNN_DATA by default, or `data` in the cache folder."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of a mirror, which holds NAME/train.csv.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Download benchmark sets and verify them; a download that was cut off goes on where it stopped."""
    from empnn.data.fetch import BASE_URL, source
    from empnn.data.fetch import fetch as fetch_set

    credits_of = {name: source(name).credit for name in names}
    console = stderr(quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    tasks: dict[Path, TaskID] = {}
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:

        def show(path: Path, done: int, total: int | None) -> None:
            if path not in tasks:
                tasks[path] = progress.add_task(f"{path.parent.name}/{path.name}")
            progress.update(tasks[path], completed=done, total=total)

        fetched = {name: fetch_set(name, out, base_url=url or BASE_URL, on_progress=show) for name in credits_of}
    if as_json:
        print_json({"files": [_as_dict(file) for files in fetched.values() for file in files]})
    for name, files in fetched.items():
        console.print(_summary(files), markup=False)
        console.print(credits_of[name], markup=False)


def _as_dict(file: Fetched) -> dict[str, Any]:
    named = {"path": str(file.path), "set": file.name, "split": file.split}
    return {**named, "bytes": file.size, "downloaded": file.downloaded}


def _summary(files: Sequence[Fetched]) -> str:
    folder = files[0].path.parent
    new = [file.size for file in files if file.downloaded]
    if not new:
        return f"{folder}: all {len(files)} files are there already"
    return f"wrote {len(new)} of {len(files)} files ({sum(new) / 1e6:.1f} MB) to {folder}"
