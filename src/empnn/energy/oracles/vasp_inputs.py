"""Inputs for VASP as the paper's appendix has them, a folder per crystal, and finished runs read back."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.vasp import write_vasp

from empnn.energy.oracle import OracleRelaxation, Request, Result, Written, right_handed
from empnn.energy.oracles.gpaw import CUTOFF, KPOINTS, SMEARING, Mesh, check_mesh, mesh_of, mesh_settings
from empnn.energy.oracles.vasp_runs import finished_run, read_run
from empnn.errors import ConfigError, CrystalError
from empnn.files import replacing

NSW = 100
"""Most steps of a relaxation, as in listing 1."""
_ISIF = {"none": 2, "cell": 6, "all": 3}


class VaspInputs:
    """INCAR, KPOINTS, POSCAR and POTCAR.spec for VASP, which needs a licence; to write them needs none.

    The files are those of listings 1 and 2 (LCHARG for the misprint LCHARGE). A folder with a finished run (vasprun.xml
    or OUTCAR) gives its result instead. Of a relaxation only the mode counts; when it ends is up to VASP. No file that
    is there is written again; POTCAR.spec may be one's own.

    Args:
        folder: Where the folders of the crystals are.
        cutoff: ENCUT, eV.
        kpoints: Mesh of k-points, centred on Gamma; one number for each direction or for all.
        kpoint_density: k-points per inverse angstrom instead of `kpoints`.
        nsw: NSW, the most steps of a relaxation.
        ediffg: EDIFFG, where a relaxation ends; VASP's own rule if None, as in the listing.

    Raises:
        ConfigError: If there is no folder or an option is out of range.
    """

    name = "vasp-inputs"
    version = "1"
    functional = "PBE"
    licence = "MIT; VASP itself is proprietary"
    default_mode = "cell"
    keeps_results = False
    has_stress = True
    to_converge = "see what VASP says; for more steps give `options` nsw=300 and another folder"

    def __init__(
        self,
        folder: str | Path | None = None,
        cutoff: float | int = CUTOFF,
        kpoints: Mesh = KPOINTS,
        kpoint_density: float | int | None = None,
        nsw: int = NSW,
        ediffg: float | int | None = None,
    ) -> None:
        if folder is None:
            raise ConfigError("vasp-inputs writes a folder per structure; name the folder for them")
        if Path(folder).exists() and not Path(folder).is_dir():
            raise ConfigError(f"{folder} is a file; vasp-inputs needs a folder")
        check_mesh(cutoff, kpoints, kpoint_density)
        if type(nsw) is not int or nsw < 1 or (ediffg is not None and not math.isfinite(ediffg)):
            raise ConfigError(f"`options` nsw={nsw} or ediffg={ediffg}: give a whole positive nsw and a finite ediffg")
        self.folder = Path(folder)
        mesh = mesh_settings(kpoints, kpoint_density)
        self.settings: dict[str, Any] = {"cutoff": float(cutoff), **mesh, "nsw": nsw, "ediffg": ediffg}

    @property
    def elements(self) -> frozenset[int]:
        """The elements that the Materials Project names a PBE data set (PBE_54) for."""
        return frozenset(atomic_numbers[symbol] for symbol in potcars())

    def prepare(self) -> None:
        """Nothing."""

    def compute(self, request: Request) -> Result:
        """The result of a finished run in the crystal's folder.

        Raises:
            Written: If there was no finished run; the inputs are there then.
            CrystalError: If the run cannot be read, or the folder holds another crystal or other settings.
            OSError: If the inputs cannot be written.
        """
        folder = self.folder / request.label
        given, sign = right_handed(request.atoms)
        order = _by_element(given)
        files = self.inputs(given[order], request.relaxation)
        _check_same(folder, files)
        run = finished_run(folder)
        if run is None:
            _write_missing(folder, files)
            raise Written(f"inputs written; run VASP in {folder}, then the same command reads the energy")
        return _as_given(read_run(run, given[order]), order, sign, request.relaxation)

    def inputs(self, atoms: Atoms, relaxation: OracleRelaxation) -> dict[str, str]:
        """The text of each file; the atoms are grouped by element already."""
        poscar = io.StringIO()
        write_vasp(poscar, atoms, direct=True)
        mesh = mesh_of(atoms, self.settings)
        species = list(dict.fromkeys(atoms.get_chemical_symbols()))
        return {
            "INCAR": incar(str(atoms.symbols), self.settings, relaxation),
            "KPOINTS": kpoints_file(mesh),
            "POSCAR": poscar.getvalue(),
            "POTCAR.spec": "".join(f"{potcars()[symbol]}\n" for symbol in species),
        }


def incar(system: str, settings: dict[str, Any], relaxation: OracleRelaxation) -> str:
    """Listing 1 of the appendix for `cell`; other modes differ in IBRION, ISIF and NSW. EDIFFG only if asked for."""
    moves = relaxation.mode != "none"
    ediffg = [f"EDIFFG = {settings['ediffg']:g}"] if moves and settings["ediffg"] is not None else []
    lines = [
        f"SYSTEM = {system}",
        "",
        "ISTART = 0",
        f"IBRION = {2 if moves else -1}",
        f"ISIF = {_ISIF[relaxation.mode]}",
        f"NSW = {settings['nsw'] if moves else 0}",
        f"ENCUT = {settings['cutoff']:g}",
        "PREC = Accurate",
        "EDIFF = 1e-7",
        *ediffg,
        "",
        "LREAL = .FALSE.",
        "ISMEAR = 0",
        f"SIGMA = {SMEARING:.2f}",
        "POTIM = 0.020",
        "LCHARG = .FALSE.",
        "LWAVE = .FALSE.",
        "",
        "GGA = PE",
    ]
    return "\n".join(lines) + "\n"


def kpoints_file(mesh: tuple[int, int, int]) -> str:
    """Listing 2 of the appendix; with odd numbers the mesh of Monkhorst and Pack holds Gamma."""
    scheme = "Monkhorst-pack" if all(number % 2 for number in mesh) else "Gamma"
    return f"Automatic mesh\n0\n{scheme}\n{' '.join(map(str, mesh))}\n0. 0. 0.\n"


def potcars() -> dict[str, str]:
    """The name of the PBE_54 data set of each element, as the Materials Project chooses it."""
    from pymatgen.io.vasp.sets import MPScanRelaxSet

    return dict(MPScanRelaxSet.CONFIG["POTCAR"])


def _by_element(atoms: Atoms) -> np.ndarray:
    """Atoms in the order of the first atom of their element; within an element as given."""
    first = {number: position for position, number in reversed(list(enumerate(atoms.numbers.tolist())))}
    return np.argsort([first[number] for number in atoms.numbers.tolist()], kind="stable")


def _check_same(folder: Path, files: dict[str, str]) -> None:
    """Refuse files of another structure or run; an INCAR may say more than ours, as NCORE or KPAR."""
    for name in ("POSCAR", "INCAR", "KPOINTS"):
        path = folder / name
        if not path.exists():
            continue
        text = path.read_text(errors="replace")
        same = _tags(files[name]).items() <= _tags(text).items() if name == "INCAR" else text == files[name]
        if not same:
            raise CrystalError(f"{folder} holds another {name}, of another structure or run; choose another folder")


def _tags(incar: str) -> dict[str, str]:
    """The tags of an INCAR but its title, which says nothing."""
    lines = (re.split("[#!]", line)[0].partition("=") for line in incar.splitlines())
    tags = {tag.strip().upper(): " ".join(value.split()).upper() for tag, equals, value in lines if equals}
    return {tag: value for tag, value in tags.items() if tag != "SYSTEM"}


def _write_missing(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if not (folder / name).exists():
            with replacing(folder / name) as temporary:
                temporary.write_text(text)


def _as_given(result: Result, order: np.ndarray, sign: float, relaxation: OracleRelaxation) -> Result:
    """The result in the order and basis in which the crystal was given."""
    back = np.argsort(order)
    shift = None if relaxation.mode != "all" else (sign * np.array(result.shift)[back]).tolist()
    forces = None if result.forces is None else np.array(result.forces)[back].tolist()
    return replace(result, cell=(sign * np.array(result.cell)).tolist(), shift=shift, forces=forces)
