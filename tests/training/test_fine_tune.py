"""Fine-tuning is one command: from crystals, from pairs, from another model, as the page on training has it."""

import json
import re
import shlex
from pathlib import Path

import ase.io
import pytest
from support.relaxing import run
from support.scripts import script
from support.unrelaxed import pairs, write_table

from benchmarks.pages import filled
from empnn.relax import load
from empnn.training.config import load_config

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs/training.md", ROOT / "docs/data.md", ROOT / "docs/method.md")
SMALL = ("train.steps=2", "train.batch_size=4", "train.validate_every=1", "train.workers=0", "train.threads=1")


def commands(page: Path) -> list[list[str]]:
    """The `empnn train` lines of a page, without what stands behind them as a comment."""
    lines = re.findall(r"^empnn train .*$", page.read_text(), flags=re.MULTILINE)
    return [shlex.split(line, comments=True)[2:] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_the_pages_are_configurations(page: Path) -> None:
    found = commands(page)
    assert found
    for words in found:
        changes = [word for word in words if "=" in word]
        if "--resume" in words:
            assert {change.partition("=")[0] for change in changes} <= {"train.steps", "train.devices"}
            continue
        bases = [word for word in words if "=" not in word]
        assert len(bases) <= 1
        base = bases[0] if bases else None
        if base is not None and (ROOT / base).exists():
            base = str(ROOT / base)
        known = [change.replace("model.start_from=runs/mine", "model.start_from=pbe") for change in changes]
        config = load_config(base, known)
        assert config.data.path or config.data.name or config.data.pairs


def fine_tune(*changes: str) -> dict:
    result = run("train", "fine-tune", *SMALL, "train.out=run", *changes)
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stderr.splitlines() if line.split()[0] in ("0", "1", "2")]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    return json.loads(Path("run/best/card.json").read_text())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_crystals() -> None:
    _, relaxed = pairs()
    ase.io.write("mine.extxyz", relaxed)
    card = fine_tune("data=mine.extxyz")
    assert card["start_from"] == "pbe"
    assert {"strain_strain_mean", "symmetric_positions_mean"} <= set(card["selection"])
    model = load("run")
    assert model.moves_atoms
    result = model.relax(relaxed[0])
    assert result.structures.get_chemical_formula() == relaxed[0].get_chemical_formula()


def test_from_pairs() -> None:
    write_table(Path("pairs.csv"), *pairs())
    card = fine_tune("data.pairs=pairs.csv")
    assert {name.partition("_")[0] for name in card["selection"]} == {"pairs"}
    assert card["pairs"] > 0


def test_from_another_model_in_any_spelling() -> None:
    ase.io.write("mine.extxyz", pairs()[1])
    card = fine_tune("data=mine.extxyz", "model.start_from=MP_20")
    assert card["start_from"] == "MP_20"
    assert not load("run").moves_atoms


def test_the_tables_of_the_page_are_those_of_the_result_file_and_of_the_code() -> None:
    page = (ROOT / "docs/training.md").read_text()
    fine_tuned, options = script("benchmarks/quality/fine_tune.py"), script("scripts/option_table.py")
    table = fine_tuned.table(json.loads(fine_tuned.OUT.read_text()))
    assert filled(page, "fine-tuned", table) == page
    assert options.filled(page) == page, "run python scripts/option_table.py"


def test_every_key_is_in_the_table() -> None:
    options = script("scripts/option_table.py")
    listed = re.findall(r"^\| `([\w.]+)` \| `[^`]+` \| \S", options.table(), flags=re.MULTILINE)
    for key in listed:
        name, _, last = key.rpartition(".")
        value = load_config()
        for part in name.split("."):
            value = getattr(value, part)
        assert hasattr(value, last)
    assert len(listed) == len(set(listed)) > 50
