"""Training batches depend on the seed and the step, and on nothing else."""

import torch

from empnn import symmetry
from empnn.crystals import CrystalBatch, wrap
from empnn.data.store import StoredCrystals
from empnn.geometry import polar_factor
from empnn.graph import GraphRule, knn
from empnn.training.options import Config, NoiseConfig, TrainConfig
from empnn.training.sources import Corruptions
from empnn.training.steps import DenoisingSteps


def crystals(n: int) -> CrystalBatch:
    generator = torch.Generator().manual_seed(1)
    cell = 3.0 * torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(
        n, 3, 3, dtype=torch.float64, generator=generator
    )
    return CrystalBatch(
        cell=cell,
        frac=torch.rand(2 * n, 3, dtype=torch.float64, generator=generator),
        numbers=torch.arange(2 * n) // 2 + 1,
        batch=torch.arange(n).repeat_interleave(2),
    )


def steps(seed: int = 0, noise: NoiseConfig | None = None, n: int = 10) -> DenoisingSteps:
    return of(crystals(n), knn(4), noise or NoiseConfig(), batch_size=4, seed=seed)


def of(crystals: CrystalBatch, rule: GraphRule, noise: NoiseConfig, batch_size: int, seed: int) -> DenoisingSteps:
    config = Config(noise=noise, train=TrainConfig(batch_size=batch_size, seed=seed))
    arrays = {name: getattr(crystals, name).numpy() for name in ("cell", "frac", "numbers", "starts")}
    return DenoisingSteps(Corruptions(config, StoredCrystals(arrays)).source(), rule)


def test_a_step_is_a_function_of_seed_and_step() -> None:
    forward = [steps()[i].crystals.cell for i in range(6)]
    one = steps()
    backward = [one[i].crystals.cell for i in reversed(range(6))]
    assert all(torch.equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
    assert not torch.equal(steps(seed=1)[0].crystals.cell, forward[0])


def test_every_crystal_comes_once_an_epoch() -> None:
    data = steps()
    seen = torch.cat([data[i].crystals.numbers[::2] for i in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(1, 11))
    assert sorted(seen[10:].tolist()) == list(range(1, 11))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_the_target_is_the_unstrained_cell_in_the_same_basis() -> None:
    batch = steps(noise=NoiseConfig(sigma=0.0))[0]
    assert torch.equal(batch.crystals.cell, batch.relaxed.cell)
    strained = steps(noise=NoiseConfig(sigma=0.2, distribution="fixed"))[0]
    assert not torch.allclose(strained.crystals.cell, strained.relaxed.cell)


def test_uniform_noise_stays_below_its_largest_sigma() -> None:
    data = of(crystals(500), knn(2), NoiseConfig(sigma=0.05), batch_size=500, seed=0)
    batch = data[0]
    stretch = torch.linalg.solve(batch.relaxed.cell, batch.crystals.cell).mT
    spread = torch.linalg.matrix_norm(stretch - torch.eye(3, dtype=torch.float64)) / 3
    assert 0.5 * 0.05 / 2 < float(spread.mean()) < 1.3 * 0.05 / 2


def test_noise_is_not_aligned_with_the_axes() -> None:
    data = of(crystals(400), knn(2), NoiseConfig(sigma=0.1, distribution="fixed"), batch_size=400, seed=0)
    batch = data[0]
    action = torch.linalg.solve(batch.relaxed.cell, batch.crystals.cell).mT
    squares = polar_factor(action).sub(torch.eye(3, dtype=torch.float64)).square().mean(0)
    assert torch.allclose(squares.diagonal(), squares.diagonal().mean().expand(3), rtol=0.3)


def test_the_graph_belongs_to_the_strained_crystals() -> None:
    batch = steps()[0]
    g = batch.graph
    frac, cell = batch.crystals.frac, batch.crystals.cell
    expected = torch.einsum("ei,eij->ej", frac[g.target] - frac[g.source] + g.image, cell[g.batch])
    assert torch.allclose(g.vectors, expected, atol=1e-12)
    rotated = symmetry.rotate(batch.crystals, symmetry.random_orthogonal(4, torch.Generator().manual_seed(0)))
    assert len(knn(4)(rotated)) == len(g)


def test_atoms_are_displaced_around_their_mean_and_the_target_is_next_to_them() -> None:
    batch = of(crystals(400), knn(2), NoiseConfig(distribution="fixed", positions=0.1), batch_size=400, seed=0)[0]
    before, relaxed = batch.crystals, batch.relaxed
    moved = torch.einsum("ai,aij->aj", before.frac - relaxed.frac, relaxed.cell[relaxed.batch])
    mean = torch.zeros(400, 3, dtype=torch.float64).index_add(0, relaxed.batch, moved)
    assert float(mean.abs().max()) < 1e-12
    # Two atoms minus their mean: half of the variance is left.
    assert 0.9 < float(moved.std()) / (0.1 / 2**0.5) < 1.1
    assert bool((before.frac >= 0).all() and (before.frac < 1).all())
    still = of(crystals(400), knn(2), NoiseConfig(distribution="fixed"), 400, 0)[0]
    assert torch.equal(still.crystals.cell, before.cell)
    torch.testing.assert_close(wrap(relaxed.frac), still.crystals.frac, rtol=0, atol=1e-12)
