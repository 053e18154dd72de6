"""Every format into every other: real crystals, strained, skewed, some left-handed, written, converted, read again.

The figure of a pair is the largest error of a lattice vector or position in angstrom. Species, order, identifiers and
info are compared too; formats of one structure have no place for info.

Usage: python -m benchmarks.quality.round_trips [--n 100]   (also writes the table of docs/data.md)
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from benchmarks.bench import RESULTS, ROOT, machine
from benchmarks.pages import fill
from empnn import symmetry
from empnn.bulk.pipeline import Conversion, process
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import to_atoms
from empnn.data.reading import read
from empnn.data.sets import load_split, locate
from empnn.data.writing import writer
from empnn.files import replacing

MANY = (".extxyz", ".cif", ".csv", ".parquet", ".feather", ".json", ".traj", ".db")
SINGLE = (".vasp",)
SOME = 10
"""Crystals that go one by one through formats of a single structure."""
TOLERANCE = 1e-6


def main() -> None:
    """Convert, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    given = crystals(parser.parse_args().n)
    formats = MANY + SINGLE
    errors = {a: {b: pair(given, a, b) for b in formats} for a in formats}
    worst = max(error for row in errors.values() for error in row.values())
    result = {"crystals": len(given), "tolerance": TOLERANCE, "largest_error": worst, "errors": errors}
    description = str(__doc__).partition("\n")[0]
    with replacing(RESULTS / "round_trips.json") as temporary:
        temporary.write_text(json.dumps({"description": description, "machine": machine(), **result}, indent=1) + "\n")
    write_table(errors)
    print(f"{len(formats) ** 2} pairs, largest error {worst:.1e} angstrom")
    if worst > TOLERANCE:
        raise SystemExit("some pairs lose crystals or digits")


def crystals(n: int) -> list[Atoms]:
    """Real crystals of the sample, strained and in a skewed basis, every other one left-handed, with info."""
    loaded = load_split(locate(None, "sample"), "train")
    chosen = np.linspace(0, len(loaded.ids) - 1, n).astype(int)
    generator = torch.Generator().manual_seed(0)
    batch = with_fixed_noise(loaded.stored.select(chosen), 0.1, 0)
    batch = symmetry.change_basis(batch, symmetry.random_unimodular(n, generator, factors=3, largest=2))
    mirror = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    mirror[::2, 2, 2] = -1
    found = to_atoms(symmetry.rotate(batch, mirror))
    for position, atoms in zip(chosen.tolist(), found, strict=True):
        atoms.info.update(material_id=loaded.ids[position], gap=1.5, note='it\'s "quoted", 100 %', tags=[1, 2])
    return found


def pair(given: Sequence[Atoms], first: str, second: str) -> float:
    """The largest error of crystals written in one format, converted to another and read; infinite if any is lost."""
    if first in SINGLE or second in SINGLE:
        return max(there_and_back([atoms], first, second) for atoms in given[:SOME])
    return there_and_back(given, first, second)


def there_and_back(given: Sequence[Atoms], first: str, second: str) -> float:
    """Write, convert, read and compare."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"a{first}", Path(folder) / f"b{second}"
        writer(source)(given)
        process([source], target, Conversion(), on_outcome=lambda _: None)
        found = [record.atoms for record in read(target)]
    has_info = not {first, second} & set(SINGLE)
    same = len(found) == len(given) and all(
        atoms is not None and is_same(atoms, one, has_info) for atoms, one in zip(found, given, strict=True)
    )
    return max(error(a, b) for a, b in zip(found, given, strict=True) if a is not None) if same else np.inf


def is_same(found: Atoms, given: Atoms, has_info: bool) -> bool:
    """Whether species, order and info are what they were."""
    if found.numbers.tolist() != given.numbers.tolist():
        return False
    return not has_info or all(np.array_equal(found.info.get(key), value) for key, value in given.info.items())


def error(found: Atoms, given: Atoms) -> float:
    """The largest difference of lattice vectors and positions, angstrom."""
    cell = np.abs(found.cell.array - given.cell.array).max()
    return float(max(cell, np.abs(found.positions - given.positions).max()))


def write_table(errors: dict[str, dict[str, Any]]) -> None:
    """Put the table into the page on data."""
    formats = list(errors)
    lines = ["| from \\ to | " + " | ".join(formats) + " |", "|---" * (len(formats) + 1) + "|"]
    lines += [f"| **{a}** | " + " | ".join(cell(errors[a][b]) for b in formats) + " |" for a in formats]
    fill(ROOT / "docs" / "data.md", "round-trips", "\n".join(lines))


def cell(value: float) -> str:
    """A figure of the table."""
    return f"✓ {value:.0e}" if value <= TOLERANCE else "✗"


if __name__ == "__main__":
    main()
