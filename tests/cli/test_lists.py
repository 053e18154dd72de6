"""`empnn models`: a table read from the cards, with what each model is for."""

import json
import re

import pytest
from support.relaxing import run, tiny_model

from empnn import models


@pytest.mark.parametrize("width", ["80", "120"])
def test_the_table_is_what_the_cards_say(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    printed = run("models").stdout
    assert max(map(len, printed.splitlines())) <= int(width)
    words = set(re.findall(r"[\w/.-]+", printed))
    for name in models.packaged():
        card = models.card_of(name)
        assert set(re.findall(r"[\w-]+", f"{card['for']} {card['not_for']}")) <= words
        decorated = card.get("decorated")
        shown = name.replace("-reconstruct", "-")
        line = next(line for line in printed.splitlines() if line.split()[:1] == [shown])
        scores = [score for score in card["metrics"] if score["sigma"] == 0.1][:1]
        assert bool(scores) != card.get("from_cube", False)
        for score in scores:
            assert f"{100 * score['lengths_removed']:.0f} / {100 * score['angles_removed']:.0f}" in line
        assert len(re.findall(r"\d+ / \d+", line)) == len(scores) + (decorated is not None)
        if decorated is not None:
            removed = (decorated["strain_removed"], decorated["positions_removed"])
            assert " / ".join(f"{100 * part:.0f}" for part in removed) in line
        size = (models.find(name) / "model.safetensors").stat().st_size
        assert line.rstrip().endswith(f"{size / 1e6:.1f}")
    assert printed.count("(default)") == 1


def test_a_card_that_says_little_leaves_cells_empty(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_PACKAGED", tmp_path)
    tiny_model(tmp_path / "mine", metrics=[])
    result = run("models")
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.split()[:1] == ["mine"]]
    assert line.split()[:2] == ["mine", "cell"]


@pytest.mark.parametrize("name", ["mp-20", "mp_20", "MP20", "Mp 20"])
def test_a_card_is_found_in_any_spelling(name: str) -> None:
    assert json.loads(run("models", name).stdout) == models.card_of("mp-20")


def test_lists_of_numbers_take_a_line_each() -> None:
    lines = run("models", "mp-20").stdout.splitlines()
    assert [line for line in lines if line.strip().rstrip(",").isdigit()] == []
    (elements,) = [line for line in lines if '"elements"' in line]
    assert elements.startswith('  "elements": [1, 2, 3, ')
    assert elements.endswith(", 94],")


def test_a_folder_of_the_name_wins_over_another_spelling(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "mp20")
    assert models.find("mp20").resolve() == tmp_path / "mp20"
    assert models.find("mp_20") == models.find("mp-20")


def test_the_nearest_model_is_named() -> None:
    result = run("models", "carbon")
    assert result.exit_code == 1
    assert result.stderr.endswith("did you mean carbon-24?\n")


def test_json_is_the_cards() -> None:
    assert json.loads(run("models", "--json").stdout) == {name: models.card_of(name) for name in models.packaged()}
