"""The head that predicts errors: what it reads is invariant, and what it learns holds for cases it has not seen."""

import math

import pytest
import torch
from support.relaxing import tiny_network
from support.zoo import ALL, ZOO, supercell

from empnn.crystals import CrystalBatch
from empnn.nn.error_head import ErrorHead
from empnn.relax.passes import apply_passes
from empnn.testing import moves

NETWORK = tiny_network(deform=["cell", "positions"]).double()


def seen(crystals: CrystalBatch) -> torch.Tensor:
    return apply_passes(NETWORK, crystals, passes=1).signals(crystals)


def test_signals_do_not_depend_on_how_a_crystal_is_written_down() -> None:
    generator = torch.Generator().manual_seed(0)
    before = seen(ALL)
    assert torch.isfinite(before).all()
    assert before.std(0).max() > 0.1
    for moved in moves(ALL, generator):
        assert (seen(moved.crystals) - before).abs().max() < 1e-7, moved.group
    for name in ("rocksalt", "triclinic"):
        assert (seen(supercell(ZOO[name], (2, 1, 2))) - seen(ZOO[name])).abs().max() < 1e-7


def test_signals_of_a_crystal_do_not_depend_on_its_batch() -> None:
    together = seen(ALL)
    for index in range(len(ALL)):
        assert (seen(ALL.select([index]))[0] - together[index]).abs().max() < 1e-9


def test_symmetric_crystals_are_told_from_others() -> None:
    head = ErrorHead(seen(ALL).shape[1], NETWORK.config.features, 3)
    found = {name: head.symmetric(seen(ZOO[name])).tolist() for name in ("rocksalt", "perovskite", "triclinic")}
    assert found == {"rocksalt": [True], "perovskite": [True], "triclinic": [False]}


def test_without_margins_there_are_expected_errors_and_no_bounds() -> None:
    expected, bounds = ErrorHead(4, 2, 3).eval().predict(torch.zeros(5, 4))
    assert torch.isfinite(expected).all()
    assert bounds.isnan().all()


def test_a_head_comes_back_from_its_state() -> None:
    head = ErrorHead(4, 2, 2).eval()
    head.margins.fill_(0.5)
    head.learn_features(torch.randn(50, 2))
    found = torch.randn(7, 4)
    for one, other in zip(head.predict(found), ErrorHead.of(head.state_dict()).predict(found), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(KeyError):
        ErrorHead.of({})


def test_distance_grows_with_the_distance_to_the_training_crystals_and_ends_somewhere() -> None:
    head = ErrorHead(4, 3, 1).eval()
    usual = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    head.learn_features(usual[:, 1:])
    head.learn_scale(usual, torch.ones(200, 1, dtype=torch.float64))
    near, far = (head._with_distance(torch.full((1, 4), size))[0, 0] for size in (0.5, 50.0))
    assert float(far - near) == pytest.approx(math.log(100), rel=0.3)
    farther, farthest = (head(torch.full((1, 4), size))[0] for size in (1e6, 1e9))
    assert torch.isfinite(farther).all()
    assert torch.equal(farther, farthest)
