"""Choose the real crystals that ship with the package, from the validation splits nothing was trained on.

Usage: python scripts/make_samples.py DATA_ROOT
"""

import sys
from pathlib import Path

import ase.io
import numpy as np

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, to_atoms
from empnn.data.sets import load_split

PER_SET, SIGMA, SEED = 4, 0.1, 0
SETS = ("mp_20", "carbon_24", "perov_5")
FOLDER = Path("src/empnn/data/samples")


def choose(crystals: CrystalBatch) -> np.ndarray:
    """The first structures of different size, so that the table is not all alike."""
    sizes = crystals.sizes.numpy()
    _, first = np.unique(sizes, return_index=True)
    chosen = np.sort(first)[:PER_SET] if len(first) >= PER_SET else np.arange(PER_SET)
    return np.asarray(chosen)


def main(root: Path) -> None:
    """Write relaxed.extxyz and strained.extxyz, in the same order."""
    relaxed, strained = [], []
    for name in SETS:
        loaded = load_split(root / name, "val")
        index = choose(loaded.crystals)
        noisy = with_fixed_noise(loaded.crystals, SIGMA, SEED).select(index)
        for kept, batch in ((relaxed, loaded.crystals.select(index)), (strained, noisy)):
            for position, atoms in zip(index, to_atoms(batch), strict=True):
                atoms.info = {"material_id": loaded.ids[position], "data": name}
                kept.append(atoms)
    FOLDER.mkdir(parents=True, exist_ok=True)
    ase.io.write(FOLDER / "relaxed.extxyz", relaxed)
    ase.io.write(FOLDER / "strained.extxyz", strained)
    print(f"wrote {len(relaxed)} crystals to {FOLDER}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
