"""`empnn reproduce` from nothing to a table: stopped, gone on with, shared, asked again."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import bulk
from filelock import FileLock
from support.calculators import EMT_PATH
from typer.testing import CliRunner

from empnn.cli import app
from empnn.crystals import CrystalBatch
from empnn.relax import Relaxer
from empnn.relaxers import RelaxedBatch
from empnn.reproduce import plan
from empnn.training.checkpoint import run_state
from empnn.training.options import Config
from empnn.training.report import Reporter
from empnn.training.run import train
from empnn.training.task import DivergedError

TINY = (
    *("model.features=8", "model.message_layers=1", "model.action_layers=1", "model.radial.count=4"),
    *("train.steps=4", "train.batch_size=4", "train.validate_every=2", "train.workers=0", "train.threads=1"),
    *("data.dev_fraction=0.3",),
)
ROWS = 11
"""Networks of Table 2 for one set."""


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small sets in place of the real ones, and a budget of four steps."""
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EMPNN_DATA", str(tmp_path / "data"))
    metals = {"Cu": 3.61, "Al": 4.05, "Ag": 4.09, "Au": 4.08, "Ni": 3.52, "Pd": 3.89, "Pt": 3.92, "Pb": 4.95}
    for name in ("carbon_24", "mp_20"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for split in ("train", "val"):
            lines = ["material_id,cif"]
            for index, (symbol, a) in enumerate(metals.items()):
                ase.io.write(tmp_path / "one.cif", bulk(symbol, "fcc", a=a))
                text = (tmp_path / "one.cif").read_text().replace('"', '""')
                lines.append(f'{split}-{index},"{text}"')
            (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setitem(plan.BUDGETS, "small", plan.Budget("small", 1e-6, TINY, searches=False))
    return tmp_path / "storage"


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["reproduce", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_table_is_trained_scored_and_written_and_asked_again_only_printed(storage: Path) -> None:
    common = ("table3", "--storage", storage, "--set", "mp_20", "--set", "carbon_24")
    code, out, err = invoke(*common)
    assert code == 0, err
    assert "| `ff` |" in out
    states = {path: path.stat().st_mtime_ns for path in storage.rglob("state.json")}
    assert len(states) == 2
    code, again, _ = invoke(*common, "--json")
    assert code == 0
    found = json.loads(again)
    assert {row["data"] for row in found["rows"] if row["row"] == "ff"} == {"mp_20", "carbon_24"}
    assert {path: path.stat().st_mtime_ns for path in storage.rglob("state.json")} == states
    assert (storage / "table3.png").is_file()


def test_a_shard_trains_its_part_and_another_process_the_rest(storage: Path) -> None:
    common = ("table2", "--storage", storage, "--set", "mp_20", "--quiet")
    assert invoke(*common, "--shard", "1/4")[0] == 0
    assert len(list(storage.rglob("state.json"))) == 3
    held = storage / "paper-small/table2/mp_20/ketbra-e.lock"
    with FileLock(str(held)):
        code, out, err = invoke("table2", "--storage", storage, "--set", "mp_20", "--json")
    assert code == 0, err
    assert "1 runs in the hands of another process" in err
    assert json.loads(out)["cells done"] == "15 of 16"
    code, out, _ = invoke("table2", "--storage", storage, "--set", "mp_20", "--json")
    assert json.loads(out)["cells done"] == "16 of 16"
    assert len(list(storage.rglob("state.json"))) == ROWS


def test_a_killed_process_loses_nothing_and_blocks_nobody(storage: Path) -> None:
    slow = "train.steps=4000"
    script = f"""
from empnn.reproduce import plan
plan.BUDGETS["small"] = plan.Budget("small", 1e-6, {(*TINY, slow)!r}, searches=False)
from empnn.cli import app
app(["reproduce", "table3", "--storage", {str(storage)!r}, "--set", "mp_20", "--quiet"])
"""
    run = storage / "paper-small/table3/mp_20/ff"
    with subprocess.Popen([sys.executable, "-c", script], env=dict(os.environ)) as process:
        deadline = time.monotonic() + 120
        while run_state(run) is None and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        process.kill()
    before = run_state(run)
    assert before is not None
    assert 0 < before.step < 4000
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("steps: 4000", f"steps: {before.step + 4}"))
    plan.BUDGETS["small"] = plan.Budget("small", 1e-6, (*TINY, f"train.steps={before.step + 4}"), searches=False)
    code, _, err = invoke("table3", "--storage", storage, "--set", "mp_20")
    assert code == 0, err
    after = run_state(run)
    assert after is not None
    assert after.step == before.step + 4


def test_a_network_that_fails_on_some_crystals_is_scored(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relax_batch = Relaxer.relax_batch

    def fails_on_the_first(relaxer: Relaxer, crystals: CrystalBatch, passes: int) -> RelaxedBatch:
        found = relax_batch(relaxer, crystals, passes)
        cell = torch.cat([crystals.cell[:1], found.crystals.cell[1:]])
        failed = found.failed.index_fill(0, torch.tensor([0]), True)
        return replace(found, crystals=found.crystals.with_cell(cell), failed=failed)

    monkeypatch.setattr(Relaxer, "relax_batch", fails_on_the_first)
    code, out, err = invoke("table1", "--storage", storage, "--set", "mp_20", "--energies", "none")
    assert code == 0, err
    assert "cells done 5 of 5" in out
    scores = [json.loads(path.read_text()) for path in storage.rglob("score-table1-val.json")]
    assert [score["failed"] for score in scores] == [1] * 5


def test_nothing_trained_is_said(storage: Path) -> None:
    code, _, err = invoke("table1", "--storage", storage, "--set", "mp_20", "--no-train")
    assert code == 1
    assert "nothing is trained yet" in err


@pytest.mark.parametrize(("more", "train"), [(["train.steps=8"], ["--train"]), (["train.seed=1"], ["--no-train"])])
def test_another_run_in_the_place_of_one_is_neither_gone_on_with_nor_scored(
    storage: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], train: list[str]
) -> None:
    assert invoke("table3", "--storage", storage, "--set", "mp_20", "--quiet")[0] == 0
    states = [path.read_bytes() for path in storage.rglob("state.json")]
    monkeypatch.setitem(plan.BUDGETS, "small", plan.Budget("small", 1e-6, (*TINY, *more), searches=False))
    code, out, err = invoke("table3", "--storage", storage, "--set", "mp_20", *train)
    assert code == 1
    assert out == ""
    assert "holds a run with other settings" in err
    assert [path.read_bytes() for path in storage.rglob("state.json")] == states


def test_runs_that_diverge_are_counted_and_not_trained_again(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searching = plan.Budget("small", 1e-6, TINY, searches=True)
    monkeypatch.setitem(plan.BUDGETS, "small", searching)
    begun: list[str] = []

    def diverges_at_first_rates(config: Config, reporter: Reporter) -> None:
        begun.append(str(config.train.out))
        train(config, reporter)
        if config.train.learning_rate == 1e-4:
            raise DivergedError("training diverged")

    monkeypatch.setattr("empnn.reproduce.training.train", diverges_at_first_rates)
    common = ("table3", "--storage", storage, "--set", "mp_20", "--json")
    code, out, err = invoke(*common)
    assert code == 0, err
    assert "1 runs diverged" in err
    assert len(begun) == 3
    found = json.loads(out)
    assert found["runs diverged"] == "1"
    (row,) = (row for row in found["rows"] if row["row"] == "ff")
    assert row["diverged"] == 1
    assert "rate-1e-4" not in row["run"]
    assert row["training_seconds"] > 0
    assert invoke(*common)[1] == out
    assert len(begun) == 3
    diverged = storage / "paper-small/table3/mp_20/ff/rate-1e-4-limit-null"
    assert "training diverged" in (diverged / "diverged.txt").read_text()
    shutil.rmtree(diverged)
    assert invoke(*common)[0] == 0
    assert begun[3:] == [str(diverged)]


def test_what_the_rest_will_lack_is_said_before_anything_is_trained(storage: Path) -> None:
    common = ("--storage", storage, "--set", "mp_20")
    assert "did you mean sevennet" in invoke("table2", *common, "--relaxer", "sevenet")[2]
    assert "did you mean sevennet" in invoke("table1", *common, "--energies", "sevenet")[2]
    assert "no test.csv" in invoke("table3", *common, "--split", "test")[2]
    assert "perov_5: not a set of table3" in invoke("table3", "--storage", storage, "--set", "perov_5")[2]
    assert not storage.exists()


@pytest.mark.parametrize(
    ("what", "option"),
    [
        ("figure4", ("--budget", "full")),
        ("figure5", ("--no-train",)),
        ("table1", ("--relaxer", "chgnet")),
        ("table1", ("--relaxer-limit", "5")),
        ("table2", ("--energies", "chgnet")),
        ("table3", ("--workers", "2")),
    ],
)
def test_options_that_have_nothing_to_say_are_refused(storage: Path, what: str, option: tuple[str, ...]) -> None:
    code, _, err = invoke(what, "--storage", storage, *option)
    assert code == 1
    assert f"{option[0]} has nothing to say of {what}" in err


def test_an_oracle_stands_in_for_dft_and_finds_energies(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TABLE1", {"param_mae": plan.TABLE1["param_mae"]})
    monkeypatch.setattr(plan, "TABLE2", {row: plan.TABLE2[row] for row in ("ketbra-e", "dft")})
    common = ("--storage", storage, "--set", "mp-20", "--json")
    code, out, err = invoke("table2", *common, "--relaxer", EMT_PATH, "--relaxer-limit", "3")
    assert code == 0, err
    rows = {row["row"]: row for row in json.loads(out)["rows"]}
    assert rows[f"dft ({EMT_PATH}, 3)"]["n"] == 3
    assert "dft" not in rows
    assert "| `dft` | - / 0.345 |" in invoke("table2", "--storage", storage, "--set", "mp_20")[1]
    code, out, err = invoke("table1", *common, "--energies", EMT_PATH)
    assert code == 0, err
    found = json.loads(out)
    assert [list(row["energies"]) for row in found["rows"]] == [[EMT_PATH]]
    assert found["rows"][0]["energies"][EMT_PATH]["n"] == 7, "EMT knows no lead"
    assert "of 7 crystals of the split" in invoke("table1", *common[:-1], "--energies", EMT_PATH)[1]


def test_wrong_options_are_named(storage: Path) -> None:
    assert "--shard 4/4" in invoke("table2", "--storage", storage, "--shard", "4/4")[2]
    assert "--budget huge" in invoke("table2", "--storage", storage, "--budget", "huge")[2]
