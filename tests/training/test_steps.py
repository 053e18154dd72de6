"""Training batches depend on the seed and the step, and on nothing else."""

import torch

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.geometry import polar_factor
from empnn.graph import knn
from empnn.training.config import NoiseConfig
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
    return DenoisingSteps(crystals(n), knn(4), noise or NoiseConfig(), batch_size=4, seed=seed)


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
    assert torch.equal(batch.crystals.cell, batch.relaxed)
    strained = steps(noise=NoiseConfig(sigma=0.2, distribution="fixed"))[0]
    assert not torch.allclose(strained.crystals.cell, strained.relaxed)


def test_uniform_noise_stays_below_its_largest_sigma() -> None:
    data = DenoisingSteps(crystals(500), knn(2), NoiseConfig(sigma=0.05), batch_size=500, seed=0)
    batch = data[0]
    stretch = torch.linalg.solve(batch.relaxed, batch.crystals.cell).mT
    spread = torch.linalg.matrix_norm(stretch - torch.eye(3, dtype=torch.float64)) / 3
    assert 0.5 * 0.05 / 2 < float(spread.mean()) < 1.3 * 0.05 / 2


def test_noise_is_not_aligned_with_the_axes() -> None:
    data = DenoisingSteps(crystals(400), knn(2), NoiseConfig(sigma=0.1, distribution="fixed"), batch_size=400, seed=0)
    batch = data[0]
    action = torch.linalg.solve(batch.relaxed, batch.crystals.cell).mT
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
