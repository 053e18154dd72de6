"""CIF text to tensors: speed of a first and a second reading, and that all crystals are what pymatgen makes of them.

Usage: python -m benchmarks.speed.reading [--repeats 5] [--no-parity]   (EMPNN_DATA names the folder of the sets)
"""

import argparse
import csv
import gzip
import io
import os
import tempfile
import warnings
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
import torch
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from benchmarks.bench import alternate, row, write
from empnn.data.sets import BENCHMARKS, locate, split_file
from empnn.data.store import CrystalSet, load_file
from empnn.geometry import lattice_parameters

PYMATGEN_SAMPLE = 300
TOLERANCE = 1e-6
ROUNDING = 1.01e-4
CHUNK = 500


def main() -> None:
    """Measure, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parity", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    files = [split_file(locate(None, name), split) for name in BENCHMARKS for split in ("train", "val")]
    result = speed(files, options.repeats)
    if options.parity:
        result["parity"] = parity(files)
    write("reading", __doc__.partition("\n")[0], result)
    if options.parity and result["parity"]["different"]:
        raise SystemExit(f"{len(result['parity']['different'])} crystals differ from what pymatgen reads")


def speed(files: Sequence[Path], repeats: int) -> dict[str, Any]:
    """Structures per second, the subjects taking turns."""
    texts = [text for file in files for text in cif_texts(file)]
    sample = texts[:: len(texts) // PYMATGEN_SAMPLE]

    def cold() -> None:
        os.environ["EMPNN_CACHE"] = tempfile.mkdtemp(dir=folder)
        warm()

    def warm() -> None:
        for file in files:
            load_file(file)

    subjects = {
        "cold": cold,
        "warm": warm,
        "gemmi": lambda: [gemmi.cif.read_string(text) for text in texts],
        "pymatgen": lambda: [pymatgen_structure(text) for text in sample],
    }
    with tempfile.TemporaryDirectory() as folder:
        taken = alternate(subjects, repeats)
        del os.environ["EMPNN_CACHE"]
    ours, syntax = len(texts) / taken["cold"], len(texts) / taken["gemmi"]
    pymatgen = len(sample) / taken["pymatgen"]
    rows = [
        row("CIF in csv.gz to tensors, first time", f"{ours:,.0f}/s", f"pymatgen {pymatgen:,.0f}/s", ours / pymatgen),
        row("CIF in csv.gz to tensors, first time", f"{ours:,.0f}/s", f"gemmi {syntax:,.0f}/s", ours / syntax),
        row(f"the three sets ({len(texts):,} crystals) opened again", f"{taken['warm']:.3f} s", ""),
    ]
    return {
        "structures": len(texts),
        "per_second": {"empnn": ours, "gemmi, syntax only, no csv": syntax, "pymatgen": pymatgen},
        "warm_seconds": taken["warm"],
        "rows": rows,
    }


def parity(files: Sequence[Path]) -> dict[str, Any]:
    """Compare every crystal of the files with pymatgen's reading of the same text.

    By default pymatgen moves coordinates within 1e-4 of a third or a sixth onto it; where that is all that differs, the
    crystal is compared without.
    """
    result: dict[str, Any] = {"compared": 0, "tolerance": TOLERANCE, "rounded_by_pymatgen": 0}
    different: list[str] = []
    largest = np.zeros(2)
    with get_context("spawn").Pool(os.cpu_count(), torch.set_num_threads, (1,)) as pool:
        for file in files:
            count = len(load_file(file).ids)
            for chunk in pool.starmap(compare, [(file, start) for start in range(0, count, CHUNK)]):
                result["rounded_by_pymatgen"] += chunk.rounded
                different += chunk.different
                largest = np.maximum(largest, chunk.largest)
            result["compared"] += count
            print(f"{file.parent.name}/{file.name}: {count:,} compared, {len(different)} different so far", flush=True)
    return {
        **result,
        "largest_difference": dict(zip(("lattice", "frac"), largest, strict=True)),
        "different": different,
    }


class Compared(NamedTuple):
    """What came of a chunk: names of the crystals that differ, the largest differences, how many pymatgen rounded."""

    different: list[str]
    largest: np.ndarray
    rounded: int


def compare(file: Path, start: int) -> Compared:
    """Compare some crystals of a file with pymatgen's reading."""
    loaded = load_file(file)
    different, largest, rounded = [], np.zeros(2), 0
    for index, text in enumerate(cif_texts(file)[start : start + CHUNK], start):
        errors = differences(loaded, index, pymatgen_structure(text))
        if TOLERANCE < errors[1] < ROUNDING:
            rounded += 1
            errors = differences(loaded, index, pymatgen_structure(text, frac_tolerance=0))
        largest = np.maximum(largest, errors)
        if errors.max() > TOLERANCE:
            different.append(f"{file.parent.name}/{file.name}[{index}] ({loaded.ids[index]})")
    return Compared(different, largest, rounded)


def differences(loaded: CrystalSet, index: int, structure: Structure) -> np.ndarray:
    """Largest differences of lattice parameters and of coordinates modulo 1; infinite if the species differ.

    pymatgen sorts the sites of many files by species, so an atom is compared with the nearest one of its species.
    """
    crystal = loaded.stored.select([index])
    numbers, others = crystal.numbers.numpy(), np.array(structure.atomic_numbers)
    if sorted(numbers) != sorted(others):
        return np.full(2, np.inf)
    lattice = np.abs(lattice_parameters(crystal.cell)[0].numpy() - structure.lattice.parameters).max()
    apart = crystal.frac.numpy()[:, None] - structure.frac_coords
    distance = np.abs(apart - np.round(apart)).max(-1)
    distance[numbers[:, None] != others] = np.inf
    all_matched = len(set(distance.argmin(1).tolist())) == len(numbers)
    return np.array([lattice, distance.min(1).max() if all_matched else np.inf])


def cif_texts(file: Path) -> list[str]:
    """The CIF column of a table."""
    with gzip.open(file, "rb") as packed:
        return [row["cif"] for row in csv.DictReader(io.TextIOWrapper(packed, "utf-8", newline=""))]


def pymatgen_structure(text: str, **options: Any) -> Structure:
    """What pymatgen reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CifParser.from_str(text, **options).parse_structures(primitive=False)[0]


if __name__ == "__main__":
    main()
