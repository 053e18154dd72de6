"""Relaxing crystals with a trained network: the Python API."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, cast, overload

import numpy as np
import torch

from empnn import models
from empnn.checks.doubts import doubtful_periodicity, doubts, doubts_when_read
from empnn.checks.memory import memory_refusal
from empnn.checks.notes import notes
from empnn.checks.refusals import refusals
from empnn.crystals import CELL, POSITIONS, CrystalBatch, check_fixable, replace_cell, to_batch
from empnn.errors import ConfigError, CrystalError, in_words, printable
from empnn.geometry import hencky_strain
from empnn.nn import Network
from empnn.relax.fixed import fixed_in
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, relax_batch, split, symmetrized
from empnn.relax.results import C, Relaxation, Relaxations
from empnn.relax.symmetrize import check_tolerance
from empnn.relaxers import RelaxedBatch

UNCHANGED_STRAIN = 1e-4
UNCHANGED_DISPLACEMENT = 1e-3
_DEFAULT_STRAIN_LIMIT = 1.0


class _How(NamedTuple):
    """How crystals are relaxed; see `Relaxer.relax`."""

    passes: int
    fix: str | None
    symmetrize: float | None


class Relaxer:
    """A trained network with its card, ready to relax crystals.

    Attributes:
        network: The network, in evaluation mode.
        card: Where the weights come from and how well they do.
        passes: How often the network is applied unless a call says otherwise; the number of the card at first.
    """

    def __init__(self, network: Network, card: dict[str, Any], device: str = "cpu") -> None:
        self.card = card
        self.device = _device(device)
        self.network = network.eval().to(self.device)
        self.elements = set(card.get("elements", []))
        self.strain_limit = float(card.get("strain_limit", _DEFAULT_STRAIN_LIMIT))
        self.passes = int(card.get("passes", 1))

    @property
    def moves_atoms(self) -> bool:
        """Whether it moves atoms within the cell too."""
        return self.network.moves_atoms

    @overload
    def relax(
        self,
        structures: C,
        passes: int | None = None,
        batch_atoms: int = ...,
        fix: str | None = None,
        symmetrize: float | None = None,
    ) -> Relaxation[C]: ...

    @overload
    def relax(
        self,
        structures: Iterable[C | None],
        passes: int | None = None,
        batch_atoms: int = ...,
        fix: str | None = None,
        symmetrize: float | None = None,
    ) -> Relaxations[C]: ...

    def relax(
        self,
        structures: C | Iterable[C | None],
        passes: int | None = None,
        batch_atoms: int = DEFAULT_BATCH_ATOMS,
        fix: str | None = None,
        symmetrize: float | None = None,
    ) -> Relaxation[C] | Relaxations[C]:
        """Relax one or many crystals: their cells and, if the model moves atoms, these within the cells.

        Fractional coordinates that a crystal fixes (ASE's `FixAtoms`, `FixScaled` and what says the same, pymatgen's
        `selective_dynamics`) stay in every layer.

        Equivariant: the result does not depend on orientation, origin, order of the atoms or choice of basis.

        Args:
            structures: pymatgen `Structure` (or `IStructure`) or ASE `Atoms`, one, or any number in a list, a tuple, a
                generator or another iterable.
            passes: How often the network is applied, with a new graph each time; the model's own number by default.
            batch_atoms: Atoms per batch, which bounds memory.
            fix: What stays in every layer: the `cell`, or the `positions`, all fractional coordinates.
            symmetrize: Distance in angstrom; the operations that spglib finds within it in the answer are made exact,
                cell and atoms, whether the model moves these or not.

        Raises:
            ConfigError: If `fix` is anything else, the cell is to stay and the model moves no atoms, or `symmetrize` is
                not above 0 and at most 1.
            CrystalError: If a single crystal is unusable. Among several it is None, and its status says why.
            TypeError: If what is given is neither a crystal nor several: a mapping, a path, or nothing in it is one.
            ValueError: If `passes` or `batch_atoms` is not positive.
        """
        passes = self.passes if passes is None else passes
        if passes < 1 or batch_atoms < 1:
            raise ValueError(f"passes ({passes}) and batch_atoms ({batch_atoms}) must be at least 1")
        self.check_fix(fix)
        check_tolerance(symmetrize)
        given, is_one = _listed(structures)
        many: Relaxations[C] = self._relax_many(given, batch_atoms, _How(passes, fix, symmetrize))
        if not is_one:
            return many
        if many.structures[0] is None:
            raise CrystalError(many.status[0].removeprefix("refused: "))
        return cast("Relaxation[C]", many[0])

    def digest(self) -> str:
        """What tells these weights from others."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def check_fix(self, fix: str | None) -> None:
        """Refuse to keep what cannot be kept.

        Raises:
            ConfigError: If it is neither `cell` nor `positions`, or the cell is all that the model changes.
        """
        check_fixable(fix)
        if fix == CELL and not self.moves_atoms:
            others = ", ".join(models.moving_atoms()) or "none is packaged"
            raise ConfigError(f"`fix` {CELL}: this model moves cells only; use one that moves atoms ({others})")

    def relax_batch(
        self,
        crystals: CrystalBatch,
        passes: int | None = None,
        batch_atoms: int = DEFAULT_BATCH_ATOMS,
        fix: str | None = None,
    ) -> RelaxedBatch:
        """Relax usable crystals, however many, without checks: what `relax` does between conversions.

        Raises:
            ConfigError: As `relax` does, for `fix` and for cells that the crystals fix.
        """
        self.check_fix(fix if crystals.fixed_cell is None else CELL)
        passes = self.passes if passes is None else passes
        return relax_batch(self.network, crystals.fixing(fix), passes, batch_atoms)

    def _relax_many(self, given: list[C], batch_atoms: int, how: _How) -> Relaxations[C]:
        found: dict[int, Relaxation[C] | str] = {}
        batches: dict[int, CrystalBatch] = {}
        said: dict[int, list[str]] = {}
        for position, crystal in enumerate(given):
            try:
                batches[position], said[position] = self._converted(crystal, how)
            except (CrystalError, TypeError) as error:
                found[position] = str(error)
        for position, reason in zip(list(batches), refusals(CrystalBatch.cat(list(batches.values()))), strict=True):
            if reason is not None:
                found[position] = reason
                del batches[position]
        usable = list(batches)
        for part in split([b.n_atoms for b in batches.values()], batch_atoms):
            positions = [usable[i] for i in part]
            crystals = CrystalBatch.cat([batches[position] for position in positions])
            answers = self._relax_part([given[position] for position in positions], crystals, how)
            found |= zip(positions, answers, strict=True)
        for position, one in found.items():
            if isinstance(one, Relaxation):
                one.warnings.extend(said[position])
        return _together([found[position] for position in range(len(given))])

    def _converted(self, crystal: Any, how: _How) -> tuple[CrystalBatch, list[str]]:
        """A crystal as the network takes it, and notes on what it fixes where that makes a difference."""
        if crystal is None:
            raise CrystalError("there is no structure (None); leave it out or see why it is missing")
        batch = to_batch(crystal)
        if too_large := memory_refusal(batch.n_atoms):
            raise CrystalError(too_large)
        if how.fix == POSITIONS or not (self.moves_atoms or how.symmetrize):
            return batch.fixing(how.fix), []
        fixed, said = fixed_in(crystal)
        if fixed is not None:
            batch = replace(batch, fixed_frac=torch.from_numpy(fixed))
        return batch.fixing(how.fix), said

    def _relax_part(self, given: list[C], crystals: CrystalBatch, how: _How) -> Iterator[Relaxation[C] | str]:
        """Relax what fits into one batch: what became of each, or why it is refused."""
        moved = apply_passes(self.network, crystals, how.passes)
        groups = None
        if how.symmetrize is not None:
            moved, groups = symmetrized(moved, crystals, how.symmetrize)
        finite = torch.isfinite(moved.stretches).all(-1).all(-1).all(0)
        sound = torch.nonzero(finite).squeeze(-1)
        before, after = crystals.select(sound), moved.relaxed(crystals).select(sound)
        warnings = iter(doubts(before, after, self.elements, self.strain_limit))
        strains = iter(hencky_strain(moved.stretches[-1, sound]).numpy())
        cells = moved.cells(crystals).transpose(0, 1).numpy()
        shifts = np.split(moved.shift.numpy(), crystals.starts[1:-1].numpy())
        for row, crystal in enumerate(given):
            if finite[row]:
                one = _relaxation(crystal, cells[row], next(strains), shifts[row], next(warnings))
                yield one if groups is None else _symmetrized(one, groups[row])
            else:
                yield "the network turned its cell into an unusable one; check it"


def _relaxation(
    given: C, cells: np.ndarray, strain: np.ndarray, shift: np.ndarray, warnings: list[str]
) -> Relaxation[C]:
    displacements = shift @ cells[-1]
    farthest = np.linalg.norm(displacements, axis=1).max()
    unchanged = np.abs(strain).max() < UNCHANGED_STRAIN and farthest < UNCHANGED_DISPLACEMENT
    doubtful = warnings + doubtful_periodicity(given) + doubts_when_read(given)
    return Relaxation(
        structures=cast("C", replace_cell(given, cells[-1], shift)),
        strain=strain,
        displacements=displacements,
        status="suspect" if doubtful else "unchanged" if unchanged else "relaxed",
        warnings=doubtful + notes(given),
        trajectory=cells,
    )


def _symmetrized(answer: Relaxation[C], group: str | None) -> Relaxation[C]:
    said = f"symmetrised: {group}" if group else "not symmetrised: it fixes some fractional coordinates and not others"
    return replace(answer, symmetrized=group, warnings=[*answer.warnings, said])


def _refused(reason: str, steps: int) -> Relaxation[None]:
    return Relaxation(
        structures=None,
        strain=np.full((3, 3), np.nan),
        displacements=None,
        status=f"refused: {reason}",
        warnings=[],
        trajectory=np.full((steps, 3, 3), np.nan),
    )


def _together(found: list[Relaxation[C] | str]) -> Relaxations[C]:
    """All that became of crystals; of those that are refused, why."""
    steps = next((len(one.trajectory) for one in found if isinstance(one, Relaxation)), 0)
    every = [_refused(one, steps) if isinstance(one, str) else one for one in found]
    columns: dict[str, Any] = {f.name: [getattr(one, f.name) for one in every] for f in fields(Relaxations)}
    columns["strain"] = np.reshape(columns["strain"], (-1, 3, 3))
    columns["trajectory"] = np.reshape(columns["trajectory"], (len(found), steps, 3, 3))
    return Relaxations(**columns)


def _listed(given: object) -> tuple[list[Any], bool]:
    """The crystals, and whether one was given, not several; what is none among crystals is refused later, alone."""
    from ase import Atoms
    from pymatgen.core import IStructure

    # A pymatgen Structure is itself a sequence (of sites).
    if isinstance(given, Atoms | IStructure):
        return [given], True
    got = type(given).__name__
    if isinstance(given, Iterable) and not isinstance(given, str | Mapping):
        several = list(given)
        if not several or any(isinstance(one, Atoms | IStructure | None) for one in several):
            return several, False
        got += f" of {type(several[0]).__name__}"
    raise TypeError(f"expected ASE Atoms or pymatgen Structures, one or several (as a list or a generator), got {got}")


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
