"""Whole training runs, small: they learn, stop, resume to the same result, and survive bad gradients."""

import csv
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from safetensors.torch import load_file
from typer.testing import CliRunner

from empnn.cli import app
from empnn.crystals import CrystalBatch
from empnn.data.store import StoredCrystals
from empnn.errors import ConfigError
from empnn.evaluate import denoise
from empnn.losses import ParameterScale
from empnn.nn import build
from empnn.relax import load
from empnn.training import run
from empnn.training.config import Config, load_config, save_config
from empnn.training.data import digest
from empnn.training.module import Denoising, rate_factor
from empnn.training.report import Reporter
from empnn.training.sources import Corruptions
from empnn.training.steps import DenoisingSteps
from empnn.training.task import Relaxing

SMALL = (
    *("model.features=16", "model.message_layers=1", "model.action_layers=2", "model.radial.count=8"),
    *("train.batch_size=8", "train.validate_every=4", "train.workers=0", "train.warmup_steps=2", "train.threads=1"),
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty fcc and bcc metals of different size."""
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    metals = {
        "Cu": 3.61,
        "Al": 4.05,
        "Ag": 4.09,
        "Au": 4.08,
        "Ni": 3.52,
        "Pd": 3.89,
        "Pt": 3.92,
        "Pb": 4.95,
        "Ca": 5.58,
    }
    cubic = {"Fe": 2.87, "Na": 4.29, "K": 5.33, "Li": 3.51, "Cr": 2.91, "Mo": 3.15, "W": 3.16, "V": 3.03, "Nb": 3.30}
    frames = [bulk(s, "fcc", a=a) for s, a in metals.items()] + [bulk(s, "bcc", a=a) for s, a in cubic.items()]
    ase.io.write(folder / "train.extxyz", frames)
    return folder


def config(data: Path, out: Path, *overrides: str) -> Config:
    settings = ("train.steps=12", "data.dev_fraction=0.2", *overrides)
    return load_config(None, [f"data.path={data}", f"train.out={out}", *SMALL, *settings])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / "model.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    here, there = weights(first), weights(second)
    assert here.keys() == there.keys()
    assert [name for name in here if not torch.equal(here[name], there[name])] == []


def test_a_run_writes_all_it_promises(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.train(config(data, tmp_path / "run"), Reporter())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "removed" in printed.err
    assert "left" in printed.err
    assert "best weights" in printed.err
    for name in ("config.yaml", "best/model.safetensors", "best/model.yaml", "last/optimizer.safetensors"):
        assert (folder / name).is_file()
    assert list(folder.glob("tensorboard/**/events*"))
    rows = list(csv.DictReader(next(folder.glob("logs/**/metrics.csv")).read_text().splitlines()))
    assert {"lengths_improvement", "lengths_removed", "noise_lengths"} <= set(rows[0])
    assert [int(r["step"]) for r in rows] == [4, 8, 12]
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
        Relaxing, "validate", lambda task, network: replace(validate(task, network), score=float(len(cards)))
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
    batch = DenoisingSteps(Corruptions(settings, prepared.train).source(), build(settings.model).rule)[0]
    folder = run.train(settings, Reporter(quiet=True))
    task = Relaxing(settings, ParameterScale.of(prepared.train.cell), {})
    first = Denoising(build(settings.model), settings, task, run.RunState())
    before = loss_of(first, batch)
    first.network.load_state_dict(weights(folder))
    assert loss_of(first, batch) < 0.8 * before


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
    rows = list(csv.DictReader(next(folder.glob("logs/**/metrics.csv")).read_text().splitlines()))
    assert float(rows[-1]["positions_mae"]) > 0


def loss_of(module: Denoising, batch: object) -> float:
    return float(module.training_step(batch, 0).detach())  # type: ignore[arg-type]


def test_a_stopped_run_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run.train(config(data, tmp_path / "whole"), Reporter(quiet=True))
    original = DenoisingSteps.__getitem__

    def stop_at_ten(self: DenoisingSteps, step: int) -> object:
        if step == 10:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(DenoisingSteps, "__getitem__", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        run.train(config(data, tmp_path / "stopped"), Reporter())
    assert f"empnn train `resume` {tmp_path / 'stopped'}" in capsys.readouterr().err
    assert json.loads((tmp_path / "stopped/last/state.json").read_text())["step"] == 8
    monkeypatch.undo()
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    stopped = run.resume(tmp_path / "stopped", Reporter(quiet=True))
    assert_same_weights(stopped, whole)


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM]])
def test_signals_keep_every_step_done(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signals: list[signal.Signals],
) -> None:
    """Ctrl-C, and what queues send, which is heeded once however often it comes."""
    whole = run.train(config(data, tmp_path / "whole"), Reporter(quiet=True))
    original = DenoisingSteps.__getitem__

    def interrupted(self: DenoisingSteps, step: int) -> object:
        if step == 6:
            for number in signals:
                signal.raise_signal(number)
        return original(self, step)

    handlers = [signal.getsignal(number) for number in run.ENDINGS]
    monkeypatch.setattr(DenoisingSteps, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.train(config(data, tmp_path / "stopped"), Reporter())
    assert [signal.getsignal(number) for number in run.ENDINGS] == handlers
    step = json.loads((tmp_path / "stopped/last/state.json").read_text())["step"]
    assert step in (5, 6, 7)
    assert f"go on from step {step} with" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    stopped = run.resume(tmp_path / "stopped", Reporter(quiet=True))
    assert_same_weights(stopped, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_keeps_every_step_done(data: Path, tmp_path: Path, number: signal.Signals) -> None:
    """As Slurm and `timeout` send it: to the run and to the processes that prepare its batches, more than once."""
    settings = config(
        data,
        tmp_path / "run",
        *("train.steps=1000000", "train.validate_every=1000000", "train.decay=false", "train.workers=2"),
    )
    save_config(settings, tmp_path / "config.yaml")
    process = subprocess.Popen(
        [sys.executable, "-c", "from empnn.cli import main; main()", "train", str(tmp_path / "config.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # The first figures are logged long before the first checkpoint.
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/logs/*/metrics.csv")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    if number != signal.SIGINT:
        process.send_signal(number)
    os.killpg(process.pid, number)
    # This returns once nobody holds stderr any more: no process is left behind.
    out, err = process.communicate(timeout=60)
    step = json.loads((tmp_path / "run/last/state.json").read_text())["step"]
    assert step >= run.LOG_EVERY
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[1:] == [
        f"stopped at step {step}; go on from step {step} with: empnn train --resume {tmp_path / 'run'}",
        "empnn: interrupted",
    ]
    assert load(tmp_path / "run" / "last").elements
    settings.train.steps, settings.train.workers = step + 4, 0
    save_config(settings, tmp_path / "run" / "config.yaml")
    run.resume(tmp_path / "run", Reporter(quiet=True))
    settings.train.out = str(tmp_path / "whole")
    run.train(settings, Reporter(quiet=True))
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("renames", [1, 2])
def test_a_kill_while_saving_leaves_a_whole_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    whole = run.train(config(data, tmp_path / "whole"), Reporter(quiet=True))
    original, done = Path.rename, []

    def killed(self: Path, target: Path) -> Path:
        if len(done) == renames:
            raise SystemError("killed")
        done.append(self)
        return original(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(SystemError):
        run.train(config(data, tmp_path / "killed"), Reporter(quiet=True))
    monkeypatch.setattr(Path, "rename", original)
    folder = run.resume(tmp_path / "killed", Reporter(quiet=True))
    assert_same_weights(folder, whole)
    assert [f.name for f in folder.glob("last*")] == ["last"]


def longer(frames: list[Atoms]) -> None:
    frames.insert(0, bulk("Cu", "fcc", a=3.6))


def with_other_species(frames: list[Atoms]) -> None:
    frames[3].symbols[1] = "Br"


def with_atoms_elsewhere(frames: list[Atoms]) -> None:
    frames[3].positions[1] += 1e-3


@pytest.mark.parametrize("change", [longer, with_other_species, with_atoms_elsewhere])
def test_other_crystals_are_noticed_when_resuming(
    data: Path, tmp_path: Path, change: Callable[[list[Atoms]], None]
) -> None:
    names = ["NaCl", "LiF", "KBr", "MgO", "AgCl", "RbI", "NaF", "LiCl", "NaBr", "KCl"]
    salts = [bulk(name, "rocksalt", a=5 + 0.1 * number) for number, name in enumerate(names)]
    for split in ("train", "val"):
        ase.io.write(data / f"{split}.extxyz", salts)
    folder = run.train(config(data, tmp_path / "run", "train.steps=4", "data.select_on=val"), Reporter(quiet=True))
    change(salts)
    ase.io.write(data / "train.extxyz", salts)
    with pytest.raises(ConfigError, match="not those the run began with"):
        run.resume(folder, Reporter(quiet=True))


def test_whose_atoms_are_whose_is_noticed_too() -> None:
    arrays = {"cell": np.stack([4 * np.eye(3)] * 2), "frac": np.arange(12).reshape(4, 3) / 12, "numbers": np.full(4, 6)}
    first, second = (StoredCrystals({**arrays, "starts": np.array(starts)}) for starts in ([0, 2, 4], [0, 1, 4]))
    assert digest(first) == digest(first.subset([0, 1])) != digest(second)


def test_a_run_that_noted_its_cells_only_goes_on_with_the_same_cells(data: Path, tmp_path: Path) -> None:
    """As runs of older versions did."""
    settings = config(data, tmp_path / "older", "train.steps=8")
    folder = run.train(settings, Reporter(quiet=True))
    path = folder / "last/state.json"
    state = json.loads(path.read_text())
    cells = hashlib.sha256(run.prepare(settings).train.cell.numpy().tobytes()).hexdigest()[:16]
    path.write_text(json.dumps({**state, "data": cells}))
    settings.train.steps = 12
    save_config(settings, folder / "config.yaml")
    run.resume(folder, Reporter(quiet=True))
    path.write_text(json.dumps({**state, "data": cells[::-1]}))
    with pytest.raises(ConfigError, match="not those the run began with"):
        run.resume(folder, Reporter(quiet=True))


def test_resumed_sessions_log_the_steps_of_the_run(data: Path, tmp_path: Path) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=8"), Reporter(quiet=True))
    settings = load_config(folder / "config.yaml")
    settings.train.steps = 12
    save_config(settings, folder / "config.yaml")
    run.resume(folder, Reporter(quiet=True))
    rows = list(csv.DictReader((folder / "logs/from-8/metrics.csv").read_text().splitlines()))
    assert [int(r["step"]) for r in rows] == [12]


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


def test_resuming_a_finished_run_changes_nothing(data: Path, tmp_path: Path) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=4"), Reporter(quiet=True))
    before = (folder / "last/model.safetensors").read_bytes()
    run.resume(folder, Reporter(quiet=True))
    assert (folder / "last/model.safetensors").read_bytes() == before


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


def test_damaged_checkpoints_are_named(data: Path, tmp_path: Path) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=8"), Reporter(quiet=True))
    (folder / "last/optimizer.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="damaged"):
        run.resume(folder, Reporter(quiet=True))
    with pytest.raises(ConfigError, match="no run here"):
        run.resume(tmp_path / "nothing", Reporter(quiet=True))


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
