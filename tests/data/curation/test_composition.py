"""Groups of crystals, and how they are drawn for splits."""

import numpy as np
import pytest
from support.zoo import ALL, ZOO, supercell

from empnn.crystals import CrystalBatch
from empnn.data.curation.composition import composition_groups, draw_groups
from empnn.errors import ConfigError
from empnn.testing import moves


def test_a_composition_does_not_depend_on_how_it_is_written(generator):
    expected = composition_groups(ALL)
    assert expected[list(ZOO).index("rocksalt")] == expected[list(ZOO).index("skewed")]
    assert len(set(expected.tolist())) == len(ZOO) - 2
    for moved in moves(ALL, generator):
        assert np.array_equal(composition_groups(moved.crystals), expected)
    doubled = CrystalBatch.cat([supercell(crystal, (1, 2, 1)) for crystal in ZOO.values()])
    assert np.array_equal(composition_groups(CrystalBatch.cat([ALL, doubled]))[len(ALL) :], expected)


@pytest.mark.parametrize("seed", range(4))
def test_no_group_is_divided_and_sizes_are_what_was_asked_for(seed):
    groups = np.random.default_rng(9).integers(0, 300, 1000)
    _, groups = np.unique(groups, return_inverse=True)
    split_of = draw_groups(groups, (0.7, 0.2, 0.1), seed)
    assert all(len(set(split_of[groups == group].tolist())) == 1 for group in set(groups.tolist()))
    assert np.abs(np.bincount(split_of) - [700, 200, 100]).max() <= 8
    assert np.array_equal(split_of, draw_groups(groups, (0.7, 0.2, 0.1), seed))
    assert not np.array_equal(split_of, draw_groups(groups, (0.7, 0.2, 0.1), seed + 1))


def test_every_split_gets_something():
    groups = np.repeat([0, 1, 2], [50, 40, 30])
    split_of = draw_groups(groups, (0.9, 0.05, 0.05), 0)
    assert sorted(set(split_of.tolist())) == [0, 1, 2]
    assert set(draw_groups(groups, (0.9, 0.0, 0.1), 0).tolist()) == {0, 2}
    with pytest.raises(ConfigError, match="120 structures in 2 groups cannot be divided into 3 splits"):
        draw_groups(np.minimum(groups, 1), (0.9, 0.05, 0.05), 0)
