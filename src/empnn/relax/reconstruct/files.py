"""Reconstructing files of crystals: what `empnn reconstruct` does with each structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from ase import Atoms
from jaxtyping import Bool
from torch import Tensor

from empnn.bulk.pipeline import REFUSED, SUSPECT, Done, Work, marked, outcome_of
from empnn.checks.doubts import doubts, doubts_when_read
from empnn.checks.memory import memory_refusal
from empnn.checks.notes import notes
from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch, from_atoms, replace_cell
from empnn.data.records import Record
from empnn.energy.run import Job, energies_of
from empnn.errors import CrystalError
from empnn.relax.reconstruct.reconstructor import (
    AGREEMENT,
    DEFAULT_PASSES,
    Reconstruction,
    Reconstructor,
)

RECONSTRUCTED = "reconstructed"
LARGE_RESIDUAL = 0.05
"""Strain that one more pass would still make, above which an answer is no equilibrium."""
AT_HALVES = "all atoms are at 0 or 1/2 of the axes from the first: cells of other shapes have such coordinates, too"
_EXACTLY = 1e-3
"""Difference of fractional coordinates that counts as none."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How structures are reconstructed; see `Reconstructor.reconstruct`.

    Attributes:
        bases: Number of bases to look at.
        starts: Number of starts to go on from; None for the default.
        passes: Passes of the second network.
        rank: What the best start is chosen by.
    """

    bases: int = 1
    starts: int | None = None
    passes: int = DEFAULT_PASSES
    rank: str = AGREEMENT


def at_halves(crystals: CrystalBatch) -> Bool[Tensor, " structures"]:
    """Whether all atoms of each crystal are at 0 or 1/2 of each axis from the others.

    Such coordinates do not tell a primitive cell of rock salt from one of CsCl: from a cube the cell keeps right
    angles, and other shapes may be as good.
    """
    twice = 2 * (crystals.frac - crystals.frac[crystals.starts[crystals.batch]])
    return crystals.counted((twice - twice.round()).abs().amax(-1) > 2 * _EXACTLY) == 0


class Reconstructing(Work):
    """Gives structures the cells that their fractional coordinates and species call for; their own are not looked at.

    Args:
        model: The networks.
        how: How they are applied.
        job: The oracle that ranks starts, and where results are kept; if the rank is one.
    """

    said: Sequence[str] = ("change",)

    def __init__(self, model: Reconstructor, how: How, job: Job | None = None) -> None:
        self.model = model
        self.how = how
        self._job = job
        self.settings: dict[str, Any] = {"weights": [model.first.digest(), model.second.digest()], **vars(how)}

    def __call__(self, records: Sequence[Record]) -> Done:
        """Reconstruct some structures together."""
        usable: dict[int, CrystalBatch] = {}
        reasons: dict[int, str] = {}
        for position, record in enumerate(records):
            try:
                usable[position] = _converted(record)
            except CrystalError as error:
                reasons[position] = str(error)
        crystals = CrystalBatch.cat(list(usable.values()))
        answers = zip(self._answers(crystals), at_halves(crystals).tolist(), strict=True)
        for position, record in enumerate(records):
            if position in reasons:
                yield outcome_of(record, REFUSED, message=reasons[position]), None
                continue
            (cell, found, warnings), halves = next(answers)
            if cell is None:
                message = "no start led to a cell; check its coordinates and species"
                yield outcome_of(record, REFUSED, message=message), None
                continue
            given = cast("Atoms", record.atoms)
            said = warnings + doubts_when_read(given)
            status = SUSPECT if said else RECONSTRUCTED
            atoms = cast("Atoms", replace_cell(given, cell))
            noted = [AT_HALVES] * halves + notes(given)
            outcome = replace(outcome_of(record, status, said + noted), change=found)
            yield outcome, marked(record, atoms, status, outcome.warnings, found)

    def _answers(self, crystals: CrystalBatch) -> list[tuple[np.ndarray | None, dict[str, float], list[str]]]:
        """The cell of each crystal, None if there is none, figures on it, and reasons to doubt it."""
        if not len(crystals):
            return []
        rank = self.how.rank if self._job is None else partial(energies_of, job=self._job)
        found = self.model.reconstruct(crystals, self.how.bases, self.how.starts, self.how.passes, rank)
        cells = found.cell
        sound = torch.isfinite(cells).all(-1).all(-1)
        good = torch.nonzero(sound).squeeze(-1)
        after = crystals.with_cell(torch.where(sound[:, None, None], cells, crystals.cell)).select(good)
        second = self.model.second
        words = dict(zip(good.tolist(), doubts(None, after, second.elements, np.inf, second.rare), strict=True))
        figures = _figures(found)
        rows: list[tuple[np.ndarray | None, dict[str, float], list[str]]] = []
        for index in range(len(crystals)):
            if index not in words:
                rows.append((None, {}, []))
                continue
            if (left := figures[index]["residual"]) > LARGE_RESIDUAL:
                words[index].append(f"one more pass would strain it by {left:.2f}: it is no equilibrium")
            if self._job is not None and not found.by_judge[index]:
                words[index].append(f"{self.how.rank} finds the energy of none of its cells; {AGREEMENT} chose")
            rows.append((cells[index].numpy(), figures[index], words[index]))
        return rows


def _converted(record: Record) -> CrystalBatch:
    if record.atoms is None:
        raise CrystalError(str(record.error))
    if too_large := memory_refusal(len(record.atoms)):
        raise CrystalError(too_large)
    bare = Atoms(record.atoms.numbers, scaled_positions=_fractional(record.atoms), cell=np.eye(3), pbc=True)
    crystal = from_atoms(bare)
    # The distances of a crystal in a cell that is not its own mean nothing, but for atoms in one place.
    wide = crystal.with_cell(crystal.cell * _ROOM * len(record.atoms))
    if reason := refusals(wide)[0]:
        raise CrystalError(reason)
    return crystal


_ROOM = 10.0
"""Angstrom per atom on a side of the cell in which atoms that are too close are in one place."""


def _fractional(atoms: Atoms) -> np.ndarray:
    """Fractional coordinates as written; a crystal without a cell has none.

    Raises:
        CrystalError: If the cell has no volume, so that there are none.
    """
    if not abs(np.linalg.det(atoms.cell.array)) > 0:
        raise CrystalError("its cell is flat, so it has no fractional coordinates; give any cell with a volume")
    return np.asarray(atoms.get_scaled_positions(wrap=False))


def _figures(found: Reconstruction) -> list[dict[str, float]]:
    """Of each answer the steps to its start, its residual strain, and the error to expect."""
    chosen = found.chosen.clamp_min(0)[None]
    columns = [some.gather(0, chosen)[0].tolist() for some in (found.steps, found.residuals, found.errors)]
    rows = []
    for steps, residual, error in zip(*columns, strict=True):
        row = {"steps": float(steps), "residual": residual}
        rows.append(row if error != error else {**row, "error_length": error})
    return rows
