"""Relaxing crystals with a trained network: the Python API."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

import numpy as np
import torch
from ase.data import chemical_symbols

from empnn import models
from empnn.checks.doubts import doubtful_errors, doubtful_periodicity, doubts, doubts_when_read
from empnn.checks.memory import memory_refusal
from empnn.checks.notes import notes
from empnn.checks.refusals import refusals
from empnn.crystals import CELL, POSITIONS, CrystalBatch, check_fixable, replace_cell, to_batch
from empnn.errors import ConfigError, CrystalError
from empnn.geometry import hencky_strain
from empnn.nn import Network
from empnn.nn.error_head import ErrorHead
from empnn.nn.shrinkage import Shrinkage
from empnn.relax.devices import device_of
from empnn.relax.fixed import fixed_in
from empnn.relax.inputs import listed
from empnn.relax.passes import (
    DEFAULT_BATCH_ATOMS,
    apply_passes,
    check_passes,
    made_of,
    relax_batch,
    split,
    symmetrized,
)
from empnn.relax.results import C, Relaxation, Relaxations
from empnn.relax.symmetrize import check_tolerance
from empnn.relax.trust import PredictedErrors, predicted_errors
from empnn.relaxers import RelaxedBatch
from empnn.terminal import counted

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

UNCHANGED_STRAIN = 1e-4
UNCHANGED_DISPLACEMENT = 1e-3
_DEFAULT_STRAIN_LIMIT = 1.0
_FEW_ELEMENTS = 8


class _How(NamedTuple):
    """How crystals are relaxed; see `Relaxer.relax`."""

    passes: int
    far: bool
    fix: str | None
    symmetrize: float | None


class Relaxer:
    """A trained network with its card, ready to relax crystals.

    Attributes:
        network: The network, in evaluation mode.
        card: Where the weights come from and how well they do.
        error_head: What predicts the errors of its answers, or None.
        shrinkage: What says how much of its answers to keep, or None.
        passes: How often the network is applied unless a call says otherwise. None, at first, for once, and once more
            where that changes much the cell of a crystal whose elements the model knows.
        from_cube: Whether it was trained to find cells from a cube of 1 angstrom, and relaxes none.
        name: What it is called, if anything.
        device: Where it computes.
    """

    def __init__(
        self,
        network: Network,
        card: dict[str, Any],
        device: str | torch.device | None = "cpu",
        name: str = "",
        error_head: ErrorHead | None = None,
        shrinkage: Shrinkage | None = None,
    ) -> None:
        self.name = name
        self.card = card
        self.error_head = error_head
        self.shrinkage = shrinkage
        self.device = device_of(device)
        self.network = network.eval().to(self.device)
        self.elements = set(card.get("elements", []))
        self.rare = {int(number): int(count) for number, count in card.get("rare_elements", {}).items()}
        self.strain_limit = float(card.get("strain_limit", _DEFAULT_STRAIN_LIMIT))
        self.passes: int | None = None
        self.from_cube = bool(card.get("from_cube", False))

    def __repr__(self) -> str:
        elements = [chemical_symbols[number] for number in sorted(self.elements)]
        said = [
            self.name,
            "moves cell and atoms" if self.moves_atoms else "moves the cell",
            f"{sum(weight.numel() for weight in self.network.parameters()):,} parameters",
            " ".join(elements) if len(elements) <= _FEW_ELEMENTS else f"{len(elements)} elements",
            f"on {self.device}",
        ]
        return f"Relaxer({', '.join(filter(None, said))})"

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
        progress: bool | None = None,
    ) -> Relaxation[C]: ...

    @overload
    def relax(
        self,
        structures: ComputedStructureEntry,
        passes: int | None = None,
        batch_atoms: int = ...,
        fix: str | None = None,
        symmetrize: float | None = None,
        progress: bool | None = None,
    ) -> Relaxation[Structure]: ...

    @overload
    def relax(
        self,
        structures: str | PathLike[str] | pd.DataFrame | Iterable[C | str | PathLike[str] | None],
        passes: int | None = None,
        batch_atoms: int = ...,
        fix: str | None = None,
        symmetrize: float | None = None,
        progress: bool | None = None,
    ) -> Relaxations[C]: ...

    def relax(
        self,
        structures: Any,
        passes: int | None = None,
        batch_atoms: int = DEFAULT_BATCH_ATOMS,
        fix: str | None = None,
        symmetrize: float | None = None,
        progress: bool | None = None,
    ) -> Relaxation[Any] | Relaxations[Any]:
        """Relax one or many crystals: their cells and, if the model moves atoms, these within the cells.

        Fractional coordinates that a crystal fixes (ASE's `FixAtoms`, `FixScaled` and what says the same, pymatgen's
        `selective_dynamics`) stay in every layer.

        Equivariant: the result does not depend on orientation, origin, order of the atoms or choice of basis.

        Args:
            structures: pymatgen `Structure` (or `IStructure`) or ASE `Atoms`, one, or any number in a list, a tuple, a
                generator or another iterable; the types that are given come back. A `ComputedStructureEntry`, or
                whatever else holds a `structure`, gives that relaxed. A path (text or `Path`) gives the `Atoms` of all
                structures in a file, a folder or the files of a pattern, each with `empnn_source` in its info. Of a
                pandas `DataFrame` the column is taken that holds crystals or entries, else the one that holds their
                dictionaries, which give a `Structure`, or CIF text, which gives `Atoms`.
            passes: How often the network is applied, with a new graph each time. By default once, and once more to
                crystals of elements that the model knows whose cell that changes much (`empnn.relax.passes.FAR`).
            batch_atoms: Atoms per batch, which bounds memory.
            fix: What stays in every layer: the `cell`, or the `positions`, all fractional coordinates.
            symmetrize: Distance in angstrom; the operations that spglib finds within it in the answer are made exact,
                cell and atoms, whether the model moves these or not.
            progress: Whether to show on stderr how far it is; by default on a terminal only, of a thousand or more.

        Raises:
            ConfigError: If `fix` is anything else, the cell is to stay and the model moves no atoms, `passes` is not
                from 1 to 1000, `symmetrize` not above 0 and at most 1, several columns of a table hold crystals, or the
                model was trained to find cells from a cube.
            CrystalError: If a single crystal is unusable, or nothing in a single file can be read. Among several it is
                None, and its status says why.
            TypeError: If what is given is neither a crystal nor several: a mapping, bytes, or nothing in it is one.
            ValueError: If `batch_atoms` is not positive.
        """
        self._check_relaxes()
        passes, far = self._passes(passes)
        if batch_atoms < 1:
            raise ValueError(f"batch_atoms ({batch_atoms}) must be at least 1")
        self.check_fix(fix)
        check_tolerance(symmetrize)
        given, is_one = listed(structures, progress)
        many: Relaxations[Any] = self._relax_many(given, batch_atoms, _How(passes, far, fix, symmetrize), progress)
        if not is_one:
            return many
        if many.structures[0] is None:
            raise CrystalError(many.status[0].removeprefix("refused: "))
        return many[0]

    def digest(self) -> str:
        """What tells these weights, and what belongs to them, from others."""
        digest = hashlib.sha256()
        for part in (self.network, self.error_head, self.shrinkage):
            for name, tensor in sorted(part.state_dict().items()) if part is not None else ():
                digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _check_relaxes(self) -> None:
        if self.from_cube:
            name = self.name or "this model"
            raise ConfigError(f"{name} finds cells from a cube and relaxes none; use another, or `empnn reconstruct`")

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
            ConfigError: As `relax` does, for `passes`, `fix` and cells that the crystals fix.
        """
        self._check_relaxes()
        self.check_fix(fix if crystals.fixed_cell is None else CELL)
        passes, far = self._passes(passes)
        crystals = crystals.fixing(fix)
        may_repeat = made_of(crystals, self.elements) if far else None
        return relax_batch(self.network, crystals, passes, batch_atoms, self.shrinkage, may_repeat)

    def _passes(self, passes: int | None) -> tuple[int, bool]:
        """How many passes all crystals have, and whether those that are `FAR` have one more.

        Raises:
            ConfigError: If a number was asked for that means nothing.
        """
        passes = self.passes if passes is None else passes
        if passes is None:
            return 1, True
        check_passes(passes)
        return passes, False

    def _relax_many(self, given: list[C], batch_atoms: int, how: _How, progress: bool | None) -> Relaxations[C]:
        found: dict[int, Relaxation[C] | str] = {}
        batches: dict[int, CrystalBatch] = {}
        said: dict[int, list[str]] = {}
        with counted("checking", len(given), progress) as advance:
            for position, crystal in enumerate(given):
                try:
                    batches[position], said[position] = self._converted(crystal, how)
                except (CrystalError, TypeError) as error:
                    found[position] = str(error)
                advance(1)
        for position, reason in zip(list(batches), refusals(CrystalBatch.cat(list(batches.values()))), strict=True):
            if reason is not None:
                found[position] = reason
                del batches[position]
        usable = list(batches)
        with counted("relaxing", len(usable), progress) as advance:
            for part in split([b.n_atoms for b in batches.values()], batch_atoms):
                positions = [usable[i] for i in part]
                crystals = CrystalBatch.cat([batches[position] for position in positions])
                answers = self._relax_part([given[position] for position in positions], crystals, how)
                found |= zip(positions, answers, strict=True)
                advance(len(part))
        for position, one in found.items():
            if isinstance(one, Relaxation):
                one.warnings.extend(said[position])
        return _together([found[position] for position in range(len(given))])

    def _converted(self, crystal: Any, how: _How) -> tuple[CrystalBatch, list[str]]:
        """A crystal as the network takes it, and notes on what it fixes where that makes a difference."""
        if isinstance(crystal, CrystalError):
            raise crystal
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
        may_repeat = made_of(crystals, self.elements) if how.far else None
        moved = apply_passes(self.network, crystals, how.passes, self.shrinkage, may_repeat)
        groups = None
        if how.symmetrize is not None:
            moved, groups = symmetrized(moved, crystals, how.symmetrize)
        finite = torch.isfinite(moved.stretches).all(-1).all(-1).all(0)
        sound = torch.nonzero(finite).squeeze(-1)
        before, after = crystals.select(sound), moved.relaxed(crystals).select(sound)
        warnings = iter(doubts(before, after, self.elements, self.strain_limit, self.rare))
        errors: list[PredictedErrors | None] = [None] * len(crystals)
        if self.error_head is not None:
            errors = list(predicted_errors(self.error_head, crystals, moved))
        strains = iter(hencky_strain(moved.stretches[-1, sound]).numpy())
        cells = moved.cells(crystals).transpose(0, 1).numpy()
        shifts = np.split(moved.shift.numpy(), crystals.starts[1:-1].numpy())
        for row, crystal in enumerate(given):
            if finite[row]:
                one = _relaxation(crystal, cells[row], next(strains), shifts[row], next(warnings), errors[row])
                yield one if groups is None else _symmetrized(one, groups[row])
            else:
                yield "the network turned its cell into an unusable one; check it"


def _relaxation(
    given: C,
    cells: np.ndarray,
    strain: np.ndarray,
    shift: np.ndarray,
    warnings: list[str],
    errors: PredictedErrors | None,
) -> Relaxation[C]:
    displacements = shift @ cells[-1]
    farthest = np.linalg.norm(displacements, axis=1).max()
    unchanged = np.abs(strain).max() < UNCHANGED_STRAIN and farthest < UNCHANGED_DISPLACEMENT
    bounds = {} if errors is None else errors.as_dict()
    doubtful = warnings + doubtful_errors(bounds) + doubtful_periodicity(given) + doubts_when_read(given)
    return Relaxation(
        structures=cast("C", replace_cell(given, cells[-1], shift)),
        strain=strain,
        displacements=displacements,
        status="suspect" if doubtful else "unchanged" if unchanged else "relaxed",
        warnings=doubtful + notes(given),
        trajectory=cells,
        errors=errors,
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
        errors=None,
    )


def _together(found: list[Relaxation[C] | str]) -> Relaxations[C]:
    """All that became of crystals; of those that are refused, why."""
    steps = next((len(one.trajectory) for one in found if isinstance(one, Relaxation)), 0)
    every = [_refused(one, steps) if isinstance(one, str) else one for one in found]
    columns: dict[str, Any] = {f.name: [getattr(one, f.name) for one in every] for f in fields(Relaxations)}
    columns["strain"] = np.reshape(columns["strain"], (-1, 3, 3))
    columns["trajectory"] = np.reshape(columns["trajectory"], (len(found), steps, 3, 3))
    return Relaxations(**columns)


def load(name: str | Path = models.DEFAULT, device: str | torch.device | None = None) -> Relaxer:
    """A packaged model by name, or one from a model folder or run directory. Needs no network.

    Args:
        name: Name or folder of the model.
        device: Where to compute; by default (or `auto`) on a GPU if there is one, else on the CPU.

    Raises:
        ConfigError: If there is no such model, it is damaged or the device does not exist.
    """
    network, card = models.load_network(name)
    parts = models.load_error_head(name), models.load_shrinkage(name)
    return Relaxer(network, card, device, models.name_of(name), *parts)
