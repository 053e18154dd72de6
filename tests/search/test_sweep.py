"""Searches whose trials really train: what is killed goes on, what is there is not done again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest
from support.runs import SMALL, assert_same_weights

from empnn.errors import ConfigError
from empnn.search import runs
from empnn.search.board import Board
from empnn.search.plan import Plan, load_plan
from empnn.search.results import DONE, FAILED, RUNNING, STOPPED, Row
from empnn.search.sweep import Found, places, sweep
from empnn.training import run as training
from empnn.training.report import Reporter

GRID = ("lr=[1e-3,1e-2]", "model.weight_limit=[null,0.01]")


def typed(data: Path, *more: str) -> list[str]:
    return [f"data.path={data}", *SMALL, "data.dev_fraction=0.2", "train.steps=12", *more]


def search(plan: Plan, folder: Path, said: list[str] | None = None) -> Found:
    lines: list[str] = [] if said is None else said
    return sweep(plan, f"{folder}.journal", folder, lines.append, quiet=True)


def essence(rows: list[Row]) -> list[tuple[object, ...]]:
    """What does not depend on where and when."""
    return [(r.trial, r.status, tuple(r.parameters.items()), r.score, r.best_step, r.step) for r in rows]


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from empnn.cli import main; main()", "sweep", *words]


def test_a_trial_is_the_run_of_its_values(data: Path, tmp_path: Path) -> None:
    plan = load_plan(None, typed(data, *GRID))
    found = search(plan, tmp_path / "grid")
    assert [row.status for row in found.rows] == [DONE] * 4
    scores = [row.score for row in found.rows]
    assert scores == sorted(scores, reverse=True)
    assert found.best == found.rows[0]
    row = found.rows[-1]
    config = plan.config(row.parameters)
    config.train.out = str(tmp_path / "alone")
    training.train(config, Reporter(quiet=True))
    assert_same_weights(Path(row.run), tmp_path / "alone")
    with (tmp_path / "grid/trials.csv").open() as table:
        written = list(csv.DictReader(table))
    assert [int(each["trial"]) for each in written] == [each.trial for each in found.rows]
    assert [float(each["score"]) for each in written] == scores
    assert {each["model.weight_limit"] for each in written} == {"null", "0.01"}
    assert matplotlib.image.imread(tmp_path / "grid/trials.png").shape[1] > 1000


def test_what_is_there_is_not_done_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_plan(None, typed(data, "lr=[1e-3,1e-2]"))
    first = search(plan, tmp_path / "grid")
    weights = (tmp_path / "grid/0000/last/model.safetensors").stat().st_mtime_ns
    (tmp_path / "grid/trials.png").unlink()
    for name in ("train", "resume"):
        monkeypatch.setattr(runs, name, None)
    again = search(plan, tmp_path / "grid")
    assert again == first
    assert (tmp_path / "grid/0000/last/model.safetensors").stat().st_mtime_ns == weights
    assert (tmp_path / "grid/trials.png").is_file()


def test_shares_without_a_storage_in_common_are_the_whole_search(data: Path, tmp_path: Path) -> None:
    plan = load_plan(None, typed(data, GRID[0]))
    whole = search(plan, tmp_path / "whole")
    shares = []
    for number in (0, 1):
        folder = tmp_path / f"share{number}"
        found = sweep(plan, f"{folder}.journal", folder, lambda line: None, quiet=True, share=(number, 2))
        assert [row.trial for row in found.rows] == [number]
        shares += found.rows
    shares.sort(key=lambda row: -row.score)
    assert essence(shares) == essence(whole.rows)


def test_runs_outlive_their_storage(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial is pure in its values: the run that is there is that of the same trial of the same search."""
    plan = load_plan(None, typed(data, "lr=[1e-3,1e-2]"))
    first = search(plan, tmp_path / "grid")
    (tmp_path / "grid.journal").unlink()
    monkeypatch.setattr(runs, "train", None)
    assert essence(search(plan, tmp_path / "grid").rows) == essence(first.rows)
    (tmp_path / "grid.journal").unlink()
    with pytest.raises(ConfigError, match="0000 holds another run; move it away"):
        search(load_plan(None, typed(data, "lr=[1e-3,1e-2]", "train.warmup_steps=1")), tmp_path / "grid")


def test_a_killed_search_goes_on_from_the_last_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SIGKILL: no trial is lost, none is counted twice, and all is as if nothing had been."""
    words = typed(data, "lr=[1e-3,1e-2]", "train.steps=96", "train.validate_every=8")
    plan = load_plan(None, words)
    whole = search(plan, tmp_path / "whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        command(*words, "--storage", f"{killed}.journal"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    state = killed / "0001/last/state.json"
    deadline = time.monotonic() + 240
    while not state.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    resumed = []
    original = runs.resume

    def resume(folder: Path, reporter: Reporter) -> Path:
        resumed.append((folder.name, json.loads((folder / "last/state.json").read_text())["step"]))
        return original(folder, reporter)

    monkeypatch.setattr(runs, "resume", resume)
    monkeypatch.setattr(runs, "train", None)
    said: list[str] = []
    found = search(plan, killed, said)
    assert len(said) == 2
    assert said[0].endswith("taken up, for its process died")
    ((name, step),) = resumed
    assert name == "0001"
    assert 8 <= step < 96
    assert essence(found.rows) == essence(whole.rows)
    for trial in ("0000", "0001"):
        assert_same_weights(killed / trial, tmp_path / "whole" / trial)


def test_two_processes_share_the_trials(data: Path, tmp_path: Path) -> None:
    """This one holds the first, another one does the rest and leaves it alone."""
    words, folder = typed(data, *GRID), tmp_path / "shared"
    plan = load_plan(None, words)
    board = Board(f"{folder}.journal", plan, folder.name)
    attempt = board.next()
    assert attempt is not None
    with attempt:
        there = subprocess.run(
            command(*words, "--storage", f"{folder}.journal", "--json"), capture_output=True, text=True, check=True
        )
        statuses = {row["trial"]: row["status"] for row in json.loads(there.stdout)["trials"]}
        assert statuses == {0: RUNNING, 1: DONE, 2: DONE, 3: DONE}
        assert f"process {os.getpid()}" in there.stdout
        runs.run_trial(plan, attempt, folder / "0000", quiet=True)
    found = search(plan, folder)
    assert sorted((row.trial, row.status) for row in found.rows) == [(n, DONE) for n in range(4)]


def test_a_run_before_its_first_checkpoint_begins_again(data: Path, tmp_path: Path) -> None:
    plan = load_plan(None, typed(data, "lr=[1e-3,1e-2]"))
    first = search(plan, tmp_path / "grid")
    other = tmp_path / "other"
    for name in ("config.yaml", "metrics.csv"):
        (other / "0000").mkdir(parents=True, exist_ok=True)
        (other / "0000" / name).write_bytes((tmp_path / "grid/0000" / name).read_bytes())
    assert essence(search(plan, other).rows) == essence(first.rows)


def test_trials_that_are_worse_are_given_up(data: Path, tmp_path: Path) -> None:
    rates = "lr=[3e-2,1e-6,1e-7,1e-8]"
    plan = load_plan(None, typed(data, rates, "train.validate_every=2"), halving=4)
    said: list[str] = []
    found = search(plan, tmp_path / "halved", said)
    stopped = [row for row in found.rows if row.status == STOPPED]
    assert len(stopped) >= 2
    assert {row.status for row in found.rows[: -len(stopped)]} == {DONE}
    for row in stopped:
        assert row.step == 4
        state = json.loads((Path(row.run) / "last/state.json").read_text())
        assert state["step"] == 4
        assert any(line.startswith(f"trial {row.trial}: ") and "given up at step 4" in line for line in said)
    whole = search(load_plan(None, typed(data, rates, "train.validate_every=2")), tmp_path / "whole")
    scores = {row.trial: row.score for row in whole.rows}
    assert all(row.score == scores[row.trial] for row in found.rows if row.status == DONE)


def test_values_that_cannot_be_trained_with_fail_alone(data: Path, tmp_path: Path) -> None:
    """One diverges; in the other case two values are possible, each alone, but not together."""
    found = search(load_plan(None, typed(data, "lr=[1e-3,1e20]", "train.gradient_clip=1e30")), tmp_path / "far")
    assert [row.status for row in found.rows] == [DONE, FAILED]
    assert "training diverged" in str(found.rows[1].message)


def test_what_is_wrong_with_the_data_ends_the_search(tmp_path: Path) -> None:
    missing = load_plan(None, ["data=nowhere.cif", "lr=[1e-3,1e-2]"])
    with pytest.raises(ConfigError, match=r"nowhere\.cif"):
        search(missing, tmp_path / "grid")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.cif").touch()
    plan = load_plan(None, [f"data={tmp_path / 'empty.cif'}", "lr=[1e-3,1e-2]"])
    with pytest.raises(ConfigError, match=r"empty\.cif"):
        search(plan, tmp_path / "grid")
    assert {record.ended for record in Board(f"{tmp_path / 'grid'}.journal", plan, "grid").records()} == {
        "it was interrupted",
        None,
    }


def test_memory_may_be_enough_another_time(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = runs.train, []

    def train(config: object, reporter: Reporter) -> Path:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return original(config, reporter)

    monkeypatch.setattr(runs, "train", train)
    said: list[str] = []
    found = search(load_plan(None, typed(data, "lr=[1e-3,1e-2]")), tmp_path / "grid", said)
    assert [row.status for row in found.rows] == [DONE, DONE]
    assert said[1] == "trial 0: out of memory"


def test_ranges_are_searched(data: Path, tmp_path: Path) -> None:
    plan = load_plan(None, typed(data, "lr=log(1e-4,1e-2)", "model.features=range(8,16)"), trials=3)
    found = search(plan, tmp_path / "open")
    assert [row.status for row in found.rows] == [DONE] * 3
    assert all(1e-4 <= row.parameters["train.learning_rate"] <= 1e-2 for row in found.rows)
    assert all(8 <= row.parameters["model.features"] <= 16 for row in found.rows)
    assert essence(search(plan, tmp_path / "again").rows) == essence(found.rows)


def test_where_things_lie(tmp_path: Path) -> None:
    plan = load_plan("paper-grid", ["data=mp_20"])
    assert places(plan, None, None) == ("sweeps/paper-grid.journal", Path("sweeps/paper-grid"))
    assert places(plan, "x/a.journal", None) == ("x/a.journal", Path("x/a"))
    assert places(plan, None, Path("x/b")) == ("x/b.journal", Path("x/b"))
    assert places(plan, "sqlite:///a.db", Path("x/b")) == ("sqlite:///a.db", Path("x/b"))
    with pytest.raises(ConfigError, match="the runs need a place beside the database; give `folder`"):
        places(plan, "sqlite:///a.db", None)
    with pytest.raises(ConfigError, match=r"needs a suffix, .*; use a\.journal"):
        places(plan, "a", None)


def test_a_sweep_of_seeds_is_told_what_it_compares(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    search(load_plan(None, typed(data, "seed=[0,1]")), tmp_path / "seeds", said)
    assert said[0] == "train.seed: changes what the score is measured on; compare within one value of it"
