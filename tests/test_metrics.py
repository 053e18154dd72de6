import math

import numpy as np
import pytest
import torch
from ase.geometry import find_mic
from pymatgen.core import Lattice
from support.zoo import ALL, ZOO

from empnn import symmetry
from empnn.corruption.strain import fixed_displacement, with_fixed_noise
from empnn.crystals import CrystalBatch, from_arrays
from empnn.graph.reduction import minimum_images
from empnn.metrics import DenoisingMetrics, denoising_metrics, displacements

NOISY, LESS = with_fixed_noise(ALL, 0.1, seed=0, positions=0.1), with_fixed_noise(ALL, 0.03, seed=1, positions=0.02)


def _cells(*parameters: list[float]) -> CrystalBatch:
    cells = [Lattice.from_parameters(*p).matrix for p in parameters]
    return CrystalBatch.cat([from_arrays(cell, np.zeros((1, 3)), np.array([6])) for cell in cells])


def test_errors_and_improvements_by_hand() -> None:
    reference = _cells([4, 5, 6, 90, 90, 90], [4, 4, 4, 60, 60, 60])
    before = _cells([4.3, 5, 6, 90, 90, 96], [4, 4, 4.6, 60, 60, 60])
    after = _cells([4, 4.9, 6, 90, 91, 90], [4, 4.2, 4, 60, 60, 62])
    metrics = denoising_metrics(before, after, reference)
    assert metrics.n == 2
    assert metrics.noise_lengths == pytest.approx(0.9 / 6)
    assert metrics.noise_angles == pytest.approx(6 / 6)
    assert metrics.lengths_mae == pytest.approx(0.3 / 6)
    assert metrics.angles_mae == pytest.approx(3 / 6)
    assert metrics.lengths_improvement == pytest.approx(0.1)
    assert metrics.angles_improvement == pytest.approx(0.5)
    assert metrics.lengths_removed == pytest.approx(2 / 3)
    assert metrics.angles_removed == pytest.approx(0.5)


def test_errors_agree_with_pymatgen() -> None:
    truth, noisy, less = (
        np.array([Lattice(cell).parameters for cell in crystals.cell.numpy()]) for crystals in (ALL, NOISY, LESS)
    )
    metrics = denoising_metrics(NOISY, LESS, ALL)
    assert metrics.noise_lengths == pytest.approx(np.abs(noisy - truth)[:, :3].mean())
    assert metrics.noise_angles == pytest.approx(np.abs(noisy - truth)[:, 3:].mean())
    assert metrics.lengths_mae == pytest.approx(np.abs(less - truth)[:, :3].mean())
    assert metrics.angles_mae == pytest.approx(np.abs(less - truth)[:, 3:].mean())


def test_doing_nothing_improves_nothing_and_the_truth_removes_all() -> None:
    nothing = denoising_metrics(NOISY, NOISY, ALL)
    assert nothing.lengths_improvement == nothing.angles_improvement == 0
    assert nothing.lengths_removed == nothing.angles_removed == 0
    perfect = denoising_metrics(NOISY, ALL, ALL)
    assert perfect.lengths_mae == perfect.angles_mae == 0
    assert perfect.lengths_removed == perfect.angles_removed == 1


def test_without_noise_nothing_is_removed() -> None:
    metrics = denoising_metrics(ALL, NOISY, ALL)
    assert metrics.lengths_removed == metrics.angles_removed == 0
    assert metrics.lengths_improvement < 0


def test_metrics_are_invariant_under_rotations_and_reflections(generator: torch.Generator) -> None:
    rotated = [symmetry.rotate(c, symmetry.random_orthogonal(len(ALL), generator)) for c in (NOISY, LESS, ALL)]
    expected = denoising_metrics(NOISY, LESS, ALL, positions=True).as_dict()
    assert denoising_metrics(*rotated, positions=True).as_dict() == pytest.approx(expected, rel=1e-9)


def test_no_structures_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no structures"):
        denoising_metrics(*[CrystalBatch.cat([])] * 3)


def test_names_of_the_json_interface() -> None:
    metrics = DenoisingMetrics(3, 0.2, 4.0, 0.1, 1.0)
    assert metrics.as_dict() == {
        "n": 3,
        "noise_lengths": 0.2,
        "noise_angles": 4.0,
        "lengths_mae": 0.1,
        "angles_mae": 1.0,
        "lengths_improvement": 0.1,
        "angles_improvement": 3.0,
        "lengths_removed": 0.5,
        "angles_removed": 0.75,
    }
    assert all(math.isfinite(value) for value in metrics.as_dict().values())


def test_displacements_are_what_the_noise_was() -> None:
    noise = fixed_displacement(ALL, 0.1, seed=0)
    torch.testing.assert_close(displacements(NOISY, ALL), noise, rtol=0, atol=1e-9)
    metrics = denoising_metrics(NOISY, LESS, ALL, positions=True).positions
    assert metrics is not None
    distance = torch.linalg.vector_norm(noise, dim=1)
    assert metrics.noise_positions == pytest.approx(float(distance.mean()))
    assert metrics.noise_positions_rms == pytest.approx(float(distance.square().mean().sqrt()))
    after = float(torch.linalg.vector_norm(displacements(LESS, ALL), dim=1).mean())
    assert metrics.positions_mae == pytest.approx(after)
    assert metrics.positions_removed == pytest.approx(1 - after / metrics.noise_positions)
    assert denoising_metrics(NOISY, ALL, ALL, positions=True).as_dict()["positions_removed"] == pytest.approx(1)
    assert "positions_mae" not in denoising_metrics(NOISY, LESS, ALL).as_dict()


def test_displacements_do_not_see_the_origin_or_the_basis(generator: torch.Generator) -> None:
    expected = displacements(NOISY, ALL)
    moved = symmetry.translate(NOISY, symmetry.random_translation(len(ALL), generator))
    torch.testing.assert_close(displacements(moved, ALL), expected, rtol=0, atol=1e-9)
    g = symmetry.random_unimodular(len(ALL), generator, factors=8, largest=3)
    rewritten = [symmetry.change_basis(c, g) for c in (NOISY, ALL)]
    torch.testing.assert_close(displacements(*rewritten), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["triclinic", "elongated", "skewed"])
def test_images_are_the_shortest(name: str, generator: torch.Generator) -> None:
    crystal = ZOO[name]
    shift = 3 * torch.randn(50, 3, dtype=torch.float64, generator=generator).numpy()
    cell, index = crystal.cell.numpy(), np.zeros(50, dtype=np.int64)
    images = minimum_images(shift, cell, index)
    expected, _ = find_mic(shift @ cell[0], cell[0])
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), np.linalg.norm(expected, axis=1), atol=1e-9)
    multiples = (images - shift @ cell[0]) @ np.linalg.inv(cell[0])
    np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-7)
