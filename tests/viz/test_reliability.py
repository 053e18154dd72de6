"""Bins of predicted errors hold as many crystals each, and the picture has both kinds of marks."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from empnn.viz import reliability as module
from empnn.viz.reliability import PANELS, binned, reliability


def test_bins():
    predicted = np.arange(1.0, 17.0)
    points = binned(predicted[::-1], 3 * predicted, 2 * predicted[::-1])
    assert points["predicted"] == [1.5 + 2 * k for k in range(8)]
    assert points["true"] == [3.0 + 4 * k for k in range(8)]
    assert points["bound"] == [4.5 + 6 * k for k in range(8)]
    assert points["true_90"] == pytest.approx([31.8 - 4 * k for k in range(8)])


def test_errors_that_vanish_are_shown_at_the_edge():
    assert binned(np.zeros(8), np.zeros(8), np.zeros(8))["true"] == [1e-3] * 8


def test_sets_differ_in_marks_and_axes_are_equal(monkeypatch, tmp_path):
    saved: list[Figure] = []
    monkeypatch.setattr(module, "save", lambda figure, path: saved.append(figure))
    points = {name: [1.0, 2.0] for name in ("predicted", "true", "bound", "true_90")}
    reliability({name: dict.fromkeys(PANELS, points) for name in ("a", "b", "c")}, tmp_path / "x.png")
    for axes in saved[0].axes:
        marks = [line.get_marker() for line in axes.lines if line.get_marker() != "None"]
        assert len(set(marks)) == 3
        assert axes.get_xlim() == axes.get_ylim()
