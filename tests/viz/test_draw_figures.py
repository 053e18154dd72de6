"""The figures of the pages on the method show what the code does, and stay small."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.text import Text
from support.scripts import script

from empnn.nn.empnn import ModelConfig

ROOT = Path(__file__).parents[2]
LARGEST = 300_000


@pytest.fixture(name="script")
def drawing():
    return script("scripts/draw_figures.py")


def texts(script, monkeypatch, draw):
    """All words of a figure that is drawn."""
    saved = []
    monkeypatch.setattr(script, "save", lambda figure, path: saved.append(figure))
    draw(Path("x.svg"))
    return [text.get_text() for text in saved[0].findobj(Text) if text.get_text()]


def test_files(script, tmp_path):
    script.main(tmp_path)
    for name in ("actions.svg", "architecture.svg"):
        ET.parse(tmp_path / name)  # noqa: S314
        assert (tmp_path / name).stat().st_size < LARGEST
        assert (ROOT / "docs/images" / name).stat().st_size < LARGEST


def test_distances_stay_and_coordinates_change(script, monkeypatch):
    told = [text for text in texts(script, monkeypatch, script.actions) if text.startswith("circle")]
    assert len(told) == len(set(told)) == 4
    assert len({re.search(r"distance ([\d.]+)", text).group(1) for text in told}) == 1


def test_actions_that_do_not_commute_are_not_drawn(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "other_basis", lambda crystal: replace(crystal, cell=crystal.cell.roll(1, dims=-1)))
    with pytest.raises(SystemExit, match="do not commute"):
        script.actions(tmp_path / "x.svg")


def test_sizes_are_those_of_the_configuration(script, monkeypatch):
    config = ModelConfig(features=64, message_layers=3, action_layers=2, reduction="sum")
    monkeypatch.setattr(script, "ModelConfig", lambda: config)
    words = "\n".join(texts(script, monkeypatch, script.architecture))
    parts = (
        "64 features",
        "3 layers that pass",
        "2 layers that deform",
        "$H = H_2",
        "sum over the edges of a structure",
    )
    for part in parts:
        assert part in words
