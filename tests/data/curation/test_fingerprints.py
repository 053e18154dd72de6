"""Fingerprints do not depend on how a crystal is written, change little when it does, and tell crystals apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.zoo import ALL, PEROVSKITE, SKEWED_BASIS, ZOO, supercell

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.data.curation.fingerprints import TOLERANCE, fingerprint_groups, fingerprints
from empnn.testing import moves


def distances(first, second):
    return [float(np.abs(a - b).max()) for a, b in zip(fingerprints(first), fingerprints(second), strict=True)]


def test_invariant_under_all_groups(generator):
    for moved in moves(ALL, generator):
        assert max(distances(ALL, moved.crystals)) < 1e-9, moved.group


def test_invariant_under_a_strongly_skewed_basis():
    skewed = symmetry.change_basis(ALL, torch.from_numpy(SKEWED_BASIS).repeat(len(ALL), 1, 1))
    assert max(distances(ALL, skewed)) < 1e-6


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 3, 2)])
def test_invariant_under_supercells(repeats):
    larger = CrystalBatch.cat([supercell(crystal, repeats) for crystal in ZOO.values()])
    assert max(distances(ALL, larger)) < 1e-9


def test_continuous(generator):
    strain = torch.eye(3, dtype=torch.float64) + 1e-4 * torch.randn(
        len(ALL), 3, 3, dtype=torch.float64, generator=generator
    )
    assert max(distances(ALL, ALL.with_cell(ALL.cell @ strain.mT))) < 1e-2
    assert max(distances(ALL, ALL.with_cell(ALL.cell * 1.01))) == pytest.approx(3 * np.log(1.01), rel=1e-6)


def test_tells_which_element_sits_where():
    swapped = replace(PEROVSKITE, numbers=torch.tensor([22, 38, 8, 8, 8]))
    (distance,) = distances(PEROVSKITE, swapped)
    assert distance > 5 * TOLERANCE


def test_groups(generator):
    crystals = CrystalBatch.cat([ALL, *(moved.crystals for moved in moves(ALL, generator))])
    expected = np.arange(len(ALL))
    expected[list(ZOO).index("skewed")] = list(ZOO).index("rocksalt")
    expected[list(ZOO).index("left-handed")] = list(ZOO).index("triclinic")
    found = fingerprint_groups(crystals)
    assert found[: len(ALL)].tolist()[:7] == expected.tolist()[:7]
    assert np.array_equal(found[: len(ALL)][found[len(ALL) : 2 * len(ALL)]], found[: len(ALL)])
    assert set(found.tolist()) <= set(range(len(ALL)))
    assert list(fingerprints(ALL.select([]))) == []
