"""What is kept of answers is learned: noise is taken off, and what is right is left."""

import json
from pathlib import Path

import pytest
import torch
from support.relaxing import tiny_network

from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.data.sets import load_split, locate
from empnn.geometry import hencky_strain, isotropic_and_deviatoric, metric_tensor
from empnn.metrics import displacements
from empnn.nn.shrinkage import Shrinkage
from empnn.relax import load
from empnn.relax.passes import Passes, apply_passes
from empnn.training import error_fit, run, shrinking
from empnn.training.config import load_config
from empnn.training.report import Reporter

NETWORK = tiny_network(scale=1.0, deform=["cell", "positions"])
SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.workers=0", "train.warmup_steps=2", "train.threads=1", "train.steps=2", "train.batch_size=8"),
    *("data=sample", "data.dev_fraction=0.4", "data.calibration_fraction=0", "train.validate_every=2"),
)


@pytest.fixture(scope="module")
def inputs() -> BeforeAfter:
    """Crystals strained in no symmetric way, atoms displaced, and the true ones."""
    truth = load_split(locate(None, "sample"), "train").crystals.select(range(12))
    return with_fixed_noise(truth, 0.3, 0, 0.1), truth


def test_what_is_left_of_the_parts_is_what_scaled_answers_leave(inputs: BeforeAfter) -> None:
    before, truth = inputs
    rows = shrinking._rows(NETWORK, inputs, 1.0, 1.0)
    moved = apply_passes(NETWORK, before, 1)
    factors = torch.rand(len(truth), 3, dtype=torch.float64)
    left = shrinking._left(rows.squares, factors)
    strain = hencky_strain(moved.stretches[-1])
    wanted = strain_to(before.cell, truth.cell)
    for part, (one, other) in enumerate(
        zip(isotropic_and_deviatoric(strain), isotropic_and_deviatoric(wanted), strict=True)
    ):
        expected = torch.linalg.matrix_norm(other - factors[:, part, None, None] * one)
        torch.testing.assert_close(left[:, part], expected, rtol=1e-4, atol=2e-5)
    after = before.shifted(factors[before.batch, 2:] * moved.shift)
    squares = displacements(after, truth).square().sum(-1)
    mean = squares.new_zeros(len(truth)).index_add(0, truth.batch, squares) / truth.sizes
    torch.testing.assert_close(left[:, 2], mean.sqrt(), rtol=1e-4, atol=2e-5)


def strain_to(before: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The symmetric Hencky strain that gives cells the shape of others, by metric tensors alone."""
    values, vectors = torch.linalg.eigh(torch.linalg.solve(before, metric_tensor(truth)) @ torch.linalg.inv(before).mT)
    strain: torch.Tensor = vectors @ ((values.log() / 2).unsqueeze(-1) * vectors.mT)
    torch.testing.assert_close(metric_tensor(before @ torch.linalg.matrix_exp(strain)), metric_tensor(truth))
    return strain


def test_nothing_is_left_of_a_perfect_answer(inputs: BeforeAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    before, truth = inputs
    shift = (truth.frac - before.frac + 0.5) % 1 - 0.5
    perfect = Passes(
        stretches=torch.linalg.matrix_exp(strain_to(before.cell, truth.cell))[None],
        shift=shift,
        first=apply_passes(NETWORK, before, 1).first,
    )
    monkeypatch.setattr(shrinking, "apply_passes", lambda *given, **named: perfect)
    rows = shrinking._rows(NETWORK, inputs, 1.0, 1.0)
    whole = torch.ones(len(truth), 3, dtype=torch.float64)
    assert shrinking._left(rows.squares, whole).max() < 2e-5
    assert shrinking._left(rows.squares, 0 * whole).min() > 1e-2


def test_it_is_fitted_to_the_sizes_that_it_reads(inputs: BeforeAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = inputs
    rows = shrinking._rows(NETWORK, inputs, 1.0, 1.0)
    seen: list[torch.Tensor] = []
    shrinkage = Shrinkage(rows.signals.shape[1], NETWORK.config.features, 3).eval()

    def read(signals: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        seen.extend([signals, sizes])
        return torch.ones_like(sizes)

    monkeypatch.setattr(shrinkage, "forward", read)
    apply_passes(NETWORK, before, 1, shrinkage)
    torch.testing.assert_close(seen, [rows.signals, rows.sizes])


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
