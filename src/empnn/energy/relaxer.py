"""Energy oracles as relaxers: crystals relaxed by forces and stress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from empnn.crystals import CELL, CrystalBatch, to_atoms
from empnn.data.records import Record
from empnn.energy.run import Job, Judged, judge
from empnn.errors import ConfigError
from empnn.relaxers import RelaxedBatch


class OracleRelaxer:
    """An energy oracle that relaxes crystals.

    Args:
        job: The oracle, what it relaxes, and where results are kept.
        on_judged: Called for each crystal, in the order in which they end.
    """

    def __init__(self, job: Job, on_judged: Callable[[Judged], None] | None = None) -> None:
        self.job = job
        self.on_judged = on_judged

    @property
    def moves_atoms(self) -> bool:
        """Whether it moves atoms within the cell too."""
        return self.job.relaxation.mode == "all"

    def relax_batch(self, crystals: CrystalBatch) -> RelaxedBatch:
        """Relax crystals; see `judge` for what else it raises.

        Raises:
            ConfigError: If they fix anything but all fractional coordinates.
        """
        records = [Record(index=index, atoms=atoms) for index, atoms in enumerate(to_atoms(crystals))]
        return relaxed_batch(crystals, judge(records, self._job_that_keeps_fixed(crystals), self.on_judged))

    def _job_that_keeps_fixed(self, crystals: CrystalBatch) -> Job:
        name, relaxation = self.job.choice.name, self.job.relaxation
        if crystals.fixed_cell is not None:
            raise ConfigError(f"`fix` {CELL}: {name} relaxes the cell and cannot keep it; leave it out")
        if crystals.fixed_frac is None or relaxation.mode != "all":
            return self.job
        if not crystals.fixed_frac.all():
            raise ConfigError(f"{name} cannot keep some atoms and relax others; fix all positions or none")
        return replace(self.job, relaxation=replace(relaxation, mode="cell"))


def relaxed_batch(before: CrystalBatch, judged: list[Judged]) -> RelaxedBatch:
    """The crystals as an oracle relaxed them.

    Its report says how many relaxations converged, how many crystals failed, and the mean number of steps of the
    others.
    """
    cells, shift = before.cell.numpy().copy(), np.zeros((before.n_atoms, 3))
    starts = before.starts.tolist()
    for index, one in enumerate(judged):
        if one.result is not None:
            cells[index] = one.result.cell
            shift[starts[index] : starts[index + 1]] = 0.0 if one.result.shift is None else one.result.shift
    results = [one.result for one in judged if one.result is not None]
    failed = torch.tensor([one.result is None for one in judged], dtype=torch.bool)
    report = {
        "converged": sum(result.converged for result in results),
        "failed": len(judged) - len(results),
        "steps": float(np.mean([result.steps for result in results])) if results else 0.0,
    }
    crystals = before.with_cell(torch.from_numpy(cells)).shifted(torch.from_numpy(shift))
    seconds = float(sum(one.seconds or 0.0 for one in judged))
    return RelaxedBatch(crystals=crystals, failed=failed, seconds=seconds, report=report)
