"""`empnn data dedupe`."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from empnn.cli.common import IN_PLACE, DataInputs, Json, Quiet, Workers, counted, print_long_json, reports_errors
from empnn.terminal import stderr

if TYPE_CHECKING:
    import numpy as np

    from empnn.data.curation.usable import Collection


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
    import numpy as np

    from empnn.data.curation.dedupe import duplicate_groups
    from empnn.data.curation.matching import Tolerances
    from empnn.data.curation.usable import collect, files_in
    from empnn.data.writing import writer
    from empnn.files import check_outputs

    write, files = writer(output), files_in(inputs)
    check_outputs([output, groups], files)
    collection = collect(files)
    write.check(len(collection))
    tolerances = Tolerances(ltol, stol, angle_tol, scale)
    with counted("reduced and compared", 2 * len(collection), quiet) as advance:
        first = duplicate_groups(collection.crystals, tolerances, workers or os.cpu_count() or 1, advance)
    kept = np.flatnonzero(first == np.arange(len(first)))
    replaced = IN_PLACE if output.is_file() else ""
    with write.growing() as growing:
        for atoms in collection.atoms(kept):
            growing.add(atoms)
    if groups is not None:
        _write_groups(groups, collection, first)
    console = stderr()
    for line in collection.refused:
        console.print(line, markup=False)
    figures = {"structures": len(first), "kept": len(kept), "duplicates": len(first) - len(kept)}
    if as_json:
        settings = {"ltol": ltol, "stol": stol, "angle_tol": angle_tol, "scale": scale}
        result = {**figures, "unique_fraction": len(kept) / len(first), "skipped": len(collection.refused)}
        print_long_json({**result, "tolerances": settings}, "groups", _groups(collection, first))
    if not quiet:
        skipped = f"; {len(collection.refused):,} skipped" if collection.refused else ""
        unique = f"{len(kept):,} of {len(first):,} are unique ({len(kept) / len(first):.1%})"
        console.print(f"{unique}{skipped}; wrote {len(kept):,} to {output}{replaced}", markup=False)
    if collection.refused:
        raise typer.Exit(1)


def _groups(collection: Collection, first: np.ndarray) -> Iterator[list[dict[str, Any]]]:
    """The groups of more than one, the kept structure first."""
    import numpy as np

    from empnn.ragged import equal_runs

    order = np.argsort(first, kind="stable")
    for begin, end in equal_runs(first[order]):
        if end - begin > 1:
            yield [asdict(collection.source(position)) for position in order[begin:end].tolist()]


def _write_groups(path: Path, collection: Collection, first: np.ndarray) -> None:
    """A row per structure: the number of its group, whether it is kept, and where it stands."""
    import numpy as np

    from empnn.files import replacing

    kept = first == np.arange(len(first))
    numbers = np.cumsum(kept)[first] - 1
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["group", "kept", "file", "index", "id"])
        for position in range(len(first)):
            source = collection.source(position)
            kept_word = str(bool(kept[position])).lower()
            table.writerow([numbers[position], kept_word, source.file, source.index, source.id or ""])
