"""Choose the 600 real crystals that ship with the package as `data=sample`, 200 of the train split of each set.

A fifth becomes the val split: whole compositions, and for carbon, which has one, whole groups of duplicates.
Usage: python scripts/make_sample_set.py DATA_ROOT
"""

import csv
import gzip
import io
import sys
from pathlib import Path

import numpy as np

from empnn.data.curation.composition import draw_groups
from empnn.data.curation.splitting import groups_by
from empnn.data.sets import BENCHMARKS, load_split, split_file
from empnn.files import replacing

PER_SET, VALIDATION, SEED = 200, 0.2, 0
FOLDER = Path("src/empnn/data/sample_set")


def rows(root: Path, name: str, split: str) -> list[dict[str, str]]:
    """The rows of a split as they are in the file."""
    csv.field_size_limit(2**31 - 1)
    with gzip.open(split_file(root / name, split), "rt", newline="") as handle:
        return list(csv.DictReader(handle))


def chosen(root: Path, name: str) -> tuple[list[dict[str, str]], np.ndarray]:
    """Rows of the train split of a set, in its order, and the split of the sample that each goes to (0 or 1)."""
    loaded, table, val = load_split(root / name, "train"), rows(root, name, "train"), rows(root, name, "val")
    if len(table) != len(loaded.ids):
        raise SystemExit(f"{name}: refused structures would shift positions: {loaded.refused[0]}")
    generator = np.random.default_rng([SEED, BENCHMARKS.index(name)])
    positions = np.sort(generator.choice(len(table), PER_SET, replace=False))
    crystals = loaded.stored.subset(positions)
    groups = groups_by("composition", crystals)
    if groups.max() == 0:
        groups = groups_by("duplicates", crystals)
    kept = [{"material_id": table[p]["material_id"], "set": name, "cif": table[p]["cif"]} for p in positions]
    for column in ("material_id", "cif"):
        common = {row[column] for row in kept} & {row[column] for row in val}
        if common:
            raise SystemExit(f"{name}: {len(common)} of the chosen crystals are in val, such as {min(common)}")
    return kept, draw_groups(groups, (1 - VALIDATION, VALIDATION), SEED)


def write(path: Path, table: list[dict[str, str]]) -> None:
    """The same bytes whenever it is run: no time in the header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    print(f"wrote {len(table)} crystals, {path.stat().st_size:,} bytes, to {path}")


def main(root: Path) -> None:
    """Write the two splits."""
    splits: dict[str, list[dict[str, str]]] = {"train": [], "val": []}
    for name in BENCHMARKS:
        kept, split_of = chosen(root, name)
        for row, split in zip(kept, split_of.tolist(), strict=True):
            splits["val" if split else "train"].append(row)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for split, table in splits.items():
        write(FOLDER / f"{split}.csv.gz", table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
