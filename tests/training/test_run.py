"""Whole training runs, small: they learn, write what they promise, and survive bad gradients."""

import csv
import json
import pickle
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from support.runs import SMALL, config, weights
from typer.testing import CliRunner

from empnn.cli import app
from empnn.crystals import CrystalBatch
from empnn.data.store import StoredCrystals
from empnn.errors import ConfigError
from empnn.evaluate import denoise
from empnn.losses import ParameterScale
from empnn.nn import Network, build
from empnn.relax import load
from empnn.training import run
from empnn.training.config import load_config
from empnn.training.module import Denoising, rate_factor
from empnn.training.report import Reporter
from empnn.training.sources import Corruptions
from empnn.training.steps import DenoisingSteps
from empnn.training.task import Outcome, Relaxing


def test_a_run_writes_all_it_promises(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.train(config(data, tmp_path / "run"), Reporter())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "removed" in printed.err
    assert "left" in printed.err
    assert "best weights" in printed.err
    for name in ("config.yaml", "best/model.safetensors", "best/model.yaml", "last/optimizer.safetensors"):
        assert (folder / name).is_file()
    assert list(folder.glob("tensorboard/events*"))
    assert (folder / "metrics.csv").is_file()
    state = json.loads((folder / "last" / "state.json").read_text())
    assert state["step"] == 12
    assert state["skipped_steps"] == 0
    assert not list(folder.rglob("*.ckpt"))
    assert not list(folder.rglob("*.pt"))


def test_the_last_weights_are_a_model_as_the_best_ones_are(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=8", "noise.sigma=0.3"), Reporter(quiet=True))
    cards = [json.loads((folder / name / "card.json").read_text()) for name in ("best", "last")]
    assert cards[1]["step"] == 8
    assert cards[0].keys() == cards[1].keys()
    assert cards[1]["selection"]["n"] == cards[0]["selection"]["n"] > 0
    last, best = load(folder / "last"), load(folder)
    assert last.elements == best.elements == set(run.prepare(load_config(folder / "config.yaml")).train.elements)
    assert last.strain_limit == best.strain_limit == pytest.approx(0.6)
    assert "elements not in the training data" in str(last.relax(bulk("U", "fcc", a=5.0)).warnings)

    def stop(self: DenoisingSteps, step: int) -> object:
        if step == 2:
            signal.raise_signal(signal.SIGINT)
        return original(self, step)

    original = DenoisingSteps.__getitem__
    monkeypatch.setattr(DenoisingSteps, "__getitem__", stop)
    with pytest.raises(KeyboardInterrupt):
        run.train(config(data, tmp_path / "stopped"), Reporter(quiet=True))
    card = load(tmp_path / "stopped" / "last").card
    assert card["elements"] == cards[0]["elements"]
    assert "selection" not in card


def test_elements_are_looked_for_once_however_often_the_run_improves(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards: list[Path] = []
    scans: list[int] = []
    save, select = run.models.save, StoredCrystals.select

    def saving(folder: Path, *arguments: Any) -> None:
        cards.append(folder)
        save(folder, *arguments)

    def selecting(self: StoredCrystals, index: Any) -> CrystalBatch:
        scans.append(len(index) == len(self))
        return select(self, index)

    monkeypatch.setattr(run.models, "save", saving)
    validate = Relaxing.validate
    monkeypatch.setattr(
        Relaxing,
        "validate",
        lambda task, network: replace(validate(task, network), removed={"": {"a": float(len(cards))}}),
    )
    monkeypatch.setattr(StoredCrystals, "select", selecting)
    numbers = []
    for every in (12, 1):
        cards.clear()
        scans.clear()
        settings = config(data, tmp_path / f"run-{every}", f"train.validate_every={every}")
        run.train(settings, Reporter(quiet=True))
        numbers.append((sum(folder.name == "best" for folder in cards), sum(scans)))
    assert [improved for improved, _ in numbers] == [1, 12]
    assert numbers[0][1] == numbers[1][1]


def test_training_reduces_the_loss(data: Path, tmp_path: Path) -> None:
    settings = config(
        data,
        tmp_path / "run",
        "train.steps=120",
        "train.validate_every=120",
        "noise.distribution=fixed",
        "train.learning_rate=0.01",
        "noise.sigma=0.1",
    )
    prepared = run.prepare(settings)
    steps = DenoisingSteps(Corruptions(settings, prepared.train).source(), build(settings.model).rule)
    unseen = [steps[k] for k in range(settings.train.steps, settings.train.steps + 16)]
    folder = run.train(settings, Reporter(quiet=True))
    task = Relaxing(settings, ParameterScale.of(prepared.train.cell), {})
    first = Denoising(build(settings.model), settings, task, run.RunState())
    before = np.mean([loss_of(first, batch) for batch in unseen])
    first.network.load_state_dict(weights(folder))
    assert np.mean([loss_of(first, batch) for batch in unseen]) < 0.85 * before


def test_training_moves_atoms_towards_their_places(data: Path, tmp_path: Path) -> None:
    salts = {"NaCl": 5.64, "LiF": 4.03, "KBr": 6.60, "MgO": 4.21, "AgCl": 5.55, "RbI": 7.34, "NaF": 4.63, "LiCl": 5.13}
    ase.io.write(data / "train.extxyz", [bulk(s, "rocksalt", a=a) for s, a in salts.items()])
    settings = config(
        data,
        tmp_path / "run",
        *("model.deform=[cell,positions]", "train.steps=120", "train.validate_every=60", "noise.distribution=fixed"),
        *("train.learning_rate=0.01", "noise.sigma=0.0", "noise.positions=0.2"),
    )
    folder = run.train(settings, Reporter(quiet=True))
    relaxer = load(folder)
    trained_on = run.prepare(settings).train
    crystals = trained_on.select(np.arange(len(trained_on)))
    figures = denoise(relaxer, crystals, 0.0, seed=9, positions=0.2).as_dict()
    assert figures["positions_removed"] > 0.05
    card = json.loads((folder / "best" / "card.json").read_text())
    assert card["selection"]["positions_sigma"] == 0.1
    assert "positions_removed" in card["selection"]
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert float(rows[-1]["positions_mae"]) > 0


def loss_of(module: Denoising, batch: object) -> float:
    return float(module.training_step(batch, 0).detach())  # type: ignore[arg-type]


def test_selecting_on_val_needs_a_val_split(data: Path, tmp_path: Path) -> None:
    settings = config(data / "train.extxyz", tmp_path / "run", "data.select_on=val")
    with pytest.raises(ConfigError, match="needs a data folder with a val split"):
        run.train(settings, Reporter(quiet=True))


def test_batches_can_be_prepared_by_spawned_processes(data: Path, tmp_path: Path) -> None:
    settings = config(data, tmp_path / "run")
    source = Corruptions(settings, run.prepare(settings).train).source()
    steps = DenoisingSteps(source, build(settings.model).rule)
    copy = pickle.loads(pickle.dumps(steps))  # noqa: S301
    assert torch.equal(copy[3].graph.vectors, steps[3].graph.vectors)


def test_a_gradient_that_is_not_finite_is_dropped(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Denoising.training_step

    def poisoned(self: Denoising, batch: object, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)  # type: ignore[arg-type]
        return loss * float("nan") if self.state.step == 2 else loss

    monkeypatch.setattr(Denoising, "training_step", poisoned)
    folder = run.train(config(data, tmp_path / "run", "train.steps=4"), Reporter(quiet=True))
    assert json.loads((folder / "last/state.json").read_text())["skipped_steps"] == 1
    assert all(torch.isfinite(t).all() for t in weights(folder).values())


def test_the_development_set_shares_no_composition_with_train(data: Path, tmp_path: Path) -> None:
    prepared = run.prepare(config(data, tmp_path / "run"))
    assert not set(prepared.train.elements) & set(prepared.select.elements)
    assert len(prepared.train) + len(prepared.select) == 18


def test_feed_forward_trains_and_keeps_its_scale(data: Path, tmp_path: Path) -> None:
    settings = config(data, tmp_path / "run", "model.name=ff", "train.steps=4")
    folder = run.train(settings, Reporter(quiet=True))
    scale = run.ParameterScale.of(run.prepare(settings).train.cell)
    assert torch.allclose(weights(folder)["mean"], scale.mean)


def test_a_taken_run_directory_is_refused(data: Path, tmp_path: Path) -> None:
    run.train(config(data, tmp_path / "run", "train.steps=4"), Reporter(quiet=True))
    with pytest.raises(ConfigError, match="already holds a run"):
        run.train(config(data, tmp_path / "run", "train.steps=4"), Reporter(quiet=True))


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        (["noise.mix.relaxed=1", "noise.mix.strain=0"], "nothing but relaxed has a weight"),
        (["noise.mix.decorated=1"], "no crystal has an isostructural one of another composition"),
    ],
)
def test_a_refused_run_leaves_nothing_behind(data: Path, tmp_path: Path, mix: list[str], words: str) -> None:
    ase.io.write(data / "train.extxyz", [bulk("C", "diamond", a=3.4 + 0.01 * i) for i in range(20)])
    given = ["train", f"data={data}", f"train.out={tmp_path / 'runs' / 'run'}", *SMALL, "train.steps=4"]
    refused = CliRunner().invoke(app, [*given, *mix])
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert not (tmp_path / "runs").exists()
    assert CliRunner().invoke(app, [*given, "--quiet"]).exit_code == 0


def test_learning_rate_rises_and_falls() -> None:
    settings = load_config(None, ["train.steps=100", "train.warmup_steps=10"]).train
    rates = np.array([rate_factor(s, settings) for s in range(101)])
    assert rates[0] == pytest.approx(0.1)
    assert rates.argmax() in (9, 10)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(rates[10:]) < 0).all()


def test_command_line(data: Path, tmp_path: Path) -> None:
    arguments = [
        "train",
        f"data={data}",
        f"train.out={tmp_path / 'run'}",
        *SMALL,
        "train.steps=4",
        "data.dev_fraction=0.2",
    ]
    result = CliRunner().invoke(app, [*arguments, "--json", "--quiet"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["step"] == 4
    assert result.stderr == ""
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "already holds a run" in again.stderr
    unknown = CliRunner().invoke(app, ["train", "data=mp_20", "train.step=4"])
    assert unknown.exit_code == 1
    assert "did you mean train.steps?" in unknown.stderr


def worse_than_nothing(task: Relaxing, network: Network) -> Outcome:
    return Outcome({"": {"lengths": 0.5, "angles": -0.25}}, {"n": 4.0})


def test_a_run_that_ends_worse_than_doing_nothing_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("train.steps=8", "train.validate_every=8")
    monkeypatch.setattr(Relaxing, "validate", lambda task, network: Outcome({"": {"lengths": 0.1}}, {}))
    assert run.train(config(data, tmp_path / "good", *settings), Reporter())
    assert "warning" not in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(Relaxing, "validate", worse_than_nothing)
    folder = run.train(config(data, tmp_path / "run", *settings), Reporter())
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "warning: worse than doing nothing at angles; train longer, or on more crystals"
    for name in ("best", "last"):
        assert load(folder / name).card["worse_than_nothing"] == ["angles"]
    assert "worse_than_nothing" not in load(tmp_path / "good").card


def test_what_is_worse_is_what_the_best_weights_are_worse_at(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the last ones, and also where the run is resumed after the best."""
    found = iter([{"lengths": 0.5, "angles": 0.5}, {"lengths": -0.5, "angles": -0.5}])
    monkeypatch.setattr(Relaxing, "validate", lambda task, network: Outcome({"": next(found)}, {}))
    folder = run.train(config(data, tmp_path / "run", "train.steps=8"), Reporter())
    assert "warning" not in capsys.readouterr().err
    assert "worse_than_nothing" not in load(folder).card
    assert load(folder / "last").card["worse_than_nothing"] == ["lengths", "angles"]
