"""The symmetric source: every operation is kept, sizes are as asked, the stored set is what was computed."""

import numpy as np
import pytest
import spglib
import torch

from empnn.corruption.source import Sizes
from empnn.corruption.symmetric import SymmetricStrain
from empnn.crystals import CrystalBatch
from empnn.data.curation.symmetric import SymmetricSet, symmetric_set
from empnn.data.sets import load_split, locate
from empnn.geometry import hencky_distance
from empnn.space_groups import find_space_groups


@pytest.fixture
def sample(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> CrystalBatch:
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path))
    return load_split(locate(None, "sample"), "val").crystals.select(range(0, 100, 2))


def corrupted(exact: SymmetricSet, seed: int = 0) -> tuple[CrystalBatch, CrystalBatch]:
    noise = SymmetricStrain(exact, volume=0.3, shape=0.3, positions=0.3, sizes=Sizes())
    return noise(np.arange(len(exact)), np.random.default_rng(seed))


def test_every_operation_of_the_crystal_maps_the_corrupted_one_onto_itself(sample: CrystalBatch) -> None:
    exact = symmetric_set(sample)
    before, after = corrupted(exact)
    _, groups = exact.select(np.arange(len(exact)))
    turns = groups.orthogonal(before)
    assert float((turns @ turns.mT - torch.eye(3, dtype=torch.float64)).abs().max()) < 1e-10
    moved = torch.einsum("nij,nj->ni", groups.rotations.double()[groups.operation], before.frac[groups.source])
    error = moved + groups.translations[groups.operation] - before.frac[groups.target]
    cell = before.cell[groups.batch[groups.operation]]
    assert float(torch.einsum("ni,nij->nj", error - error.round(), cell).norm(dim=-1).max()) < 1e-5
    # spglib, asked afresh, finds at least as many.
    found = torch.bincount(find_space_groups(before, 1e-5).batch)
    assert bool((found >= torch.bincount(groups.batch)).all())
    assert float(hencky_distance(before.cell, after.cell).mean()) > 0.05
    assert float((before.frac - after.frac).abs().max()) > 0.01


def test_it_is_a_function_of_the_generator_and_the_step_to_relaxed_is_symmetric(sample: CrystalBatch) -> None:
    exact = symmetric_set(sample)
    before, after = corrupted(exact)
    again, _ = corrupted(exact)
    assert torch.equal(before.cell, again.cell)
    assert torch.equal(before.frac, again.frac)
    assert not torch.equal(before.cell, corrupted(exact, seed=1)[0].cell)
    stretch = torch.linalg.solve(before.cell, after.cell)
    assert torch.allclose(stretch, stretch.mT, atol=1e-10)


def test_the_set_is_found_once_and_any_part_of_it_is_the_same(
    sample: CrystalBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    exact = symmetric_set(sample, looked_at.append)
    assert sum(looked_at) == len(sample)
    monkeypatch.setattr(spglib, "get_symmetry", None)
    again = symmetric_set(sample)
    chosen = [3, 17, 3]
    crystals, groups = again.select(chosen)
    everything, of_all = exact.select(np.arange(len(exact)))
    assert torch.equal(crystals.cell, everything.cell[chosen])
    counts = torch.bincount(of_all.batch)
    assert torch.bincount(groups.batch).tolist() == counts[chosen].tolist()
    first = int(counts[:3].sum())
    assert torch.equal(groups.rotations[: counts[3]], of_all.rotations[first : first + int(counts[3])])
    assert bool((crystals.numbers[groups.source] == crystals.numbers[groups.target]).all())
