"""Groups of crystals, and how they are drawn for splits."""

import numpy as np
import pytest
from support.zoo import ALL, ZOO, supercell

from empnn.crystals import CrystalBatch
from empnn.data.curation.composition import carve_alike, carve_development, composition_groups, draw_groups
from empnn.data.store import StoredCrystals
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


def stored(formulas):
    """Crystals of hydrogen and the named elements, one atom of each."""
    numbers = np.array([[1, z] for z in formulas], dtype=np.uint8).reshape(-1)
    frac = np.tile([[0, 0, 0], [0.5, 0.5, 0.5]], (len(formulas), 1))
    arrays = {"cell": np.stack([4 * np.eye(3)] * len(formulas)), "frac": frac, "numbers": numbers}
    return StoredCrystals({**arrays, "starts": 2 * np.arange(len(formulas) + 1)})


def test_what_is_held_out_of_one_set_is_held_out_of_another():
    crystals, others = stored([*range(10, 60)]), stored([*range(10, 60)] * 2)
    rest, held_out = carve_development(crystals, 0.1, 0)
    kept, apart, left = carve_alike(others, crystals, rest, held_out, 0.1, 0)
    assert np.array_equal(left, rest)
    assert sorted([*kept, *apart]) == list(range(100))
    assert set(apart % 50) == set(held_out.tolist())


def test_what_is_carved_from_another_set_is_trained_on_in_neither():
    crystals, others = stored([*range(10, 60)]), stored([*range(50, 110)])
    rest, held_out = carve_development(crystals, 0.1, 0)
    kept, apart, left = carve_alike(others, crystals, rest, held_out, 0.2, 0)
    assert len(apart) == 12
    blind = {50 + index for index in apart} | {10 + index for index in held_out}
    assert not blind & {10 + index for index in left}
    assert not blind & {50 + index for index in kept}
    assert 0 < len(rest) - len(left) < 10


def test_one_composition_is_drawn_singly_in_both():
    crystals, others = stored([6] * 40), stored([6] * 20)
    rest, held_out = carve_development(crystals, 0.1, 0)
    kept, apart, left = carve_alike(others, crystals, rest, held_out, 0.1, 0)
    assert np.array_equal(left, rest)
    assert (len(kept), len(apart)) == (18, 2)


def test_nothing_left_to_train_on():
    crystals = stored([10, 11])
    rest, held_out = carve_development(crystals, 0.5, 0)
    with pytest.raises(ConfigError, match="nothing is left to train on"):
        carve_alike(stored([10 + held_out[0]] * 3), crystals, rest, held_out, 0.5, 0)
