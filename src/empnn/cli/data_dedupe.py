"""`empnn data dedupe`."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from empnn.cli.common import IN_PLACE, DataInputs, Json, Quiet, Workers, counted, print_json, reports_errors
from empnn.terminal import stderr

if TYPE_CHECKING:
    from empnn.data.records import Record


@reports_errors
def dedupe(
    inputs: DataInputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its name tells the format.")],
    groups: Annotated[Path | None, typer.Option(help="Also write who is whose duplicate to this CSV file.")] = None,
    ltol: Annotated[float, typer.Option(min=0, max=1, help="Relative difference of lattice lengths.")] = 0.2,
    stol: Annotated[
        float, typer.Option(min=0, max=2, help="Distance of atoms, in cube roots of the volume per atom.")
    ] = 0.3,
    angle_tol: Annotated[float, typer.Option(min=0, max=60, help="Difference of lattice angles in degrees.")] = 5.0,
    scale: Annotated[bool, typer.Option(help="Make volumes equal before comparing.")] = True,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Keep the first of each group of crystals that pymatgen's StructureMatcher takes for the same."""
    from empnn.data.curation.dedupe import duplicate_groups
    from empnn.data.curation.matching import Tolerances
    from empnn.data.curation.usable import collect, files_in
    from empnn.data.writing import writer
    from empnn.files import check_outputs

    write, files = writer(output), files_in(inputs)
    check_outputs([output, groups], files)
    collection = collect(files)
    write.check(len(collection.records))
    tolerances = Tolerances(ltol, stol, angle_tol, scale)
    with counted("reduced and compared", 2 * len(collection.records), quiet) as advance:
        first = duplicate_groups(collection.crystals, tolerances, workers or os.cpu_count() or 1, advance).tolist()
    kept = [position for position, leader in enumerate(first) if position == leader]
    replaced = IN_PLACE if output.is_file() else ""
    write(collection.atoms(kept))
    if groups is not None:
        _write_groups(groups, collection.records, first)
    console = stderr()
    for line in collection.refused:
        console.print(line, markup=False)
    figures = {"structures": len(first), "kept": len(kept), "duplicates": len(first) - len(kept)}
    if as_json:
        settings = {"ltol": ltol, "stol": stol, "angle_tol": angle_tol, "scale": scale}
        result = {**figures, "unique_fraction": len(kept) / len(first), "skipped": len(collection.refused)}
        print_json({**result, "tolerances": settings, "groups": _groups(collection.records, first)})
    if not quiet:
        skipped = f"; {len(collection.refused):,} skipped" if collection.refused else ""
        unique = f"{len(kept):,} of {len(first):,} are unique ({len(kept) / len(first):.1%})"
        console.print(f"{unique}{skipped}; wrote {len(kept):,} to {output}{replaced}", markup=False)
    if collection.refused:
        raise typer.Exit(1)


def _groups(records: Sequence[Record], first: Sequence[int]) -> list[list[dict[str, Any]]]:
    """The groups of more than one, the kept structure first."""
    members: dict[int, list[dict[str, Any]]] = {}
    for record, leader in zip(records, first, strict=True):
        members.setdefault(leader, []).append({"file": record.file, "index": record.index, "id": record.id})
    return [group for group in members.values() if len(group) > 1]


def _write_groups(path: Path, records: Sequence[Record], first: Sequence[int]) -> None:
    """A row per structure: the number of its group, whether it is kept, and where it stands."""
    from empnn.files import replacing

    number = {leader: index for index, leader in enumerate(dict.fromkeys(first))}
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["group", "kept", "file", "index", "id"])
        for position, (record, leader) in enumerate(zip(records, first, strict=True)):
            row = [number[leader], str(position == leader).lower(), record.file, record.index, record.id or ""]
            table.writerow(row)
