"""Whether answers keep the symmetry of what was given: candidates of `decorated.py`, file to file.

Each candidate is written by ASE (extxyz, eight decimals) or pymatgen (CIF, eight digits; POSCAR, sixteen), relaxed as
`empnn relax` does it, and its file read by ASE. For every operation (W, t) that spglib finds in the file given, at
1e-5 angstrom: how far W is from an isometry of a cell, the largest |W a - Q a| over lattice vectors a with the
orthogonal Q next to it; and how far (W, t) takes an atom from the nearest one of its kind. The figure of a crystal is
the largest of all, in angstrom: of the file given, of the network's answer in float32 and in float64 as it is, of one
whose deformation is projected, of the answer as it is returned, and of the file written. `time` is that of the
processor for relaxing candidates, or crystals strained at random, over that in float32 and as it is; graph included,
files excluded.
Usage: python -m benchmarks.quality.symmetry_kept [--model pbe] [--limit 1200]   (EMPNN_DATA names the data)
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import ase.io
import numpy as np
import torch
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar
from support.operations import SYMPREC, broken, operations
from torch import Tensor

import empnn
from benchmarks.bench import alternate, fast_process, row, strained, write
from benchmarks.quality.candidates import decorated
from empnn.bulk.pipeline import CHUNK, process
from empnn.crystals import CrystalBatch, to_atoms
from empnn.geometry import hencky_strain
from empnn.graph import Graph
from empnn.relax.files import Relaxing
from empnn.space_groups import find_space_groups, invariant_displacements, invariant_strain

BATCH, TURNS = 256, 7


def _extxyz(path: Path, structures: list[Atoms]) -> None:
    ase.io.write(path, structures)


def _cif(path: Path, structures: list[Atoms]) -> None:
    path.write_text("".join(str(CifWriter(AseAtomsAdaptor.get_structure(atoms))) for atoms in structures))


def _poscar(path: Path, structures: list[Atoms]) -> None:
    (atoms,) = structures
    Poscar(AseAtomsAdaptor.get_structure(atoms)).write_file(path)


FORMATS: dict[str, tuple[int, Callable[[Path, list[Atoms]], None]]] = {
    "extxyz": (CHUNK, _extxyz),
    "cif": (CHUNK, _cif),
    "vasp": (1, _poscar),
}
"""How many structures a file gets, and what writes it."""


def in_file(path: Path) -> list[Atoms]:
    """What ASE reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ase.io.read(path, index=":")


def relaxed_files(model: empnn.relax.Relaxer, candidates: list[Atoms], ending: str) -> tuple[list[Atoms], list[Atoms]]:
    """The candidates as files of a format hold them, and the answers as files of it hold them."""
    given, answers = [], []
    count, write_file = FORMATS[ending]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"in.{ending}", Path(folder) / f"out.{ending}"
        for start in range(0, len(candidates), count):
            write_file(source, candidates[start : start + count])
            process([source], target, Relaxing(model), lambda outcome: None)
            given += in_file(source)
            answers += in_file(target)
    return given, answers


def as_it_is(crystals: CrystalBatch, graph: Graph, stretches: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The answer as the network has it."""
    return stretches, shift


def deformation(crystals: CrystalBatch, graph: Graph, stretches: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Strain and displacements projected, not the places that these are added to."""
    groups = find_space_groups(crystals, SYMPREC)
    strain = invariant_strain(hencky_strain(stretches), crystals, groups)
    moved = (shift.unsqueeze(1) @ crystals.cell[crystals.batch]).squeeze(1)
    moved = invariant_displacements(moved, crystals, groups)
    return torch.linalg.matrix_exp(strain), crystals.fractional(moved)


def instead(way: Callable[..., tuple[Tensor, Tensor]]) -> AbstractContextManager[Any]:
    """Answers corrected otherwise."""
    return mock.patch("empnn.relax.passes.keep_symmetry", way)


def spread(figures: np.ndarray) -> dict[str, float]:
    """What is told of the figures of all crystals, (crystals, 2) for cells and atoms."""
    worst = figures.max(1)
    return {
        "median": float(np.median(worst)),
        "percentile_99": float(np.quantile(worst, 0.99)),
        "largest": float(worst.max()),
        "largest_of_cells": float(figures[:, 0].max()),
        "largest_of_atoms": float(figures[:, 1].max()),
        "above": int((worst > SYMPREC).sum()),
    }


def measured(single: empnn.relax.Relaxer, double: empnn.relax.Relaxer, candidates: list[Atoms], ending: str) -> Any:
    """The figures of one format, and the share of crystals that are projected."""
    given, written = relaxed_files(single, candidates, ending)
    groups = list(map(operations, given))
    stages = {"given": given, "answer": single.relax(given).structures, "written": written}
    with instead(deformation):
        stages["deformation"] = single.relax(given).structures
    with instead(as_it_is):
        stages |= {name: one.relax(given).structures for name, one in (("float32", single), ("float64", double))}
    pairs = zip(stages["float32"], stages["answer"], strict=True)
    projected = np.mean([not np.array_equal(a.positions, b.positions) for a, b in pairs])
    figures = {
        name: spread(np.array([broken(atoms, found) for atoms, found in zip(stage, groups, strict=True)]))
        for name, stage in stages.items()
    }
    return {"operations": int(sum(len(found) for found, _ in groups)), "projected": float(projected), **figures}


def time_taken(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The time of the processor that they take over that of the first, in turns."""
    seconds = alternate(ways, TURNS, time.process_time)
    first = next(iter(seconds.values()))
    return {name: some / first for name, some in seconds.items()}


def main() -> None:
    """Measure."""
    fast_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pbe")
    parser.add_argument("--limit", type=int, default=1200)
    options = parser.parse_args()
    single, double = empnn.load(options.model), empnn.load(options.model)
    double.network.double()
    batch = decorated(options.limit)[0]
    candidates = to_atoms(batch)
    formats = {ending: measured(single, double, candidates, ending) for ending in FORMATS}
    rows = [
        row(
            f"operations broken by, {ending}: {name}",
            f"{formats[ending][name]['largest']:.1e}",
            f"median {formats[ending][name]['median']:.0e}",
        )
        for ending in FORMATS
        for name in ("given", "float32", "float64", "deformation", "answer", "written")
    ]

    def plain(model: empnn.relax.Relaxer, crystals: CrystalBatch) -> None:
        with instead(as_it_is):
            model.relax_batch(crystals)

    times = {
        kind: time_taken(
            {
                "float32": partial(plain, single, some),
                "answer": partial(single.relax_batch, some),
                "float64": partial(plain, double, some),
            }
        )
        for kind, some in {"decorated": batch.select(range(BATCH)), "strained": strained(BATCH)}.items()
    }
    rows += [
        row(f"time with symmetry kept, {kind}", f"{some['answer']:.2f}", "not kept 1") for kind, some in times.items()
    ]
    result = {
        "model": options.model,
        "crystals": len(candidates),
        "tolerance": SYMPREC,
        "formats": formats,
        "time": times,
    }
    write("symmetry_kept", __doc__ or "", {**result, "rows": rows})
    if any(found["written"]["above"] for found in formats.values()):
        raise SystemExit("some answers lose operations")


if __name__ == "__main__":
    main()
