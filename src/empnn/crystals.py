"""Crystals as ragged tensors, and their conversion from and to pymatgen and ASE.

Shapes: `structures` crystals hold `atoms` atoms in all; `batch` says which crystal an atom belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from empnn.errors import ConfigError, CrystalError
from empnn.ragged import runs

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Element, IStructure, Species, Structure

MAX_NUMBER = 118
MAX_FRAC = 1e6
"""Fractional coordinates beyond it are a mistake, and too coarse in float64 for what is left of them within a cell."""
CELL, POSITIONS = FIXABLE = ("cell", "positions")
"""What a relaxation can be told to keep: cells, or all fractional coordinates."""
_FULL_OCCUPANCY = 1 - 1e-3


@runtime_checkable
class Crystals(Protocol):
    """Crystals in memory or on disk."""

    def __len__(self) -> int: ...

    def select(self, index: Sequence[int] | np.ndarray) -> CrystalBatch:
        """The structures at the given positions, in that order; a position may occur more than once."""
        ...


@dataclass(frozen=True, kw_only=True)
class CrystalBatch:
    """One or many crystals, their atoms concatenated without padding.

    Attributes:
        cell: Lattice vectors as rows, in angstrom. Per structure.
        frac: Fractional coordinates in [0, 1). Per atom.
        numbers: Atomic numbers, 1 to 118. Per atom.
        batch: Index of the structure an atom belongs to, ascending. Per atom.
        fixed_cell: Cells that a relaxation keeps; None if none. Per structure.
        fixed_frac: Fractional coordinates that a relaxation keeps; None if none. Per atom.
    """

    cell: Float64[Tensor, "structures 3 3"]
    frac: Float64[Tensor, "atoms 3"]
    numbers: Int64[Tensor, " atoms"]
    batch: Int64[Tensor, " atoms"]
    fixed_cell: Bool[Tensor, " structures"] | None = None
    fixed_frac: Bool[Tensor, "atoms 3"] | None = None

    def __len__(self) -> int:
        return self.cell.shape[0]

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures together."""
        return self.frac.shape[0]

    @property
    def sizes(self) -> Int64[Tensor, " structures"]:
        """Number of atoms of each structure."""
        return torch.bincount(self.batch, minlength=len(self))

    @property
    def starts(self) -> Int64[Tensor, " structures_and_end"]:
        """Index of the first atom of each structure, and the total at the end."""
        return torch.cat([self.batch.new_zeros(1), self.sizes.cumsum(0)])

    def counted(self, marks: Bool[Tensor, " atoms"] | Int64[Tensor, " atoms"]) -> Int64[Tensor, " structures"]:
        """How many marks the atoms of each structure have together."""
        return self.batch.new_zeros(len(self)).index_add(0, self.batch, marks.to(torch.int64))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> CrystalBatch:
        """The same crystals on another device; dtypes stay as they are."""
        moved: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, tensor in moved.items():
            moved[name] = None if tensor is None else tensor.to(device, non_blocking=non_blocking)
        return CrystalBatch(**moved)

    def fixing(self, fix: str | None) -> CrystalBatch:
        """The same crystals, of which a relaxation keeps the `cell` or the `positions`, fractional coordinates.

        Raises:
            ConfigError: If `fix` is anything else; None adds nothing.
        """
        check_fixable(fix)
        if fix == CELL:
            return replace(self, fixed_cell=torch.ones_like(self.cell[:, 0, 0], dtype=torch.bool))
        if fix == POSITIONS:
            return replace(self, fixed_frac=torch.ones_like(self.frac, dtype=torch.bool))
        return self

    def with_cell(self, cell: Float64[Tensor, "structures 3 3"]) -> CrystalBatch:
        """The same fractional coordinates and species in other cells."""
        return replace(self, cell=cell)

    def shifted(self, shift: Float64[Tensor, "atoms 3"]) -> CrystalBatch:
        """The same cells and species with something added to the fractional coordinates, wrapped."""
        return replace(self, frac=wrap(self.frac + shift))

    def fractional(self, vectors: Float64[Tensor, "atoms 3"]) -> Float64[Tensor, "atoms 3"]:
        """Cartesian vectors at the atoms (angstrom) in the basis of their cells."""
        # Without the check for singular cells, which would stop all for one, and make the host wait for a GPU.
        components: Tensor = torch.linalg.solve_ex(self.cell.mT[self.batch], vectors.unsqueeze(-1)).result
        return components.squeeze(-1)

    def select(self, index: Sequence[int] | np.ndarray | Tensor) -> CrystalBatch:
        """The structures at the given positions, in that order; a position may occur more than once."""
        chosen = torch.as_tensor(index, dtype=torch.int64).reshape(-1)
        atoms, sizes = map(torch.from_numpy, runs(self.starts.numpy(), chosen.numpy()))
        batch = torch.repeat_interleave(torch.arange(len(chosen)), sizes)
        return CrystalBatch(
            cell=self.cell[chosen],
            frac=self.frac[atoms],
            numbers=self.numbers[atoms],
            batch=batch,
            fixed_cell=None if self.fixed_cell is None else self.fixed_cell[chosen],
            fixed_frac=None if self.fixed_frac is None else self.fixed_frac[atoms],
        )

    @staticmethod
    def cat(batches: Sequence[CrystalBatch]) -> CrystalBatch:
        """All structures of all batches, in order."""
        if not batches:
            return CrystalBatch(
                cell=torch.empty(0, 3, 3, dtype=torch.float64),
                frac=torch.empty(0, 3, dtype=torch.float64),
                numbers=torch.empty(0, dtype=torch.int64),
                batch=torch.empty(0, dtype=torch.int64),
            )
        offsets = np.cumsum([0] + [len(b) for b in batches[:-1]])
        return CrystalBatch(
            cell=torch.cat([b.cell for b in batches]),
            frac=torch.cat([b.frac for b in batches]),
            numbers=torch.cat([b.numbers for b in batches]),
            batch=torch.cat([b.batch + int(o) for b, o in zip(batches, offsets, strict=True)]),
            fixed_cell=_marks([(b.fixed_cell, b.cell[:, 0, 0]) for b in batches]),
            fixed_frac=_marks([(b.fixed_frac, b.frac) for b in batches]),
        )


def _marks(given: Sequence[tuple[Tensor | None, Tensor]]) -> Tensor | None:
    """Marks of several batches, each beside something of their shape; false where a batch has none."""
    if all(marks is None for marks, _ in given):
        return None
    return torch.cat([torch.zeros_like(like, dtype=torch.bool) if marks is None else marks for marks, like in given])


def check_fixable(fix: str | None) -> None:
    """Refuse to keep what is none of `FIXABLE`.

    Raises:
        ConfigError: If it is none of them; None is fine.
    """
    if fix not in (None, *FIXABLE):
        raise ConfigError(f"`fix` {fix}: choose {' or '.join(FIXABLE)}")


def wrap(frac: Float64[Tensor, "atoms 3"]) -> Float64[Tensor, "atoms 3"]:
    """Fractional coordinates in [0, 1).

    The remainder of a tiny negative number rounds to 1.0, which is the same point as 0.0.
    """
    wrapped = torch.remainder(frac, 1.0)
    return torch.where(wrapped >= 1.0, torch.zeros_like(wrapped), wrapped)


def from_arrays(cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray) -> CrystalBatch:
    """One crystal from arrays: `cell` (3, 3) rows in angstrom, `frac` (atoms, 3), `numbers` (atoms,).

    Raises:
        CrystalError: If there is no atom, a value is not finite, or an atomic number does not exist.
    """
    frac = np.asarray(frac, dtype=np.float64).reshape(-1, 3)
    cell = np.asarray(cell, dtype=np.float64)
    numbers = np.asarray(numbers, dtype=np.int64)
    if len(frac) == 0:
        raise CrystalError("it has no atoms; remove it or add the atoms")
    if not np.isfinite(cell).all():
        raise CrystalError("the cell holds NaN or infinite values; correct the lattice vectors")
    if not np.isfinite(frac).all():
        row = int(np.argmin(np.isfinite(frac).all(axis=1)))
        raise CrystalError(f"atom {row} has NaN or infinite coordinates; correct its position")
    far = np.abs(frac).max(axis=1)
    if far.max() > MAX_FRAC:
        raise CrystalError(f"atom {far.argmax()} lies {far.max():.3g} cells from the origin; correct its position")
    unknown = np.flatnonzero((numbers < 1) | (numbers > MAX_NUMBER))
    if len(unknown):
        raise CrystalError(
            f"atom {unknown[0]} has atomic number {numbers[unknown[0]]}, which is no element; "
            "replace dummy or unknown species"
        )
    return CrystalBatch(
        cell=torch.from_numpy(cell.copy()).reshape(1, 3, 3),
        frac=wrap(torch.from_numpy(frac.copy())),
        numbers=torch.from_numpy(numbers.copy()),
        batch=torch.zeros(len(numbers), dtype=torch.int64),
    )


def from_ragged(cell: np.ndarray, frac: np.ndarray, numbers: np.ndarray, sizes: np.ndarray) -> CrystalBatch:
    """Sound crystals from arrays: `cell` (structures, 3, 3), `frac` (atoms, 3), `numbers` (atoms,), `sizes`."""
    return CrystalBatch(
        cell=torch.from_numpy(np.ascontiguousarray(cell, dtype=np.float64)),
        frac=wrap(torch.from_numpy(np.ascontiguousarray(frac, dtype=np.float64))),
        numbers=torch.from_numpy(np.asarray(numbers, dtype=np.int64)),
        batch=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
    )


def from_atoms(atoms: Atoms) -> CrystalBatch:
    """One crystal from ASE `Atoms`.

    Raises:
        CrystalError: If there is no lattice, no atom, a value that is not finite, an array of another shape or kind,
            or a site that is marked as disordered or partly occupied.
    """
    from empnn.ase_atoms import occupancies

    _check_arrays(atoms)
    for site, shares in occupancies(atoms):
        if len(shares) != 1 or not min(shares.values()) >= _FULL_OCCUPANCY:
            said = ", ".join(f"{symbol}:{share:g}" for symbol, share in shares.items()) or "empty"
            raise CrystalError(
                f"site {site} ({said}) is disordered or partly occupied; order the structure first, "
                "and remove its occupancy"
            )
    cell = np.asarray(atoms.cell.array, dtype=np.float64)
    return from_arrays(cell, _solve_frac(cell, atoms.positions), atoms.numbers)


def _check_arrays(atoms: Atoms) -> None:
    """Refuse positions that are no (atoms, 3) of real numbers, and atomic numbers that are not whole or not as many."""
    positions, numbers = (np.asarray(atoms.arrays.get(name)) for name in ("positions", "numbers"))
    if positions.dtype.kind not in "fiu" or positions.ndim != 2 or positions.shape[1] != 3:
        raise CrystalError(f"its positions are {_kind(positions)}, not real numbers of shape (atoms, 3); correct them")
    whole = numbers.dtype.kind in "iu" or (numbers.dtype.kind == "f" and np.array_equal(numbers, np.round(numbers)))
    if not whole or numbers.shape != positions.shape[:1] or not np.isfinite(numbers).all():
        wanted = f"whole numbers of shape ({len(positions)},), one for each position"
        raise CrystalError(f"its atomic numbers are {_kind(numbers)}, not {wanted}; correct them")


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype.name} of shape {array.shape}"


def from_structure(structure: IStructure) -> CrystalBatch:
    """One crystal from a pymatgen `Structure`; oxidation states are ignored, deuterium counts as hydrogen.

    Raises:
        CrystalError: If a site is disordered or partly occupied, or its species is not an element.
    """
    return from_arrays(structure.lattice.matrix, structure.frac_coords, numbers_of(structure))


def numbers_of(structure: IStructure) -> np.ndarray:
    """Atomic numbers of a pymatgen `Structure` (atoms,).

    Raises:
        CrystalError: If a site is disordered or partly occupied, or its species is not an element.
    """
    from pymatgen.core import DummySpecies

    for index, site in enumerate(structure):
        if not site.is_ordered:
            raise CrystalError(
                f"site {index} ({site.species_string}) is disordered or partly occupied; order the structure first"
            )
        if isinstance(site.specie, DummySpecies):
            raise CrystalError(f"site {index} ({site.species_string}) is a dummy species; replace it by an element")
    return np.array([site.specie.Z for site in structure], dtype=np.int64)


def is_deuterium_species(kind: Element | Species) -> bool:
    """Whether a species of pymatgen is deuterium, whose symbol there is H."""
    return getattr(kind, "element", kind).name == "D"


def to_atoms(batch: CrystalBatch) -> list[Atoms]:
    """The crystals as ASE `Atoms`, periodic in all directions."""
    from ase import Atoms

    return [Atoms(numbers=z, scaled_positions=x, cell=c, pbc=True) for c, x, z in _arrays(batch)]


def to_structures(batch: CrystalBatch) -> list[Structure]:
    """The crystals as pymatgen `Structure`s."""
    from pymatgen.core import Element, Lattice, Structure

    return [Structure(Lattice(c), [Element.from_Z(int(n)) for n in z], x) for c, x, z in _arrays(batch)]


def to_batch(crystal: Atoms | IStructure) -> CrystalBatch:
    """One crystal from whatever object describes it.

    Raises:
        CrystalError: If the object cannot be used as a crystal.
        TypeError: If it is neither ASE `Atoms` nor a pymatgen `Structure`.
    """
    from ase import Atoms
    from pymatgen.core import IStructure

    if isinstance(crystal, Atoms):
        return from_atoms(crystal)
    if isinstance(crystal, IStructure):
        return from_structure(crystal)
    raise TypeError(f"expected ASE Atoms or pymatgen Structure, got {type(crystal).__name__}")


def replace_cell(crystal: Atoms | IStructure, cell: np.ndarray, shift: np.ndarray | float = 0.0) -> Atoms | IStructure:
    """A copy of the crystal in another cell: fractional coordinates (as the caller wrote them) and species stay.

    `shift` (atoms, 3) is added to the fractional coordinates; in the same cell, atoms without any stay to the last bit.
    On ASE `Atoms` info, arrays and constraints survive, but do not hold atoms back (fixed atoms move with the cell
    too); results of a calculator do not.
    """
    from pymatgen.core import IStructure, Lattice, Structure

    if isinstance(crystal, IStructure) and not isinstance(crystal, Structure):
        return IStructure(
            Lattice(cell, pbc=crystal.lattice.pbc),
            crystal.species_and_occu,
            crystal.frac_coords + shift,
            charge=crystal._charge,
            site_properties=crystal.site_properties,
            labels=crystal.labels,
            properties=crystal.properties,
        )
    if isinstance(crystal, Structure):
        structure: Structure = crystal.copy()
        structure.lattice = Lattice(cell, pbc=crystal.lattice.pbc)
        for site, frac in zip(structure, structure.frac_coords + shift, strict=True):
            site.frac_coords = frac
        return structure
    atoms: Atoms = crystal.copy()
    before = np.asarray(atoms.cell.array)
    positions = (_solve_frac(before, atoms.positions) + shift) @ cell
    if np.array_equal(cell, before):
        still = ~np.broadcast_to(shift, positions.shape).any(axis=1)
        positions[still] = atoms.positions[still]
    atoms.set_cell(cell, scale_atoms=False, apply_constraint=False)
    atoms.set_positions(positions, apply_constraint=False)
    return atoms


def _solve_frac(cell: np.ndarray, positions: np.ndarray) -> np.ndarray:
    if not np.isfinite(cell).all():
        raise CrystalError("the cell holds NaN or infinite values; correct the lattice vectors")
    if not cell.any():
        raise CrystalError("it has no lattice; give it three lattice vectors")
    try:
        frac: np.ndarray = np.linalg.solve(cell.T, positions.T).T
    except np.linalg.LinAlgError:
        frac = np.full_like(positions, np.inf)
    if np.isfinite(positions).all() and not np.isfinite(frac).all():
        raise CrystalError("its lattice vectors are linearly dependent (volume 0); correct the cell")
    return frac


def _arrays(batch: CrystalBatch) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    frac, numbers, starts = batch.frac.numpy(), batch.numbers.numpy(), batch.starts.tolist()
    return [
        (cell, frac[i:j], numbers[i:j]) for cell, i, j in zip(batch.cell.numpy(), starts[:-1], starts[1:], strict=True)
    ]


def without_mean(crystals: CrystalBatch, vectors: Float64[Tensor, "atoms 3"]) -> Float64[Tensor, "atoms 3"]:
    """Vectors at the atoms minus their mean over each structure: a translation of all atoms changes nothing."""
    total = vectors.new_zeros(len(crystals), 3).index_add(0, crystals.batch, vectors)
    return vectors - (total / crystals.sizes.unsqueeze(-1))[crystals.batch]
