"""What is kept of answers: parts of them, by factors that do not depend on how a crystal is written down."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.relaxing import salt, tiny_network, triclinic
from support.zoo import ALL, ZOO, supercell

import empnn
from empnn import models
from empnn.crystals import CELL, POSITIONS, CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import hencky_strain, isotropic_and_deviatoric
from empnn.graph import Graph
from empnn.nn import Deformation
from empnn.nn.shrinkage import Shrinkage
from empnn.relax import Relaxer
from empnn.relax.passes import Passes, apply_passes
from empnn.relax.signals import mean_displacement, signals_of
from empnn.testing import moves

NETWORK = tiny_network(deform=["cell", "positions"]).double()


def made(scales: tuple[float, ...] = (0.1, 0.05, 0.1), spread: float = 0.3) -> Shrinkage:
    """One that keeps another share of each crystal, or of all that have the same sizes."""
    first = apply_passes(NETWORK, ALL, 1).first
    assert first is not None
    found = signals_of(ALL, first)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shrinkage = Shrinkage(found.shape[1], NETWORK.config.features, len(scales)).eval()
        errors = 0.1 * torch.rand(len(ALL), len(scales), dtype=torch.float64)
        shrinkage.errors.learn_scale(found, errors)
        shrinkage.learn_scale(found, errors)
        shrinkage.level.copy_(torch.tensor(scales).log())
        last = shrinkage.layers[-1]
        assert isinstance(last, torch.nn.Linear)
        with torch.no_grad():
            last.weight.normal_(std=spread)
            last.bias.zero_()
    return shrinkage


def parts(passes: Passes, layer: int = -1) -> tuple[torch.Tensor, torch.Tensor]:
    return isotropic_and_deviatoric(hencky_strain(passes.stretches[layer]))


@pytest.mark.parametrize("passes", [1, 2])
def test_answers_stay_equivariant(passes: int) -> None:
    relaxer = Relaxer(NETWORK, {}, shrinkage=made())
    before = relaxer.relax_batch(ALL, passes).crystals
    assert (before.cell - Relaxer(NETWORK, {}).relax_batch(ALL, passes).crystals.cell).abs().max() > 1e-3
    for moved in moves(ALL, torch.Generator().manual_seed(0)):
        after = relaxer.relax_batch(moved.crystals, passes).crystals
        inverse = torch.linalg.inv(moved.unimodular.to(torch.float64))
        expected = inverse.mT @ before.cell @ moved.orthogonal.mT
        scale = expected.abs().amax((1, 2), keepdim=True)
        assert ((after.cell - expected) / scale).abs().max() < 1e-8, moved.group
        lengths = moved_by(moved.crystals, after) - moved_by(ALL, before)[moved.order]
        assert lengths.abs().max() < 1e-7, moved.group


def moved_by(before: CrystalBatch, after: CrystalBatch) -> torch.Tensor:
    """How far each atom went, in the cell it was given in."""
    shift = (after.frac - before.frac + 0.5) % 1 - 0.5
    return torch.linalg.vector_norm((shift.unsqueeze(-2) @ before.cell[before.batch]).squeeze(-2), dim=-1)


def test_supercells_give_the_same() -> None:
    shrinkage = made()
    for name in ("rocksalt", "triclinic"):
        one, several = ZOO[name], supercell(ZOO[name], (2, 1, 2))
        first, second = (apply_passes(NETWORK, crystals, 1, shrinkage).stretches[-1] for crystals in (one, several))
        assert (first - second).abs().max() < 1e-8


def test_all_layers_and_displacements_are_scaled_by_what_is_kept_of_the_whole() -> None:
    shrinkage, whole = made(), apply_passes(NETWORK, ALL, 1)
    kept = apply_passes(NETWORK, ALL, 1, shrinkage)
    assert whole.first is not None
    sizes = torch.stack(
        [*(torch.linalg.matrix_norm(part) for part in parts(whole)), mean_displacement(ALL, whole.first)], dim=1
    )
    with torch.inference_mode():
        factors = shrinkage(signals_of(ALL, whole.first), sizes)
    assert 0 < factors.min() < 0.5 < factors.max() < 1
    for layer in range(len(whole.stretches)):
        for part, (before, after) in enumerate(zip(parts(whole, layer), parts(kept, layer), strict=True)):
            torch.testing.assert_close(after, factors[:, part, None, None] * before, rtol=0, atol=1e-9)
    torch.testing.assert_close(kept.shift, factors[ALL.batch, 2:] * whole.shift, rtol=0, atol=1e-9)


def test_large_answers_are_kept_and_small_ones_are_not() -> None:
    shrinkage = made(spread=0.0)
    signals = signals_of(ALL, apply_passes(NETWORK, ALL, 1).first).expand(len(ALL), -1)
    for size, low, high in ((10.0, 0.999, 1.0), (1e-6, 0.0, 1e-3)):
        factors = shrinkage(signals, torch.full((len(ALL), 3), size, dtype=torch.float64))
        assert low < factors.min()
        assert factors.max() < high or high == 1.0


def test_what_is_fixed_stays() -> None:
    held = apply_passes(NETWORK, ALL.fixing(CELL), 1, made())
    assert torch.equal(held.cells(ALL.fixing(CELL))[-1], ALL.cell)
    still = apply_passes(NETWORK, ALL.fixing(POSITIONS), 1, made())
    assert not still.shift.any()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_failure_stays_alone(monkeypatch: pytest.MonkeyPatch, number: float) -> None:
    shrinkage, forward = made(), NETWORK.forward
    expected = apply_passes(NETWORK, ALL, 1, shrinkage).stretches

    def fails_for_the_first(crystals: CrystalBatch, graph: Graph) -> Deformation:
        found = forward(crystals, graph)
        found.steps[:, 0] = number
        return found

    monkeypatch.setattr(NETWORK, "forward", fails_for_the_first)
    found = apply_passes(NETWORK, ALL, 1, shrinkage).stretches
    assert found[:, 0].isnan().all()
    torch.testing.assert_close(found[:, 1:], expected[:, 1:], rtol=0, atol=1e-12)


def test_it_belongs_to_its_weights(tmp_path: Path) -> None:
    network = tiny_network()
    models.save(tmp_path, network, {"data": "nothing"})
    bare = empnn.load(tmp_path)
    shrinkage = made((0.1, 0.1))
    models.save_shrinkage(tmp_path, shrinkage)
    loaded = empnn.load(tmp_path)
    assert loaded.shrinkage is not None
    assert loaded.digest() != bare.digest()
    signals, sizes = torch.randn(4, len(shrinkage.errors.mean) - 1).double(), torch.rand(4, 2).double()
    assert torch.equal(loaded.shrinkage(signals, sizes), shrinkage(signals, sizes))
    models.save(tmp_path, network, {})
    assert empnn.load(tmp_path).shrinkage is None
    (tmp_path / "shrinkage.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="damaged model"):
        empnn.load(tmp_path)


def test_answers_of_many_are_those_of_one() -> None:
    relaxer = Relaxer(tiny_network(deform=["cell", "positions"]), {}, shrinkage=made())
    given = [salt(), triclinic()]
    for one, other in zip(relaxer.relax(given), map(relaxer.relax, given), strict=True):
        assert np.abs(one.strain - other.strain).max() < 1e-6
        assert one.displacements == pytest.approx(other.displacements, abs=1e-6)


def test_nothing_given_nothing_found() -> None:
    assert len(Relaxer(NETWORK, {}, shrinkage=made()).relax_batch(CrystalBatch.cat([])).crystals) == 0
