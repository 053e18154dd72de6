"""Unrelaxed and relaxed crystals as before and after: whatever frame, origin and basis the relaxed ones are in."""

import numpy as np
import pytest
import torch
from support.unrelaxed import pairs

from empnn import symmetry
from empnn.corruption.pairs import GivenPairs, in_nearest_basis, joined
from empnn.corruption.source import BeforeAfter
from empnn.crystals import CrystalBatch, from_atoms
from empnn.geometry import hencky_distance, volume
from empnn.losses import ParameterScale
from empnn.metrics import mean_displacements, relaxation_metrics
from empnn.nn import ModelConfig, build
from empnn.training.config import load_config
from empnn.training.steps import DenoisingBatch
from empnn.training.task import Relaxing


@pytest.fixture
def given() -> BeforeAfter:
    before, after = pairs()
    return CrystalBatch.cat(list(map(from_atoms, before))), CrystalBatch.cat(list(map(from_atoms, after)))


def moved(crystals: CrystalBatch, generator: torch.Generator) -> CrystalBatch:
    """The crystals turned or mirrored, and with another origin."""
    turned = symmetry.rotate(crystals, symmetry.random_orthogonal(len(crystals), generator))
    return symmetry.translate(turned, symmetry.random_translation(len(crystals), generator))


def test_the_strain_is_symmetric_and_each_atom_next_to_where_it_is_before(
    given: BeforeAfter, generator: torch.Generator
) -> None:
    before, after = joined(given[0], moved(given[1], generator))
    stretch = torch.linalg.solve(before.cell, after.cell)
    assert torch.allclose(stretch, stretch.mT, atol=1e-12)
    assert (torch.linalg.eigvalsh(stretch) > 0).all()
    apart = (before.frac - after.frac).unsqueeze(1) @ after.cell[after.batch]
    assert apart.norm(dim=-1).max() < 1
    total = torch.zeros(len(after), 3, dtype=torch.float64).index_add(0, after.batch, apart.squeeze(1))
    assert total.abs().max() < 1e-10
    # It is the relaxed crystal all the same.
    figures = relaxation_metrics(given[1], after, given[1]).after
    assert figures["strain_mean"] < 1e-12
    assert figures["positions_mean"] < 1e-10


def test_frame_and_origin_of_the_relaxed_crystal_change_neither_pair_nor_loss(
    given: BeforeAfter, generator: torch.Generator
) -> None:
    config = load_config(None, ["model.features=8", "model.message_layers=1", "model.deform=[cell,positions]"])
    task = Relaxing(config, ParameterScale.of(given[1].cell), {})
    torch.manual_seed(0)
    network = build(ModelConfig(features=8, message_layers=1, deform=["cell", "positions"])).to(torch.float64)
    losses = []
    for relaxed in (given[1], moved(given[1], generator)):
        before, after = joined(given[0], relaxed)
        batch = DenoisingBatch(crystals=before, graph=network.rule(before), relaxed=after)
        losses.append(task.loss(network(batch.crystals, batch.graph), batch).item())
        # What would come without turning the cell: the loss does not see a rotation.
        turned = DenoisingBatch(
            crystals=before,
            graph=batch.graph,
            relaxed=symmetry.rotate(after, symmetry.random_orthogonal(len(after), generator)),
        )
        losses.append(task.loss(network(batch.crystals, batch.graph), turned).item())
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-9)


@pytest.mark.parametrize("factors", [1, 4, 8])
def test_a_relaxed_crystal_in_another_basis_is_brought_back(
    given: BeforeAfter, generator: torch.Generator, factors: int
) -> None:
    before, relaxed = given
    bases = symmetry.random_unimodular(len(relaxed), generator, factors, largest=2)
    found = in_nearest_basis(before, symmetry.change_basis(moved(relaxed, generator), bases))
    # One that is nearly symmetric may be a little nearer in yet another basis.
    length = (volume(relaxed.cell) / relaxed.sizes).pow(1 / 3)
    apart, expected = (
        hencky_distance(before.cell, crystals.cell) + mean_displacements(before, crystals) / length
        for crystals in (found, relaxed)
    )
    assert (apart < expected + 1e-9).all()
    assert torch.allclose(volume(found.cell), volume(relaxed.cell))


def test_a_pair_in_one_basis_is_left_as_it_is(given: BeforeAfter) -> None:
    before, relaxed = given
    large = before.with_cell(before.cell * torch.tensor([0.8, 1.0, 1.3], dtype=torch.float64)[:, None])
    assert (hencky_distance(large.cell, relaxed.cell) > 0.3).all()
    found = in_nearest_basis(large, relaxed)
    assert torch.equal(found.cell, relaxed.cell)
    assert torch.equal(found.frac, relaxed.frac)


def test_pairs_are_drawn_uniformly_by_the_generator_alone(given: BeforeAfter) -> None:
    source = GivenPairs(*given)
    drawn = [source(np.zeros(600, dtype=np.int64), np.random.default_rng(3)) for _ in range(2)]
    assert torch.equal(drawn[0][0].cell, drawn[1][0].cell)
    _, counts = np.unique(drawn[0][0].cell.numpy().reshape(600, -1), axis=0, return_counts=True)
    assert len(counts) == 12
    assert counts.min() > 25
