"""Equation 13 and its company in closed form."""

import numpy as np
import pytest

from empnn.energy import energy_metrics

NOISY, DENOISED, ORIGINAL = np.array([-1.0, -2.0, -3.0]), np.array([-1.4, -2.1, -2.9]), np.array([-1.5, -2.2, -3.4])


def test_by_hand():
    metrics = energy_metrics(NOISY, DENOISED, ORIGINAL)
    assert metrics.n == 3
    assert metrics.energy == pytest.approx(-0.4 / 3)
    assert metrics.energy_median == pytest.approx(-0.1)
    assert metrics.percent_lower == pytest.approx(200 / 3)
    assert metrics.strain_energy == pytest.approx(1.1 / 3)
    assert metrics.recovered == pytest.approx(0.4 / 1.1)
    assert metrics.recovered_median == pytest.approx(0.5)


def test_nothing_and_everything():
    nothing = energy_metrics(NOISY, NOISY, ORIGINAL)
    assert (nothing.energy, nothing.percent_lower, nothing.recovered) == (0, 0, 0)
    everything = energy_metrics(NOISY, ORIGINAL, ORIGINAL)
    assert everything.percent_lower == 100
    assert everything.recovered == pytest.approx(1)
    assert everything.recovered_median == pytest.approx(1)


def test_without_originals():
    assert energy_metrics(NOISY, DENOISED).recovered is None
    assert energy_metrics(NOISY, DENOISED).energy == energy_metrics(NOISY, DENOISED, ORIGINAL).energy


def test_no_strain_energy_to_recover():
    metrics = energy_metrics(ORIGINAL, DENOISED, ORIGINAL)
    assert (metrics.strain_energy, metrics.recovered, metrics.recovered_median) == (0, None, None)


@pytest.mark.parametrize("wrong", [np.array([]), np.array([1.0, 2.0]), np.array([1.0, np.nan, 2.0])])
def test_energies_must_correspond(wrong):
    with pytest.raises((ValueError, TypeError)):
        energy_metrics(wrong, wrong if len(wrong) == 0 else NOISY)
