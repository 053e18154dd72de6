"""`empnn sweep` as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.relaxing import run
from support.runs import SMALL, metals


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    data = metals(tmp_path / "data")
    return ["sweep", f"data.path={data}", *SMALL, "data.dev_fraction=0.2", "steps=4", "lr=[1e-3,1e-2]"]


def test_the_table_has_the_best_first(words: list[str]) -> None:
    first = run(*words)
    assert first.exit_code == 0, first.stderr
    lines = first.stdout.splitlines()
    assert "learning" in lines[1]
    assert [line.split("│")[-2].strip() for line in lines if line.startswith("│")] == ["done", "done"]
    scores = [float(line.split("│")[3].split()[0]) for line in lines if line.startswith("│")]
    assert scores == sorted(scores, reverse=True)
    assert max(map(len, lines)) <= 80
    told = first.stderr.splitlines()
    assert told[0].startswith("trial 0: train.learning_rate=")
    assert told[-2:] == ["table, picture and runs: sweeps/sweep", told[-1]]
    best = Path(told[-1].partition("--model ")[2])
    assert (best / "best/model.safetensors").is_file()
    again = run(*words)
    assert again.stdout == first.stdout
    assert again.stderr.splitlines() == told[-2:]


def test_json_and_quiet(words: list[str]) -> None:
    result = run(*words, "--json", "--storage", "mine/a.journal")
    found = json.loads(result.stdout)
    assert (found["folder"], found["importances"]) == ("mine/a", {})
    assert found["best"] == found["trials"][0]
    assert set(found["best"]) == {
        *("trial", "status", "parameters", "score", "best_step", "step", "seconds", "run", "message"),
    }
    quiet = run(*words, "--quiet", "--storage", "mine/a.journal")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


def test_without_optuna_there_is_a_line_that_says_so() -> None:
    code = "import sys; sys.modules['optuna'] = None; from empnn.cli import main; main()"
    words = [sys.executable, "-c", code, "sweep", "data=sample", "lr=[1,2]"]
    result = subprocess.run(words, capture_output=True, text=True)
    said = "empnn: a search needs optuna: pip install 'empnn[sweep]'\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", said)


def test_a_search_without_data_leaves_nothing_in_the_way_of_the_next(words: list[str], tmp_path: Path) -> None:
    refused = run("sweep", *SMALL, "lr=[1e-3,1e-2]", "--storage", "mine/a.journal")
    assert refused.exit_code == 1
    assert "no data: give data=NAME" in refused.stderr
    assert not (tmp_path / "mine").exists()
    assert run(*words, "--storage", "mine/a.journal", "--quiet").exit_code == 0


def test_errors_are_one_line_in_the_words_of_the_command(words: list[str]) -> None:
    run(*words[:-1], "lr=[1e-3]")
    other = run(*words)
    assert (other.exit_code, other.stderr.count("\n")) == (1, 1)
    assert other.stderr.startswith(
        "empnn: sweeps/sweep.journal holds another search sweep: train.learning_rate=[0.001]"
    )
    assert "choose another --storage, or another --out" in other.stderr
    unknown = run(*words, "model.featurs=[1,2]")
    assert unknown.stderr == "empnn: unknown key model.featurs; did you mean model.features?\n"
