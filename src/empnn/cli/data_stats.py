"""`empnn data stats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from empnn.cli.common import DataInputs, Json, Quiet, print_json, reports_errors
from empnn.terminal import stderr

if TYPE_CHECKING:
    from empnn.data.curation.statistics import Statistics

_FEW = 12
"""Elements and refused structures that are shown."""


@reports_errors
def stats(
    inputs: DataInputs,
    plot: Annotated[Path | None, typer.Option(help="Also draw histograms into this file, such as stats.png.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Count crystals, elements and duplicates (by a cheap fingerprint), and say how cells are distributed."""
    from empnn.data.curation.statistics import statistics
    from empnn.data.curation.usable import files_in
    from empnn.files import check_outputs, replacing
    from empnn.viz.histograms import check_format, picture

    if plot is not None:
        check_format(plot)
    check_outputs([plot], files_in(inputs))
    found = statistics(inputs)
    if plot is not None:
        with replacing(plot) as temporary:
            picture(found, temporary, f"{', '.join(inputs)}: {len(found.sizes):,} structures")
    if as_json:
        print_json(found.as_dict())
    elif not quiet:
        _print(found)
    if not quiet:
        _print_refused(found, plot)


def _print(found: Statistics) -> None:
    figures = found.as_dict()
    console = Console(highlight=False, markup=False)
    counts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    counts.add_column(overflow="fold")
    for source, count in figures["sources"].items():
        refused = f", {count['refused']:,} refused" if count["refused"] else ""
        counts.add_row(source, f"{count['structures']:,} structures{refused}")
    counts.add_row("atoms", f"{figures['atoms']:,}")
    counts.add_row("compositions (reduced)", f"{figures['compositions']:,}")
    elements = [f"{element} {count:,}" for element, count in figures["elements"].items()]
    more = f" and {len(elements) - _FEW} more" if len(elements) > _FEW else ""
    counts.add_row("elements, in structures", f"{len(elements)}: {', '.join(elements[:_FEW])}{more}")
    twice = figures["duplicates"]
    part = twice["duplicates"] / figures["structures"]
    counts.add_row("duplicates by fingerprint", f"{twice['duplicates']:,} ({part:.1%}), {twice['distinct']:,} distinct")
    counts.add_row("repeated identifiers", f"{figures['repeated_ids']:,}")
    console.print(counts)
    console.print(_distributions(figures))


def _distributions(figures: dict[str, Any]) -> Table:
    table = Table()
    table.add_column("")
    for column in ("least", "5 %", "median", "mean", "95 %", "largest"):
        table.add_column(column, justify="right")
    rows = {"atoms per cell": figures["atoms_per_cell"], "volume per atom (Å³)": figures["volume_per_atom"]}
    for name, values in figures["lattice"].items():
        rows[f"{name} ({'Å' if len(name) == 1 else '°'})"] = values
    for name, values in rows.items():
        shown = [values[key] for key in ("min", "p5", "median", "mean", "p95", "max")]
        table.add_row(name, *(f"{value:.4g}" for value in shown))
    return table


def _print_refused(found: Statistics, plot: Path | None) -> None:
    console = stderr()
    for line in found.refused[:_FEW]:
        console.print(line, markup=False)
    if len(found.refused) > _FEW:
        console.print(f"and {len(found.refused) - _FEW:,} more refused structures: see --json", markup=False)
    if plot is not None:
        console.print(f"wrote {plot}", markup=False)
