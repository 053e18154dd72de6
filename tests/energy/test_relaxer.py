"""Oracles as relaxers: answers in the order and basis of what was given, and a report on the work."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from support.calculators import CELL, job, strained_copper

from empnn.crystals import CrystalBatch, from_atoms, to_atoms
from empnn.energy import OracleRelaxation
from empnn.energy.relaxer import OracleRelaxer
from empnn.errors import ConfigError
from empnn.evaluate import compare, denoise
from empnn.relaxers import BatchRelaxer

ALL = OracleRelaxation(mode="all", fmax=0.01)


def batch(*crystals: Atoms) -> CrystalBatch:
    return CrystalBatch.cat([from_atoms(one) for one in crystals])


def test_the_cell_is_relaxed_and_what_fails_stays_as_it_was():
    given = batch(strained_copper(), bulk("W"), strained_copper(1))
    seen = []
    relaxer = OracleRelaxer(job(relaxation=CELL), seen.append)
    assert isinstance(relaxer, BatchRelaxer)
    assert not relaxer.moves_atoms
    relaxed = relaxer.relax_batch(given)
    assert relaxed.failed.tolist() == [False, True, False]
    assert [one.record.index for one in seen] == [0, 1, 2]
    lengths = torch.linalg.vector_norm(relaxed.crystals.cell, dim=-1)
    assert lengths[[0, 2]].numpy() == pytest.approx(3.59, abs=0.01)
    assert torch.equal(relaxed.crystals.cell[1], given.cell[1])
    assert torch.equal(relaxed.crystals.frac, given.frac)
    steps = [seen[0].result.steps, seen[2].result.steps]
    assert relaxed.report == {"converged": 2, "failed": 1, "steps": pytest.approx(np.mean(steps))}
    assert relaxed.seconds == pytest.approx(sum(one.seconds for one in seen))
    assert relaxed.seconds > 0


def test_atoms_move_where_the_oracle_moves_them():
    displaced = bulk("Cu", "fcc", 3.61, cubic=True)
    displaced.positions[1] += 0.2
    given = batch(bulk("W"), displaced)
    relaxer = OracleRelaxer(job(relaxation=ALL))
    assert relaxer.moves_atoms
    after = relaxer.relax_batch(given).crystals
    assert torch.equal(after.frac[:1], given.frac[:1])
    atoms = to_atoms(after)[1]
    atoms.calc = EMT()
    assert np.abs(atoms.get_forces()).max() < 0.01
    figures = compare(relaxer, given.select([1]), batch(bulk("Cu", "fcc", 3.59, cubic=True))).as_dict()
    assert figures["positions_removed"] > 0.9


def test_both_benchmarks_take_an_oracle():
    truth = batch(bulk("Cu", "fcc", 3.587))
    relaxer = OracleRelaxer(job(relaxation=CELL))
    for found in (denoise(relaxer, truth, 0.05, seed=3), compare(relaxer, batch(bulk("Cu", "fcc", 3.8)), truth)):
        assert found.metrics.lengths_removed > 0.9
        assert (found.report["converged"], found.report["failed"]) == (1, 0)
    with pytest.raises(ConfigError, match="moves no atoms"):
        denoise(relaxer, truth, 0.05, positions=0.1)


def test_what_is_fixed_is_kept_or_refused():
    displaced = bulk("Cu", "fcc", 3.8, cubic=True)
    displaced.positions[1] += 0.2
    given = batch(displaced)
    kept = OracleRelaxer(job(relaxation=ALL)).relax_batch(given.fixing("positions")).crystals
    assert torch.equal(kept.frac, given.frac)
    assert torch.equal(kept.cell, OracleRelaxer(job(relaxation=CELL)).relax_batch(given).crystals.cell)
    for relaxation in (CELL, ALL):
        with pytest.raises(ConfigError, match=r"`fix` cell: .*:EMT relaxes the cell and cannot keep it"):
            OracleRelaxer(job(relaxation=relaxation)).relax_batch(given.fixing("cell"))
    some = replace(given, fixed_frac=torch.tensor([[True] * 3, *[[False] * 3] * 3]))
    with pytest.raises(ConfigError, match="cannot keep some atoms and relax others"):
        OracleRelaxer(job(relaxation=ALL)).relax_batch(some)
    assert torch.equal(OracleRelaxer(job(relaxation=CELL)).relax_batch(some).crystals.frac, given.frac)


def test_nothing_is_relaxed_of_nothing():
    relaxed = OracleRelaxer(job(relaxation=CELL)).relax_batch(CrystalBatch.cat([]))
    assert (len(relaxed.crystals), relaxed.failed.shape, relaxed.report["steps"]) == (0, (0,), 0.0)
