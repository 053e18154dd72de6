"""`empnn relax`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from empnn.cli.common import Device, Json, Model, Passes, Quiet, print_json, reports_errors, stderr


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

    console = stderr()
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
        print_json(result.as_dict())
    relaxed = len(result.outcomes) - result.skipped
    suspect = sum(o.status == "suspect" for o in result.outcomes)
    doubtful = f" ({suspect:,} suspect: see empnn_warnings in the output, or --json)" if suspect else ""
    written = f"wrote {result.written:,} to {output}" if result.written else "nothing written"
    if not quiet:
        console.print(f"{relaxed:,} relaxed{doubtful}, {result.skipped:,} skipped; {written}", markup=False)
    if result.skipped:
        raise typer.Exit(1)
