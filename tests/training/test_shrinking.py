"""What is kept of answers is learned: noise is taken off, and what is right is left."""

import json
from pathlib import Path

import pytest
import torch
from support.relaxing import tiny_network

from empnn.data.sets import load_split, locate
from empnn.geometry import hencky_strain, polar_factor
from empnn.metrics import displacements
from empnn.nn.shrinkage import Shrinkage
from empnn.relax import load
from empnn.relax.passes import apply_passes
from empnn.training import error_fit, run, shrinking
from empnn.training.config import load_config
from empnn.training.report import Reporter

NETWORK = tiny_network(scale=1.0, deform=["cell", "positions"])
SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.workers=0", "train.warmup_steps=2", "train.threads=1", "train.steps=2", "train.batch_size=8"),
    *("data=sample", "data.dev_fraction=0.4", "data.calibration_fraction=0", "train.validate_every=2"),
)


def test_what_is_left_of_the_parts_is_what_scaled_answers_leave() -> None:
    crystals = load_split(locate(None, "sample"), "train").crystals.select(range(12))
    before = crystals.with_cell(crystals.cell * 1.03)
    rows = shrinking._rows(NETWORK, (before, crystals), 1.0, 1.0)
    moved = apply_passes(NETWORK, before, 1)
    factors = torch.rand(len(crystals), 3, dtype=torch.float64)
    left = shrinking._left(rows.squares, factors)
    strain = hencky_strain(moved.stretches[-1])
    wanted = hencky_strain(polar_factor(torch.linalg.solve(before.cell, crystals.cell)))
    for part, (one, other) in enumerate(zip(shrinking._parts(strain), shrinking._parts(wanted), strict=True)):
        expected = torch.linalg.matrix_norm(other - factors[:, part, None, None] * one)
        torch.testing.assert_close(left[:, part], expected, rtol=1e-4, atol=2e-5)
    after = before.shifted(factors[before.batch, 2:] * moved.shift)
    squares = displacements(after, crystals).square().sum(-1)
    mean = squares.new_zeros(len(crystals)).index_add(0, crystals.batch, squares) / crystals.sizes
    torch.testing.assert_close(left[:, 2], mean.sqrt(), rtol=1e-4, atol=2e-5)


def test_noise_is_taken_off_and_large_answers_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are the truth and noise of one size; half of the truths are nothing."""
    monkeypatch.setattr(shrinking, "_STEPS", 600)
    generator = torch.Generator().manual_seed(0)
    n = 3000
    truth = 0.2 * torch.randn(n, 2, 8, generator=generator, dtype=torch.float64)
    truth[: n // 2] = 0
    answer = truth + 0.01 * torch.randn(n, 2, 8, generator=generator, dtype=torch.float64)
    squares = torch.stack([truth * truth, answer * answer, truth * answer], dim=-1).sum(2)
    sizes = squares[..., 1].sqrt()
    signals = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    weights = torch.ones(n, 2, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = Shrinkage(5, 2, 2).eval()
        found.errors.learn_scale(signals, sizes)
        found.learn_scale(signals, sizes)
        shrinking._fit(found, shrinking._Rows(signals, sizes, squares, weights))
    with torch.inference_mode():
        factors = found(signals, sizes)
    assert factors[: n // 2].mean() < 0.1
    assert factors[n // 2 :].mean() > 0.98
    left, whole = shrinking._left(squares, factors).mean(), shrinking._left(squares, torch.ones(n, 2)).mean()
    assert left < 0.6 * whole


def test_runs_that_learned_to_leave_relaxed_crystals_alone_end_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    for module in (shrinking, error_fit):
        monkeypatch.setattr(module, "_STEPS", 20)
    monkeypatch.setattr("empnn.training.calibration.LEAST_FIT", 10)
    with_it = run.train(
        load_config(None, [*SMALL, "noise.mix.relaxed=0.2", f"train.out={tmp_path / 'a'}"]), Reporter(quiet=True)
    )
    without = run.train(load_config(None, [*SMALL, f"train.out={tmp_path / 'b'}"]), Reporter(quiet=True))
    assert load(with_it).shrinkage is not None
    assert load(without).shrinkage is None
    assert load(without).error_head is not None
    assert json.loads((with_it / "best" / "card.json").read_text())["errors"]["holds_for"] == ["strain", "relaxed"]
    # Weights that start another run take nothing of it along.
    again = [*SMALL, f"model.start_from={with_it}", f"train.out={tmp_path / 'c'}"]
    assert load(run.train(load_config(None, again), Reporter(quiet=True))).shrinkage is None
