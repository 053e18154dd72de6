"""Makes the training set of the model `pbe` from MP-20's train split and more PBE crystals: drops what is broken.

A crystal is dropped if its volume is not between 0.6 and 2.2 times what a linear model of volumes by element (fitted
to MP-20) expects, unless it is from MP-20 itself: sheets in vacuum, gases and cells that were not relaxed.
Usage: python scripts/prepare_pbe.py MP_20_FOLDER PBE_EXTRA_FOLDER -o FOLDER
"""

import argparse
import csv
import gzip
import json
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from empnn.crystals import CrystalBatch
from empnn.data.sets import load_split
from empnn.geometry import volume

USUAL = (0.6, 2.2)


def composition(crystals: CrystalBatch) -> np.ndarray:
    """Atoms of each element in each structure, (structures, 119)."""
    counts = np.zeros((len(crystals), 119))
    np.add.at(counts, (crystals.batch.numpy(), crystals.numbers.numpy()), 1)
    return counts


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Write FOLDER/train.csv.gz and FOLDER/manifest.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs=2, type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    base, extra = (load_split(folder, "train").crystals for folder in options.sets)
    volumes = volume(base.cell).numpy()
    counts = composition(base)
    per_element, _ = nnls(counts / volumes[:, None], np.ones(len(volumes)))
    ratio = volume(extra.cell).numpy() / np.maximum(composition(extra) @ per_element, 1e-9)
    kept = (ratio > USUAL[0]) & (ratio < USUAL[1])
    given = [rows(folder / "train.csv.gz") for folder in options.sets]
    dropped = [row["material_id"] for row, keep in zip(given[1], kept, strict=True) if not keep]
    chosen = [*given[0], *(row for row, keep in zip(given[1], kept, strict=True) if keep)]
    options.out.mkdir(parents=True, exist_ok=True)
    with gzip.open(options.out / "train.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, ("material_id", "cif"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(chosen)
    manifest = {"ids": [row["material_id"] for row in chosen], "dropped": dropped}
    (options.out / "manifest.json").write_text(json.dumps(manifest) + "\n")
    print(f"{options.out}: {len(chosen)} crystals, {len(dropped)} dropped")


if __name__ == "__main__":
    main()
