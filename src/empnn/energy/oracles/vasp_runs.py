"""Finished VASP runs, read back from vasprun.xml or OUTCAR."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from empnn.data.records import PARSE_ERRORS
from empnn.energy.oracle import Result
from empnn.errors import CrystalError

_VASPRUN, _OUTCAR = "vasprun.xml", "OUTCAR"
_FORMATS = {_VASPRUN: "vasp-xml", _OUTCAR: "vasp-out"}
_LAST_WORDS = {_VASPRUN: "</modeling>", _OUTCAR: "General timing and accounting"}
_SAME = 1e-3
"""Differences of lattice vectors (angstrom) and fractional coordinates below this are rounding."""
_NELM, _NSW = 60, 0
"""What VASP takes where the file does not say."""


def finished_run(folder: Path) -> Path | None:
    """The file of a run in a folder, vasprun.xml before OUTCAR, or None."""
    return next((folder / name for name in _FORMATS if (folder / name).exists()), None)


def read_run(path: Path, given: Atoms) -> Result:
    """The end of a run that started from `given`.

    `energy` is VASP's energy(sigma -> 0); `shift` is the way of the atoms in fractional coordinates, by the nearest
    image.

    Raises:
        CrystalError: If the run is not complete, cannot be read or is of other atoms.
    """
    text = path.read_text(errors="replace")
    if _LAST_WORDS[path.name] not in text:
        raise CrystalError(f"{path} is not complete; let VASP finish, or remove it")
    try:
        images: Any = ase.io.read(path, index=":", format=_FORMATS[path.name])
        last = images[-1]
        energy, forces = float(last.get_potential_energy()), last.get_forces()
    except PARSE_ERRORS as error:
        raise CrystalError(f"{path} cannot be read ({type(error).__name__}); run VASP again") from None
    if last.numbers.tolist() != given.numbers.tolist():
        raise CrystalError(f"{path} is the run of other atoms; remove it or choose another folder")
    if not _is_same(images[0], given):
        raise CrystalError(f"{path} started from another structure; remove it or choose another folder")
    before, after = (np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T for atoms in (given, last))
    return Result(
        energy=energy,
        n_atoms=len(last),
        cell=last.cell.array.tolist(),
        shift=(after - before - np.round(after - before)).tolist(),
        forces=forces.tolist(),
        stress=last.get_stress().tolist() if "stress" in last.calc.results else None,
        steps=len(images) - 1,
        converged=_xml_converged(text, len(images)) if path.name == _VASPRUN else _outcar_converged(text),
        seconds=_xml_seconds(text) if path.name == _VASPRUN else _outcar_seconds(text),
    )


def _is_same(first: Atoms, given: Atoms) -> bool:
    """Whether two crystals with the same list of elements are the same to the digits that VASP writes."""
    apart = first.get_scaled_positions() - given.get_scaled_positions()
    cells = np.abs(first.cell.array - given.cell.array).max()
    return bool(cells < _SAME and np.abs(apart - np.round(apart)).max() < _SAME)


def _xml_converged(text: str, images: int) -> bool:
    """Whether the last electronic loop and the ionic loop ended before their limits, NELM and NSW."""
    last = text.rpartition("<calculation>")[2]
    moves = _integer(text, "NSW", _NSW)
    return last.count("<scstep>") < _integer(text, "NELM", _NELM) and (moves <= 1 or images < moves)


def _outcar_converged(text: str) -> bool:
    """What VASP 6 says of the last electronic loop, and of the ionic loop if there was one."""
    loops = re.findall(r"aborting loop.*", text)
    moves = re.search(r"NSW\s*=\s*(\d+)", text)
    still = moves is None or int(moves.group(1)) <= 1
    electronic = bool(loops) and "EDIFF is reached" in loops[-1]
    return electronic and (still or "reached required accuracy" in text)


def _integer(text: str, name: str, default: int) -> int:
    found = re.findall(rf'name="{name}">\s*(\d+)', text)
    return int(found[-1]) if found else default


def _xml_seconds(text: str) -> float:
    return float(sum(map(float, re.findall(r'<time name="totalsc">\s*[\d.]+\s+([\d.]+)', text))))


def _outcar_seconds(text: str) -> float:
    found = re.search(r"Elapsed time \(sec\):\s*([\d.]+)", text)
    return float(found.group(1)) if found else 0.0
