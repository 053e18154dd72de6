"""Relaxing crystals with a trained network: the Python API."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from jaxtyping import Float64

from empnn import models
from empnn.checks.doubts import doubtful_periodicity, doubts, doubts_when_read
from empnn.checks.memory import memory_refusal
from empnn.checks.notes import notes
from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch, replace_cell, to_batch
from empnn.errors import ConfigError, CrystalError, in_words, printable
from empnn.geometry import hencky_strain
from empnn.nn import Network
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, relax_batch, split

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import IStructure

    Crystal = Atoms | IStructure

UNCHANGED_STRAIN = 1e-4
UNCHANGED_DISPLACEMENT = 1e-3
_DEFAULT_STRAIN_LIMIT = 1.0


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """Relaxed crystals, in the order and of the type they were given.

    For a single crystal every attribute is that crystal's own instead of a sequence.

    Attributes:
        structures: The relaxed crystals; None where one was refused.
        strain: Hencky strain log P from the given to the relaxed cell, Cartesian frame of the input; (structures, 3,
            3), NaN where refused.
        displacements: How far each atom moves within the cell, Cartesian in the frame of the relaxed cell, angstrom,
            (atoms, 3); zero for models that relax the cell only, None where refused.
        status: `relaxed`, `unchanged` (no strain over 1e-4, no displacement over 0.001 angstrom),
            `suspect` (there are doubts, see `warnings`) or `refused: why`.
        warnings: Reasons to look twice (doubts), then what is special about the crystal as given (notes: a left-handed
            cell, charges and moments that the network does not see, deuterium), in words.
        trajectory: The cell after each layer and pass, angstrom, without stray rotation; (structures, steps, 3, 3).
    """

    structures: Any
    strain: Float64[np.ndarray, "*structures 3 3"]
    displacements: Any
    status: Any
    warnings: Any
    trajectory: Float64[np.ndarray, "*structures steps 3 3"]


class Relaxer:
    """A trained network with its card, ready to relax crystals.

    Attributes:
        network: The network, in evaluation mode.
        card: Where the weights come from and how well they do.
    """

    def __init__(self, network: Network, card: dict[str, Any], device: str = "cpu") -> None:
        self.card = card
        self.device = _device(device)
        self.network = network.eval().to(self.device)
        self.elements = set(card.get("elements", []))
        self.strain_limit = float(card.get("strain_limit", _DEFAULT_STRAIN_LIMIT))
        self.passes = int(card.get("passes", 1))

    @overload
    def relax(self, structures: Crystal, passes: int | None = None, batch_atoms: int = ...) -> Relaxation: ...

    @overload
    def relax(self, structures: Iterable[Crystal], passes: int | None = None, batch_atoms: int = ...) -> Relaxation: ...

    def relax(
        self,
        structures: Crystal | Iterable[Crystal],
        passes: int | None = None,
        batch_atoms: int = DEFAULT_BATCH_ATOMS,
    ) -> Relaxation:
        """Relax the cells of one or many crystals.

        Fractional coordinates stay, unless the model was trained with `model.deform=[cell, positions]`.

        Equivariant: the result does not depend on orientation, origin, order of the atoms or choice of basis.

        Args:
            structures: pymatgen `Structure` (or `IStructure`) or ASE `Atoms`, one, or any number in a list, a tuple, a
                generator or another iterable.
            passes: How often the network is applied, with a new graph each time; the model's own number by default.
            batch_atoms: Atoms per batch, which bounds memory.

        Raises:
            CrystalError: If a single crystal is unusable. Among several it is None, and its status says why.
            TypeError: If what is given is neither a crystal nor several: a mapping, a path, or nothing in it is one.
            ValueError: If `passes` or `batch_atoms` is not positive.
        """
        from ase import Atoms
        from pymatgen.core import IStructure

        passes = self.passes if passes is None else passes
        if passes < 1 or batch_atoms < 1:
            raise ValueError(f"passes ({passes}) and batch_atoms ({batch_atoms}) must be at least 1")
        # A pymatgen Structure is itself a sequence (of sites).
        if not isinstance(structures, Atoms | IStructure):
            return self._relax_many(_several(structures), passes, batch_atoms)
        many = self._relax_many([structures], passes, batch_atoms)
        if many.structures[0] is None:
            raise CrystalError(many.status[0].removeprefix("refused: "))
        return Relaxation(
            structures=many.structures[0],
            strain=many.strain[0],
            displacements=many.displacements[0],
            status=many.status[0],
            warnings=many.warnings[0],
            trajectory=many.trajectory[0],
        )

    def digest(self) -> str:
        """What tells these weights from others."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def relax_batch(
        self, crystals: CrystalBatch, passes: int | None = None, batch_atoms: int = DEFAULT_BATCH_ATOMS
    ) -> CrystalBatch:
        """Relax usable crystals, however many, without checks: what `relax` does between conversions."""
        return relax_batch(self.network, crystals, self.passes if passes is None else passes, batch_atoms)

    def _relax_many(self, given: list[Crystal], passes: int, batch_atoms: int) -> Relaxation:
        results = [_Result() for _ in given]
        batches: dict[int, CrystalBatch] = {}
        for position, crystal in enumerate(given):
            try:
                batches[position] = _converted(crystal)
            except (CrystalError, TypeError) as error:
                results[position].status = f"refused: {error}"
        for position, reason in zip(list(batches), refusals(CrystalBatch.cat(list(batches.values()))), strict=True):
            if reason is not None:
                results[position].status = f"refused: {reason}"
                del batches[position]
        usable = list(batches)
        for part in split([b.n_atoms for b in batches.values()], batch_atoms):
            positions = [usable[i] for i in part]
            crystals = CrystalBatch.cat([batches[position] for position in positions])
            self._relax_part([(given[i], results[i]) for i in positions], crystals, passes)
        return _collect(results)

    def _relax_part(self, results: list[tuple[Crystal, _Result]], crystals: CrystalBatch, passes: int) -> None:
        """Relax what fits into one batch, and fill in what became of each."""
        moved = apply_passes(self.network, crystals, passes)
        finite = torch.isfinite(moved.stretches).all(-1).all(-1).all(0)
        sound = torch.nonzero(finite).squeeze(-1)
        before, after = crystals.select(sound), moved.relaxed(crystals).select(sound)
        warnings = iter(doubts(before, after, self.elements, self.strain_limit))
        strains = iter(hencky_strain(moved.stretches[-1, sound]).numpy())
        cells = (crystals.cell @ moved.stretches).transpose(0, 1).numpy()
        shifts = np.split(moved.shift.numpy(), crystals.starts[1:-1].numpy())
        for row, (crystal, result) in enumerate(results):
            if finite[row]:
                result.fill(crystal, cells[row], next(strains), shifts[row], next(warnings))
            else:
                result.status = "refused: the network turned its cell into an unusable one; check it"


@dataclass
class _Result:
    """What became of one crystal."""

    structure: Any = None
    strain: np.ndarray | None = None
    status: str = ""
    warnings: list[str] | None = None
    trajectory: np.ndarray | None = None
    displacements: np.ndarray | None = None

    def fill(
        self, given: Crystal, cells: np.ndarray, strain: np.ndarray, shift: np.ndarray, warnings: list[str]
    ) -> None:
        self.displacements = shift @ cells[-1]
        farthest = np.linalg.norm(self.displacements, axis=1).max()
        unchanged = np.abs(strain).max() < UNCHANGED_STRAIN and farthest < UNCHANGED_DISPLACEMENT
        self.structure = replace_cell(given, cells[-1], shift)
        self.strain = strain
        self.trajectory = cells
        doubtful = warnings + doubtful_periodicity(given) + doubts_when_read(given)
        self.warnings = doubtful + notes(given)
        self.status = "suspect" if doubtful else "unchanged" if unchanged else "relaxed"


def _several(given: object) -> list[Crystal]:
    """What was given for several crystals; what is none among crystals is refused later, alone."""
    from ase import Atoms
    from pymatgen.core import IStructure

    got = type(given).__name__
    if isinstance(given, Iterable) and not isinstance(given, str | Mapping):
        several = list(given)
        if not several or any(isinstance(one, Atoms | IStructure | None) for one in several):
            return several
        got += f" of {type(several[0]).__name__}"
    raise TypeError(f"expected ASE Atoms or pymatgen Structures, one or several (as a list or a generator), got {got}")


def _converted(crystal: Crystal | None) -> CrystalBatch:
    if crystal is None:
        raise CrystalError("there is no structure (None); leave it out or see why it is missing")
    batch = to_batch(crystal)
    if too_large := memory_refusal(batch.n_atoms):
        raise CrystalError(too_large)
    return batch


def load(name: str | Path = models.DEFAULT, device: str = "cpu") -> Relaxer:
    """A packaged model by name, or one from a model folder or run directory. Needs no network.

    Raises:
        ConfigError: If there is no such model, it is damaged or the device does not exist.
    """
    network, card = models.load_network(name)
    return Relaxer(network, card, device)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        # Some devices that exist in name only (meta) let values be made, but not be looked at.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        raise ConfigError(f"device {printable(str(name))[:40]} cannot be used: {in_words(error)[:120]}") from None
    return device


def _collect(results: list[_Result]) -> Relaxation:
    steps = next((r.trajectory.shape[0] for r in results if r.trajectory is not None), 0)
    nothing = np.full((3, 3), np.nan)
    no_steps = np.full((steps, 3, 3), np.nan)
    return Relaxation(
        structures=[r.structure for r in results],
        displacements=[r.displacements for r in results],
        strain=np.array([nothing if r.strain is None else r.strain for r in results]).reshape(-1, 3, 3),
        status=[r.status for r in results],
        warnings=[r.warnings or [] for r in results],
        trajectory=np.array([no_steps if r.trajectory is None else r.trajectory for r in results]).reshape(
            len(results), steps, 3, 3
        ),
    )
