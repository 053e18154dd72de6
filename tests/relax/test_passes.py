"""The second pass that crystals get whose cell the first one changes much."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.relaxing import salt, tiny_network
from support.zoo import ALL

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, to_atoms, to_batch
from empnn.geometry import hencky_strain, volume
from empnn.nn import EMPNN, Deformation
from empnn.nn.shrinkage import Shrinkage
from empnn.relax import Relaxer
from empnn.relax.passes import FAR, Passes, apply_passes
from empnn.relax.signals import signals_of
from empnn.testing import moves

NETWORK = tiny_network(deform=["cell", "positions"]).double()


class Halfway(EMPNN):
    """A network that takes the logarithm of every length half of the way to that of the crystal of 200 cubic angstrom.

    Crystals of less than 10 cubic angstrom it turns into nothing.
    """

    def __init__(self) -> None:
        super().__init__(tiny_network().config)

    def forward(self, crystals: CrystalBatch, graph: object = None) -> Deformation:
        size = volume(crystals.cell)
        factor = torch.where(size < 10, torch.nan, (200 / size) ** (1 / 6))
        action = factor[:, None, None] * torch.eye(3, dtype=torch.float64)
        return Deformation(action=action, steps=action[None])


def away(*strains: float) -> CrystalBatch:
    """Crystals that the first pass of `Halfway` changes by these norms of the Hencky strain."""
    batch = to_batch(salt())
    cube = 200 ** (1 / 3) * torch.eye(3, dtype=torch.float64)
    cells = [batch.with_cell(cube[None] * math.exp(-2 * one / math.sqrt(3))) for one in strains]
    return CrystalBatch.cat(cells)


def applied(
    network: EMPNN, crystals: CrystalBatch, passes: int | None = None, shrinkage: Shrinkage | None = None
) -> Passes:
    """As many passes, or one and one more where it is called for."""
    may_repeat = torch.ones(len(crystals), dtype=torch.bool) if passes is None else None
    return apply_passes(network.eval(), crystals, passes or 1, shrinkage, may_repeat)


def sizes(crystals: CrystalBatch, passes: int | None) -> torch.Tensor:
    found = applied(Halfway(), crystals, passes)
    return torch.linalg.matrix_norm(hencky_strain(found.stretches[-1]))


def test_crystals_that_change_little_have_one_pass() -> None:
    near = away(0.0, 0.1, 0.999 * FAR[0], -0.3)
    assert torch.equal(sizes(near, None), sizes(near, 1))


def test_crystals_that_change_much_have_two() -> None:
    far = away(1.001 * FAR[1], -0.7, 0.8)
    torch.testing.assert_close(sizes(far, None), sizes(far, 2), rtol=0, atol=1e-12)
    assert (sizes(far, None) / sizes(far, 1)).numpy() == pytest.approx(1.5)


def test_in_between_the_second_pass_comes_in_by_and_by() -> None:
    middle = sum(FAR) / 2
    found = sizes(away(FAR[0] + 1e-6, middle, FAR[1] - 1e-6), None)
    assert found.tolist() == pytest.approx([FAR[0], 1.25 * middle, 1.5 * FAR[1]], abs=1e-4)


def test_each_crystal_is_answered_as_if_it_were_alone_and_has_as_many_steps() -> None:
    mixed = away(0.1, 0.5, 0.2, 0.8)
    together = applied(Halfway(), mixed)
    assert len(together.stretches) == 1
    alone = [sizes(mixed.select([place]), None) for place in range(4)]
    torch.testing.assert_close(sizes(mixed, None), torch.cat(alone), rtol=0, atol=1e-14)


def test_a_second_pass_that_fails_leaves_the_answer_of_the_first() -> None:
    class OnlyOnce(Halfway):
        def forward(self, crystals: CrystalBatch, graph: object = None) -> Deformation:
            found = super().forward(crystals)
            again = ((volume(crystals.cell) > 40) & (volume(crystals.cell) < 100))[:, None, None]
            return Deformation(action=found.action, steps=torch.where(again, torch.nan, found.steps))

    far = away(0.7, 0.1)
    found = applied(OnlyOnce(), far)
    assert torch.isfinite(found.stretches).all()
    torch.testing.assert_close(found.stretches, applied(OnlyOnce(), far, 1).stretches)


def test_crystals_that_the_first_pass_fails_on_are_given_up() -> None:
    found = applied(Halfway(), away(0.1, 2.0))
    assert torch.isfinite(found.stretches[-1]).all(-1).all(-1).tolist() == [True, False]


def test_crystals_of_elements_that_the_model_does_not_know_have_one() -> None:
    far, network = away(0.8), Halfway()
    other = replace(far, numbers=torch.tensor([11, 35]))
    twice, once = (applied(network, far, passes).relaxed(far).cell[0] for passes in (2, 1))
    for elements, expected in (([11, 17], [once, twice, twice]), ([], [twice] * 3)):
        relaxer = Relaxer(network, {"elements": elements})
        given = CrystalBatch.cat([other, far, far])
        for atoms in (1, 4, 100):
            assert torch.equal(relaxer.relax_batch(given, batch_atoms=atoms).crystals.cell, torch.stack(expected))
        cells = [found.cell.array for found in relaxer.relax(to_atoms(given)).structures if found is not None]
        assert np.abs(np.array(cells) - torch.stack(expected).numpy()).max() < 1e-9
        assert torch.equal(relaxer.relax_batch(far, passes=1).crystals.cell[0], once)


@pytest.mark.parametrize("filtered", [False, True])
def test_atoms_go_with_the_cell(monkeypatch: pytest.MonkeyPatch, filtered: bool) -> None:
    shrinkage = keeps_a_part() if filtered else None
    once, twice = (applied(NETWORK, ALL, passes, shrinkage) for passes in (1, 2))
    size = torch.linalg.matrix_norm(hencky_strain(once.stretches[-1]))
    assert (twice.shift - once.shift).abs().max() > 1e-3
    # One more pass is taken wholly, and then next to nothing of it.
    monkeypatch.setattr("empnn.relax.passes.FAR", (0.0, float(size.min())))
    found = applied(NETWORK, ALL, None, shrinkage)
    torch.testing.assert_close(found.shift, twice.shift, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.stretches[-1], twice.stretches[-1], rtol=0, atol=1e-9)
    monkeypatch.setattr("empnn.relax.passes.FAR", (float(size.min()) / 2, 1e9))
    found = applied(NETWORK, ALL, None, shrinkage)
    torch.testing.assert_close(found.shift, once.shift, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.stretches[-1], once.stretches[-1], rtol=0, atol=1e-8)


def keeps_a_part() -> Shrinkage:
    """One that keeps more of what is large than of what is small."""
    first = applied(NETWORK, ALL, 1).first
    assert first is not None
    found = Shrinkage(signals_of(ALL, first).shape[1], NETWORK.config.features, 3).eval()
    found.level.fill_(-4.0)
    return found


def test_answers_stay_equivariant(monkeypatch: pytest.MonkeyPatch) -> None:
    relaxer = Relaxer(NETWORK, {})
    once = relaxer.relax_batch(ALL, passes=1).crystals
    size = torch.linalg.matrix_norm(hencky_strain(torch.linalg.solve(ALL.cell, once.cell)))
    monkeypatch.setattr("empnn.relax.passes.FAR", (float(size.quantile(0.2)), float(size.quantile(0.8))))
    before = relaxer.relax_batch(ALL).crystals
    changed = (before.cell - once.cell).abs().amax((1, 2)) > 1e-6
    assert 0.5 < changed.to(torch.float64).mean() < 1
    for moved in moves(ALL, torch.Generator().manual_seed(0)):
        after = relaxer.relax_batch(moved.crystals).crystals
        inverse = torch.linalg.inv(moved.unimodular.to(torch.float64))
        expected = inverse.mT @ before.cell @ moved.orthogonal.mT
        scale = expected.abs().amax((1, 2), keepdim=True)
        assert ((after.cell - expected).abs() / scale).max() < 1e-9, moved.group


def test_what_is_fixed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("empnn.relax.passes.FAR", (0.0, 1e-3))
    given = with_fixed_noise(ALL, 0.1, 0)
    fixed = torch.zeros(given.n_atoms, 3, dtype=torch.bool)
    fixed[::2] = True
    fixed[1, 2] = True
    partly = replace(given, fixed_frac=fixed)
    found, once = (applied(NETWORK, partly, passes).shift for passes in (None, 1))
    assert (found - once).abs().max() > 1e-3
    assert torch.equal(found[fixed], torch.zeros_like(found[fixed]))
