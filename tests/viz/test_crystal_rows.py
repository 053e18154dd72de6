"""Rows of crystals show the elements by symbols, and the cells in their places; columns without rows say so."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from empnn.viz import crystal_rows as module
from empnn.viz.crystal_rows import CrystalRow, crystal_rows

CUBE = 4.0 * np.eye(3)


def row(numbers=(55, 17), stretch=1.5):
    frac = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])[: len(numbers)]
    cells = np.stack([CUBE, CUBE * [stretch, 1, 1], CUBE])
    return CrystalRow("val[3]", cells, frac, np.array(numbers), ("", ", d 0.41", ", d 0.00"))


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, in place of files."""
    saved: list[Figure] = []
    monkeypatch.setattr(module, "save", lambda figure, path: saved.append(figure))
    return saved


def drawn(figures):
    (axes,) = figures[0].axes
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    return axes, circles, [text.get_text() for text in axes.texts]


def test_symbols_and_words(figures):
    crystal_rows([("some", [row()])], "a note", ["x.png"])
    axes, circles, words = drawn(figures)
    assert len(circles) == 3 * 9
    assert {word: words.count(word) for word in ("Cs", "Cl")} == {"Cs": 24, "Cl": 3}
    assert {"val[3]", "original", "deformed, d 0.41", "relaxed, d 0.00"} <= set(words)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Cs", "Cl"]
    assert [text.get_text() for text in figures[0].texts] == ["some", "a note"]


def test_one_element_needs_no_symbols(figures):
    crystal_rows([("some", [row(numbers=(6,))])], "", ["x.png"])
    assert "C" not in drawn(figures)[2]


def test_atoms_hide_the_lines_that_end_in_them(figures):
    crystal_rows([("some", [row()])], "", ["x.png"])
    axes, circles, _ = drawn(figures)
    lines = [one for one in axes.lines if isinstance(one, Line2D) and one.get_zorder() != 2]
    for circle in circles:
        reaching = [
            line.get_zorder()
            for line in lines
            if np.hypot(*(line.get_xydata().mean(0) - circle.center)) < 0.1 * circle.radius
            and abs(line.get_zorder() - circle.get_zorder()) < circle.radius
        ]
        assert all(depth <= circle.get_zorder() for depth in reaching)


def test_states_do_not_run_into_each_other(figures):
    crystal_rows([("some", [row(stretch=6.0)])], "", ["x.png"])
    axes, circles, _ = drawn(figures)
    edge = axes.get_xlim()[1]
    thirds = [
        np.floor((circle.center[0] + side * circle.radius + edge) / (2 * edge / 3))
        for circle in circles
        for side in (-1, 1)
    ]
    assert thirds == sorted(thirds)
    assert set(thirds) == {0, 1, 2}


def test_files_and_an_empty_column(tmp_path):
    paths = [tmp_path / "x.png", tmp_path / "x.pdf"]
    crystal_rows([("some", [row(numbers=(6,))]), ("none of these", [])], "a note", paths)
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG", b"%PDF"]
