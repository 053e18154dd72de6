"""`empnn data split`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from empnn.cli.common import DataInputs, Json, Quiet, Workers, counted, print_json, reports_errors
from empnn.terminal import stderr


@reports_errors
def split(
    inputs: DataInputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for train, val and test.")],
    fractions: Annotated[
        str, typer.Option(help="Parts of train, val and test (test may be left out).")
    ] = "0.8,0.1,0.1",
    by: Annotated[
        str, typer.Option(help="What must not be divided: random (nothing), composition, or duplicates.")
    ] = "composition",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    form: Annotated[str, typer.Option("--format", help="csv.gz, csv, extxyz or parquet.")] = "csv.gz",
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Divide crystals into a data folder with train, val and test; the same seed gives the same splits."""
    from empnn.data.curation.composition import draw_groups
    from empnn.data.curation.splitting import check_kind, check_target, groups_by, parse_fractions, write_splits
    from empnn.data.curation.usable import collect, files_in
    from empnn.data.sets import SPLITS

    parts = parse_fractions(fractions)
    check_kind(by)
    check_target(output, form)
    collection = collect(files_in(inputs))
    total = 2 * len(collection) if by == "duplicates" else None
    with counted("compared", total, quiet) as advance:
        groups = groups_by(by, collection.crystals, workers or os.cpu_count() or 1, advance)
    split_of = draw_groups(groups, parts, seed)
    written = write_splits(collection, split_of, output, form)
    counts = {name: int((split_of == SPLITS.index(name)).sum()) for name in written}
    console = stderr()
    for line in collection.refused:
        console.print(line, markup=False)
    if as_json:
        splits = {name: {"file": str(written[name]), "structures": counts[name]} for name in written}
        settings = {"by": by, "seed": seed, "fractions": list(parts)}
        skipped = {"groups": int(groups.max()) + 1, "skipped": len(collection.refused)}
        print_json({"folder": str(output), **settings, **skipped, "splits": splits})
    if not quiet:
        words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        skipped_words = f"; {len(collection.refused):,} skipped" if collection.refused else ""
        console.print(f"wrote {words} to {output}{skipped_words}", markup=False)
    if collection.refused:
        raise typer.Exit(1)
