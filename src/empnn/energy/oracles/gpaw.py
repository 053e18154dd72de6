"""GPAW: density functional theory in plane waves, at the settings of the paper's VASP runs (appendix, listings 1, 2).

Mortensen et al., J. Chem. Phys. 160, 092503, 2024.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import kpts2sizeandoffsets
from ase.data import atomic_numbers

from empnn.energy.oracle import need
from empnn.energy.oracles.calculators import CalculatorOracle
from empnn.errors import ConfigError

CUTOFF = 500.0
"""Plane-wave cutoff, eV: ENCUT."""
KPOINTS = (7, 7, 7)
"""Mesh of k-points, centred on Gamma."""
Mesh = int | tuple[int, int, int] | list[int]
SMEARING = 0.1
"""Width of the Gaussian smearing, eV: ISMEAR = 0, SIGMA."""
ENERGY_TOLERANCE = 1e-7
"""Convergence of the energy, eV per valence electron: EDIFF, which VASP takes per cell."""


class Gpaw(CalculatorOracle):
    """GPAW with the functional PBE, without spin.

    Args:
        cutoff: Plane-wave cutoff, eV.
        kpoints: Mesh of k-points, one number for each reciprocal lattice vector or for all.
        kpoint_density: k-points per inverse angstrom along each reciprocal lattice vector (2 pi included) instead of
            `kpoints`; the mesh is that of the crystal as given, also while it relaxes.

    Raises:
        ConfigError: If gpaw is not installed or an option is out of range.
    """

    name = "gpaw"
    functional = "PBE"
    licence = "GPL-3.0-or-later"

    def __init__(
        self,
        cutoff: float | int = CUTOFF,
        kpoints: Mesh = KPOINTS,
        kpoint_density: float | int | None = None,
    ) -> None:
        check_mesh(cutoff, kpoints, kpoint_density)
        self.version = f"{need('gpaw', 'dft')} (gpaw-data {need('gpaw_data', 'dft', 'gpaw-data')})"
        if find_spec("_gpaw") is None:
            raise ConfigError("gpaw is installed without its C module; run scripts/install_gpaw.sh")
        self.settings: dict[str, Any] = {
            "cutoff": float(cutoff),
            **mesh_settings(kpoints, kpoint_density),
            "smearing": SMEARING,
            "energy": ENERGY_TOLERANCE,
        }

    @cached_property
    def elements(self) -> frozenset[int]:
        """The elements that there is a PBE data set for: H to Bi without Tc, and Rn."""
        from gpaw import setup_paths

        files = (file for folder in setup_paths for file in Path(folder).glob("*.PBE*"))
        symbols = {file.name.split(".")[0] for file in files if file.name.split(".")[1] == "PBE"}
        return frozenset(atomic_numbers[symbol] for symbol in symbols)

    def prepare(self) -> None:
        """Import it."""
        importlib.import_module("gpaw")

    def calculator(self, atoms: Atoms) -> Any:
        """A new calculator, with the mesh for this crystal."""
        from gpaw import GPAW, PW

        return GPAW(
            mode=PW(self.settings["cutoff"]),
            xc="PBE",
            kpts={"size": mesh_of(atoms, self.settings), "gamma": True},
            # Order 0 of Methfessel and Paxton is Gaussian smearing.
            occupations={"name": "methfessel-paxton", "order": 0, "width": self.settings["smearing"]},
            convergence={"energy": self.settings["energy"]},
            txt=None,
        )


def mesh_of(atoms: Atoms, settings: dict[str, Any]) -> tuple[int, int, int]:
    """The mesh of k-points of a crystal, from `kpoints` or `kpoint_density` among the settings."""
    if "kpoint_density" not in settings:
        first, second, third = settings["kpoints"]
    else:
        size, _ = kpts2sizeandoffsets(density=settings["kpoint_density"], gamma=True, atoms=atoms)
        first, second, third = map(int, size)
    return first, second, third


def mesh_settings(kpoints: Mesh, kpoint_density: float | int | None) -> dict[str, Any]:
    """What `mesh_of` takes, in JSON types; a density goes before a mesh."""
    if kpoint_density is not None:
        return {"kpoint_density": float(kpoint_density)}
    return {"kpoints": [kpoints] * 3 if isinstance(kpoints, int) else list(kpoints)}


def check_mesh(cutoff: float | int, kpoints: Mesh, kpoint_density: float | int | None) -> None:
    """Refuse settings that mean nothing.

    Raises:
        ConfigError: If the cutoff, the mesh or the density is not positive.
    """
    if not 50 <= cutoff <= 5000:
        raise ConfigError(f"`options` cutoff={cutoff:g}: a plane-wave cutoff in eV lies between 50 and 5000")
    mesh = (kpoints,) * 3 if isinstance(kpoints, int) else kpoints
    if len(mesh) != 3 or not all(type(k) is int and k > 0 for k in mesh):
        raise ConfigError(f"`options` kpoints={kpoints}: give positive numbers, as in kpoints=[7,7,7] or kpoints=7")
    if kpoint_density is not None and not 0 < kpoint_density <= 100:
        raise ConfigError(f"`options` kpoint_density={kpoint_density:g}: give k-points per inverse angstrom, as in 4")
