"""Scores by hand, noise by the rule, and doing nothing as doing nothing."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from support.relaxing import tiny_network
from support.zoo import ALL, zoo

from empnn.corruption.strain import fixed_displacement
from empnn.crystals import CrystalBatch, from_arrays
from empnn.errors import ConfigError
from empnn.evaluate import DEFAULT_POSITIONS, compare, denoise, load_crystals
from empnn.relax import Relaxer
from empnn.relax.passes import Passes
from empnn.relaxers import BatchRelaxer, RelaxedBatch

KEYS = (
    *("n", "sigma", "seed", "noise_lengths", "noise_angles", "lengths_mae", "angles_mae"),
    *("lengths_improvement", "angles_improvement", "lengths_removed", "angles_removed", "seconds"),
    "seconds_per_crystal",
)


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(), {})


@pytest.fixture(scope="module")
def still():
    return Relaxer(tiny_network(scale=0.0), {})


def box(a, b, c):
    return from_arrays(np.diag([a, b, c]).astype(float), np.zeros((1, 3)), np.array([29]))


def test_metric_by_hand(still):
    """Lengths are off by 0.3, 0 and 0.6, on average 0.3; nothing is removed by doing nothing."""
    figures = compare(still, box(3.3, 4, 5.6), box(3, 4, 5)).as_dict()
    assert tuple(figures) == KEYS
    assert figures["n"] == 1
    assert figures["sigma"] is None
    assert figures["seed"] is None
    assert figures["noise_lengths"] == pytest.approx(0.3)
    assert figures["lengths_mae"] == pytest.approx(0.3, abs=1e-6)
    assert figures["noise_angles"] == pytest.approx(0, abs=1e-9)
    assert figures["lengths_removed"] == pytest.approx(0, abs=1e-5)


def test_angles_by_hand(still):
    """One angle of 60 instead of 90 degrees: 10 on average over the three."""
    skewed = np.array([[3.0, 0, 0], [2.0, 2 * np.sqrt(3), 0], [0, 0, 5]])
    candidate = from_arrays(skewed, np.zeros((1, 3)), np.array([29]))
    figures = compare(still, candidate, box(3, 4, 5)).as_dict()
    assert figures["noise_angles"] == pytest.approx(10)
    assert figures["noise_lengths"] == pytest.approx(0, abs=1e-9)


def test_crystals_of_each_set_are_scored_apart(relaxer):
    """As if they were alone, in their places of the noise; the sets together are all."""
    origins = ["a" if index % 3 else "b" for index in range(len(ALL))]
    figures = denoise(relaxer, ALL, 0.1, seed=5, origins=origins).as_dict()
    alone = denoise(relaxer, ALL, 0.1, seed=5).as_dict()
    sets = figures.pop("sets")
    assert list(sets) == ["b", "a"]
    assert {key: figures[key] for key in KEYS[:-2]} == {key: alone[key] for key in KEYS[:-2]}
    assert sum(part["n"] for part in sets.values()) == len(ALL)
    for key in ("noise_lengths", "noise_angles", "lengths_mae", "angles_mae"):
        assert sum(part["n"] * part[key] for part in sets.values()) / len(ALL) == pytest.approx(figures[key])
    (only,) = denoise(relaxer, ALL.select([0]), 0.1, seed=5, origins=["b"]).as_dict()["sets"].values()
    first = denoise(relaxer, ALL, 0.1, seed=5, origins=["b"] + ["a"] * (len(ALL) - 1)).as_dict()["sets"]["b"]
    assert only == pytest.approx(first, rel=1e-5)


def test_noise_is_drawn_per_structure_in_file_order(still):
    truth, noisy = [], []
    for index, cell in enumerate(ALL.cell.numpy()):
        strain = np.random.default_rng([5, index]).normal(0.0, 0.1, (3, 3))
        for cells, one in ((truth, cell), (noisy, cell @ expm(strain).T)):
            cells.append(np.linalg.norm(one, axis=1))
    figures = denoise(still, ALL, 0.1, seed=5).as_dict()
    assert figures["noise_lengths"] == pytest.approx(np.abs(np.array(noisy) - truth).mean())
    assert (figures["sigma"], figures["seed"]) == (0.1, 5)


def test_doing_nothing_does_not_depend_on_the_model(relaxer, still):
    first, second = (denoise(r, ALL, 0.1, seed=1).as_dict() for r in (relaxer, still))
    for key in ("noise_lengths", "noise_angles"):
        assert first[key] == second[key]
    assert first["lengths_mae"] != second["lengths_mae"]
    assert first["lengths_improvement"] == first["noise_lengths"] - first["lengths_mae"]
    assert first["angles_removed"] == pytest.approx(1 - first["angles_mae"] / first["noise_angles"])


def test_strong_noise(relaxer):
    assert denoise(relaxer, ALL, 0.4, seed=2).metrics.noise_lengths > 1


def test_no_noise(still):
    figures = denoise(still, ALL, 0.0).as_dict()
    assert figures["noise_lengths"] == 0
    assert figures["lengths_removed"] == 0


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf"), 3.0])
def test_noise_out_of_range(still, sigma):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        denoise(still, ALL, sigma)


def test_references_must_correspond(relaxer):
    with pytest.raises(ConfigError, match="give one for each"):
        compare(relaxer, zoo("fcc"), zoo("fcc", "fcc"))
    with pytest.raises(ConfigError, match="differ in their atoms"):
        compare(relaxer, zoo("fcc", "rocksalt"), zoo("rocksalt", "fcc"))


def test_model_that_fails(monkeypatch, relaxer):
    """For one crystal too: what it did not relax must not pass for relaxed."""

    def without_the_last(network, crystals, passes, shrinkage, may_repeat):
        stretches = torch.eye(3, dtype=torch.float64).repeat(1, len(crystals), 1, 1)
        stretches[0, -1] = torch.nan
        return Passes(stretches=stretches, shift=torch.zeros_like(crystals.frac))

    monkeypatch.setattr("empnn.relax.passes.apply_passes", without_the_last)
    n = len(ALL)
    with pytest.raises(ConfigError, match=f"relaxed only {n - 1} of {n} structures; it cannot be scored"):
        denoise(relaxer, ALL, 0.1)
    with pytest.raises(ConfigError, match="relaxed none of 1 structures; it cannot be scored"):
        compare(relaxer, zoo("fcc"), zoo("fcc"))


class Halfway:
    """A relaxer of another kind, which is nobody's subclass: every second crystal as it should be, the others fail."""

    moves_atoms = True

    def __init__(self, truth):
        self.truth = truth

    def relax_batch(self, crystals):
        failed = torch.arange(len(crystals)) % 2 == 1
        chosen = torch.where(failed, 0, len(crystals)) + torch.arange(len(crystals))
        both = CrystalBatch.cat([crystals, self.truth]).select(chosen)
        return RelaxedBatch(
            crystals=both, failed=failed, seconds=6.0, report={"failed": int(failed.sum()), "extra": 2.5}
        )


def test_whatever_relaxes_is_scored_alike():
    relaxer, truth = Halfway(zoo("fcc", "fcc")), zoo("fcc", "fcc")
    assert isinstance(relaxer, BatchRelaxer)
    stretched = truth.with_cell(truth.cell * 1.1)
    figures = compare(relaxer, stretched, truth).as_dict()
    assert figures["lengths_removed"] == pytest.approx(0.5)
    assert (figures["n"], figures["failed"], figures["extra"]) == (2, 1, 2.5)
    assert (figures["seconds"], figures["seconds_per_crystal"]) == (6.0, 3.0)
    assert "positions_mae" in figures
    noisy = denoise(relaxer, truth, 0.1).as_dict()
    assert (noisy["positions_sigma"], noisy["sigma"], noisy["seed"]) == (DEFAULT_POSITIONS, 0.1, 0)
    with pytest.raises(ConfigError, match="relaxed none of 1"):
        compare(Nothing(), zoo("fcc"), zoo("fcc"))


class Nothing:
    """A relaxer that counts its failures and has nothing else."""

    moves_atoms = False

    def relax_batch(self, crystals):
        failed = torch.ones(len(crystals), dtype=torch.bool)
        return RelaxedBatch(crystals=crystals, failed=failed, seconds=0.0, report={"failed": len(crystals)})


def test_missing_data(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_crystals(tmp_path / "nothing", "val")
    with pytest.raises(ConfigError, match=r"no test\.csv"):
        load_crystals(tmp_path, "test")


def test_a_model_that_moves_atoms_is_scored_on_positions_too(still):
    relaxer = Relaxer(tiny_network(deform=["cell", "positions"]), {})
    figures = denoise(relaxer, ALL, 0.1, positions=0.2).as_dict()
    distance = fixed_displacement(ALL, 0.2, 0).norm(dim=1)
    assert figures["noise_positions"] == pytest.approx(float(distance.mean()))
    assert figures["noise_positions_rms"] == pytest.approx(float(distance.square().mean().sqrt()))
    assert figures["positions_mae"] != figures["noise_positions"]
    half = denoise(relaxer, ALL, 0.1).as_dict()
    assert half["noise_positions"] == pytest.approx(figures["noise_positions"] / 2)
    assert "positions_mae" not in denoise(still, ALL, 0.1).as_dict()
    with pytest.raises(ConfigError, match="moves no atoms"):
        denoise(still, ALL, 0.1, positions=0.1)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        denoise(relaxer, ALL, 0.1, positions=-1.0)
