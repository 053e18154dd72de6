"""Crystals and what they relax to, as ASE `Atoms`, and the files that hold them."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from empnn.data.formats import cif

SALTS = ("NaCl", "LiF", "KBr", "MgO", "AgCl", "RbI", "NaF", "LiCl", "NaBr", "KCl", "CaO", "BaO")


def pairs(count: int = 12) -> tuple[list[Atoms], list[Atoms]]:
    """Salts of eight atoms, whose cells are 8 % too small and strained besides, with atoms off their places."""
    generator = np.random.default_rng(0)
    before, after = [], []
    for number in range(count):
        lengths = np.diag([5.0, 5.3, 5.6]) + 0.1 * number / count
        frac = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        places = np.concatenate([frac, frac + np.array([0.5, 0, 0])]) + generator.normal(0, 0.01, (8, 3))
        formula = SALTS[number % len(SALTS)]
        symbols = [Atoms(formula).symbols[kind] for kind in (0, 1) for _ in range(4)]
        relaxed = Atoms(symbols, scaled_positions=places, cell=lengths, pbc=True, info={"material_id": f"mp-{number}"})
        raw = relaxed.copy()
        raw.set_cell(0.92 * lengths @ (np.eye(3) + generator.normal(0, 0.02, (3, 3))), scale_atoms=True)
        raw.set_scaled_positions(raw.get_scaled_positions() + generator.normal(0, 0.01, (8, 3)))
        before.append(raw)
        after.append(relaxed)
    return before, after


def write_table(path: Path, before: Sequence[Atoms], after: Sequence[Atoms]) -> Path:
    """A CSV file with a column for each side."""
    with path.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["material_id", "cif_unrelaxed", "cif_relaxed"])
        for first, second in zip(before, after, strict=True):
            texts = (cif.text_from_atoms(atoms, "x", with_info=False) for atoms in (first, second))
            rows.writerow([first.info["material_id"], *texts])
    return path


def write_json(path: Path, before: Sequence[Atoms], after: Sequence[Atoms]) -> Path:
    """A compressed JSON file of both sides by identifier."""
    content = {}
    for first, second in zip(before, after, strict=True):
        row: dict[str, object] = {"species": list(first.symbols)}
        for side, atoms in (("unrelaxed", first), ("relaxed", second)):
            row[f"lattice_{side}"] = atoms.cell.tolist()
            row[f"frac_{side}"] = atoms.get_scaled_positions(wrap=False).tolist()
        content[first.info["material_id"]] = row
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


def write_two(folder: Path, before: Sequence[Atoms], after: Sequence[Atoms], ending: str = "extxyz") -> list[str]:
    """`unrelaxed` and `relaxed` files in a folder."""
    paths = [folder / f"{side}.{ending}" for side in ("unrelaxed", "relaxed")]
    for path, atoms in zip(paths, (before, after), strict=True):
        ase.io.write(path, list(atoms))
    return list(map(str, paths))
