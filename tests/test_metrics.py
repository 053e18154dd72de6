import math

import numpy as np
import pytest
import torch
from crystals_zoo import ALL
from pymatgen.core import Lattice

from empnn import symmetry
from empnn.metrics import LatticeMetrics, lattice_metrics
from empnn.noise import with_fixed_noise

NOISY, LESS = with_fixed_noise(ALL, 0.1, seed=0).cell, with_fixed_noise(ALL, 0.03, seed=1).cell


def _cells(*parameters: list[float]) -> torch.Tensor:
    return torch.from_numpy(np.array([Lattice.from_parameters(*p).matrix for p in parameters]))


def test_errors_and_improvements_by_hand() -> None:
    reference = _cells([4, 5, 6, 90, 90, 90], [4, 4, 4, 60, 60, 60])
    before = _cells([4.3, 5, 6, 90, 90, 96], [4, 4, 4.6, 60, 60, 60])
    after = _cells([4, 4.9, 6, 90, 91, 90], [4, 4.2, 4, 60, 60, 62])
    metrics = lattice_metrics(before, after, reference)
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
        np.array([Lattice(cell).parameters for cell in cells.numpy()]) for cells in (ALL.cell, NOISY, LESS)
    )
    metrics = lattice_metrics(NOISY, LESS, ALL.cell)
    assert metrics.noise_lengths == pytest.approx(np.abs(noisy - truth)[:, :3].mean())
    assert metrics.noise_angles == pytest.approx(np.abs(noisy - truth)[:, 3:].mean())
    assert metrics.lengths_mae == pytest.approx(np.abs(less - truth)[:, :3].mean())
    assert metrics.angles_mae == pytest.approx(np.abs(less - truth)[:, 3:].mean())


def test_doing_nothing_improves_nothing_and_the_truth_removes_all() -> None:
    nothing = lattice_metrics(NOISY, NOISY, ALL.cell)
    assert nothing.lengths_improvement == nothing.angles_improvement == 0
    assert nothing.lengths_removed == nothing.angles_removed == 0
    perfect = lattice_metrics(NOISY, ALL.cell, ALL.cell)
    assert perfect.lengths_mae == perfect.angles_mae == 0
    assert perfect.lengths_removed == perfect.angles_removed == 1


def test_without_noise_nothing_is_removed() -> None:
    metrics = lattice_metrics(ALL.cell, NOISY, ALL.cell)
    assert metrics.lengths_removed == metrics.angles_removed == 0
    assert metrics.lengths_improvement < 0


def test_metrics_are_invariant_under_rotations_and_reflections(generator: torch.Generator) -> None:
    q = [symmetry.random_orthogonal(len(ALL), generator).mT for _ in range(3)]
    expected = lattice_metrics(NOISY, LESS, ALL.cell).as_dict()
    rotated = lattice_metrics(NOISY @ q[0], LESS @ q[1], ALL.cell @ q[2]).as_dict()
    assert rotated == pytest.approx(expected, rel=1e-9)


def test_no_structures_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no structures"):
        lattice_metrics(NOISY[:0], LESS[:0], ALL.cell[:0])


def test_names_of_the_json_interface() -> None:
    metrics = LatticeMetrics(3, 0.2, 4.0, 0.1, 1.0)
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
