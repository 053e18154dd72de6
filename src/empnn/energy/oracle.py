"""What computes energies, whatever it is: the protocol, what it is asked and what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from empnn.errors import ConfigError, CrystalError

MODES = ("none", "cell", "all")


@dataclass(frozen=True, kw_only=True)
class OracleRelaxation:
    """What is relaxed before the energy is taken.

    Attributes:
        mode: `none`; `cell`, the cell at fixed fractional coordinates (VASP's ISIF = 6, the paper's DFT baseline); or
            `all`, cell and atoms.
        fmax: Largest force on an atom, and largest row of the virial per atom, at the end; eV/angstrom and eV.
        steps: Steps after which a relaxation is given up as not converged.

    Raises:
        ConfigError: If there is no such mode or a limit is not positive.
    """

    mode: str = "none"
    fmax: float = 0.02
    steps: int = 200

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"`mode` {self.mode}: choose one of {', '.join(MODES)}")
        if not (math.isfinite(self.fmax) and self.fmax > 0 and self.steps > 0):
            raise ConfigError(f"`fmax` ({self.fmax:g}) and `steps` ({self.steps}) must be positive")

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result, in JSON types."""
        return asdict(self) if self.mode != "none" else {"mode": self.mode}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One crystal to be judged.

    Attributes:
        atoms: The crystal; taken as periodic in all directions, its constraints and magnetic moments are ignored.
        relaxation: What is relaxed first.
        label: A name that is unique among the crystals of a run and can be that of a folder.
    """

    atoms: Atoms
    relaxation: OracleRelaxation
    label: str = "crystal"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an oracle found.

    Attributes:
        energy: Total energy at the end, eV; extrapolated to zero smearing by DFT.
        n_atoms: Number of atoms.
        cell: Lattice vectors as rows at the end (3, 3), angstrom.
        shift: What was added to the fractional coordinates (atoms, 3); None if they were held.
        forces: Forces on the atoms (atoms, 3), eV/angstrom, or None.
        stress: Stress xx, yy, zz, yz, xz, xy, eV per cubic angstrom, positive under tension, or None.
        steps: Steps of the relaxation.
        converged: Whether it ended before it was given up.
        seconds: Time it took, loading of weights excluded.
        start_energy: Total energy of the crystal as given, eV; None where nothing was relaxed, or it is not known.

    Raises:
        CrystalError: If a figure is not finite.
    """

    energy: float
    n_atoms: int
    cell: list[list[float]]
    shift: list[list[float]] | None = None
    forces: list[list[float]] | None = None
    stress: list[float] | None = None
    steps: int = 0
    converged: bool = True
    seconds: float = 0.0
    start_energy: float | None = None

    def __post_init__(self) -> None:
        for name in ("energy", "cell", "shift", "forces", "stress", "start_energy"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                raise CrystalError(f"its {name} comes out as NaN or infinite; check it or choose another oracle")

    @property
    def energy_per_atom(self) -> float:
        """Total energy per atom, eV."""
        return self.energy / self.n_atoms

    @property
    def max_force(self) -> float | None:
        """Length of the largest force on an atom, eV/angstrom."""
        return None if self.forces is None else float(np.linalg.norm(np.array(self.forces), axis=1).max())

    @property
    def is_blind(self) -> bool:
        """Whether forces and stress are known, and all of them exactly zero."""
        return not any(values is None or np.any(values) for values in (self.forces, self.stress))


class Written(Exception):  # noqa: N818 - nothing is wrong
    """Inputs were written, and the energy is known only when somebody has run them."""


@runtime_checkable
class EnergyOracle(Protocol):
    """What tells the energy of a crystal.

    Attributes:
        name: How it is chosen, `chgnet` or `module:Class`.
        version: Version of the package that computes, and of the weights where they have their own.
        functional: The functional that it is, or was trained on.
        licence: Licence of code and weights.
        settings: What decides a result besides version and crystal, in JSON types.
        default_mode: What it relaxes unless asked for something else.
        keeps_results: Whether results may be stored; False where files of its own are the store.
        has_stress: Whether it can relax a cell; False if it says that it cannot.
        to_converge: What to do about a relaxation that did not converge.
    """

    name: str
    version: str
    functional: str
    licence: str
    settings: dict[str, Any]
    default_mode: str
    keeps_results: bool
    has_stress: bool
    to_converge: str

    @property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers that it knows, or None if it cannot tell."""
        ...

    def prepare(self) -> None:
        """Load what all crystals need, once; the time of a crystal starts after it."""
        ...

    def compute(self, request: Request) -> Result:
        """The energy of a crystal, relaxed first if that was asked for.

        Raises:
            CrystalError: If the crystal cannot be computed.
            Written: If inputs were written instead.
        """
        ...


def about(oracle: EnergyOracle) -> dict[str, Any]:
    """What an oracle is, in JSON types."""
    names = ("name", "version", "functional", "licence", "settings")
    return {name: getattr(oracle, name) for name in names}


def check_covered(numbers: Sequence[int] | np.ndarray, oracle: EnergyOracle) -> None:
    """Refuse elements that an oracle does not know.

    Raises:
        CrystalError: If there are any; the message names them.
    """
    known = oracle.elements
    unknown = sorted(set(map(int, numbers)) - known) if known is not None else []
    if unknown:
        symbols = ", ".join(chemical_symbols[number] for number in unknown)
        raise CrystalError(f"{oracle.name} does not cover {symbols}; leave it out or choose another oracle")


def need(module: str, extra: str, package: str | None = None) -> str:
    """The version of the package (named as the module unless given) that an extra installs.

    Raises:
        ConfigError: If it is not installed; the message says how to install it.
    """
    try:
        if find_spec(module) is not None:
            return installed_version(package or module)
    except PackageNotFoundError:
        pass
    how = "scripts/install_gpaw.sh builds it" if extra == "dft" else f"pip install 'empnn[{extra}]'"
    raise ConfigError(f"{package or module} is not installed; {how} (see docs/energies.md)")


def right_handed(atoms: Atoms) -> tuple[Atoms, float]:
    """The bare crystal in a right-handed basis, and the sign that its lattice vectors were multiplied by.

    All three lattice vectors change their sign, which is another basis of the same lattice; the atoms stay where they
    are. Codes that take the volume for det(cell) go wrong on left-handed cells.
    """
    cell = np.asarray(atoms.cell.array, dtype=np.float64)
    sign = -1.0 if np.linalg.det(cell) < 0 else 1.0
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=sign * cell, pbc=True), sign
