"""Runs that stopped, were killed or ended: they go on to the same result, or say why not."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from support.runs import assert_same_weights, config, stopped_at

from empnn.data.store import StoredCrystals
from empnn.errors import ConfigError
from empnn.training import run
from empnn.training.config import load_config, save_config
from empnn.training.data import digest
from empnn.training.module import rate_factor
from empnn.training.report import Reporter


def test_a_stopped_run_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run.train(config(data, tmp_path / "whole"), Reporter(quiet=True))
    with stopped_at(10, monkeypatch):
        run.train(config(data, tmp_path / "stopped"), Reporter())
    assert f"empnn train `resume` {tmp_path / 'stopped'}" in capsys.readouterr().err
    assert json.loads((tmp_path / "stopped/last/state.json").read_text())["step"] == 8
    stopped = run.resume(tmp_path / "stopped", Reporter(quiet=True))
    assert_same_weights(stopped, whole)


MIXED = ("noise.mix.symmetric=1", "noise.mix.decorated=1", "model.deform=[cell,positions]")


def test_a_stopped_run_of_several_kinds_of_corruption_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.train(config(data, tmp_path / "whole", *MIXED), Reporter(quiet=True))
    assert len(run.prepare(config(data, tmp_path / "whole", *MIXED)).corruptions.source().kinds) == 3
    with stopped_at(6, monkeypatch):
        run.train(config(data, tmp_path / "stopped", *MIXED), Reporter(quiet=True))
    stopped = run.resume(tmp_path / "stopped", Reporter(quiet=True))
    assert_same_weights(stopped, whole)


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
    assert list(rates(folder)) == [4, 8, 12]


def test_resuming_a_finished_run_changes_nothing(data: Path, tmp_path: Path) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=4"), Reporter(quiet=True))
    before = (folder / "last/model.safetensors").read_bytes()
    run.resume(folder, Reporter(quiet=True))
    assert (folder / "last/model.safetensors").read_bytes() == before


def test_damaged_checkpoints_are_named(data: Path, tmp_path: Path) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=8"), Reporter(quiet=True))
    (folder / "last/optimizer.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="damaged"):
        run.resume(folder, Reporter(quiet=True))
    with pytest.raises(ConfigError, match="no run here"):
        run.resume(tmp_path / "nothing", Reporter(quiet=True))


def test_a_run_without_a_checkpoint_is_named(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    save_config(config(data, folder), folder / "config.yaml")
    with pytest.raises(ConfigError) as caught:
        run.resume(folder, Reporter(quiet=True))
    assert str(caught.value).startswith(f"{folder}: no checkpoint to resume, ")
    assert str(caught.value).endswith("; remove it and start again")


def rates(folder: Path) -> dict[int, float]:
    with (folder / "metrics.csv").open(newline="") as handle:
        return {int(row["step"]): float(row["learning_rate"]) for row in csv.DictReader(handle)}


def test_a_finished_run_gets_more_steps_at_the_rates_of_a_run_that_has_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=8"), Reporter(quiet=True))
    assert rates(folder)[8] == 0.0
    run.resume(folder, Reporter(), ["train.steps=16"])
    said = capsys.readouterr().err
    settings = load_config(folder / "config.yaml").train
    assert settings.steps == json.loads((folder / "last/state.json").read_text())["step"] == 16
    # What is logged of a step is the rate of the next one.
    found = rates(folder)
    assert list(found) == [4, 8, 12, 16]
    for step in (12, 16):
        assert found[step] == pytest.approx(settings.learning_rate * rate_factor(step, settings), abs=1e-15)
    assert found[12] > found[8] == found[16]
    assert f"{folder}: goes on after step 8, at a learning rate of 0.0005, 50% of its peak" in said


def test_an_extended_run_that_is_stopped_goes_on_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [
        run.train(config(data, tmp_path / name, "train.steps=8"), Reporter(quiet=True)) for name in ("whole", "stopped")
    ]
    run.resume(folders[0], Reporter(quiet=True), ["steps=16"])
    with stopped_at(13, monkeypatch):
        run.resume(folders[1], Reporter(quiet=True), ["train.steps=16"])
    run.resume(folders[1], Reporter(quiet=True))
    assert_same_weights(*folders)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.steps=8"], "train.steps=8: 8 steps are done already; give more"),
        (["train.steps=0"], "must be positive"),
        (["train.steps=many"], "train.steps=many: must be a whole number"),
        (["train.steps=9", "train.seed=1"], "train.seed: a run goes on as it was begun, but for train.steps"),
        (["model.features=9"], "model.features: a run goes on as it was begun"),
        (["paper"], "paper: a run goes on as it was begun"),
    ],
)
def test_nothing_else_changes_when_a_run_goes_on(data: Path, tmp_path: Path, changes: list[str], message: str) -> None:
    folder = run.train(config(data, tmp_path / "run", "train.steps=8"), Reporter(quiet=True))
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(ConfigError) as caught:
        run.resume(folder, Reporter(quiet=True), changes)
    assert message in str(caught.value)
    assert (folder / "config.yaml").read_bytes() == before
