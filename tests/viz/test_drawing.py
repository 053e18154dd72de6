"""A drawing shows the cell and the atoms that are there, at one scale, from one side."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from support.outcomes import picture

from empnn.viz.drawing import SIZE, drawing
from empnn.viz.scene import colours


def parts(given, label="x"):
    """The two panels: lines by class as (lines, 2, 2), and circles."""
    text = drawing(given, label)
    root = ET.fromstring(text)  # noqa: S314
    panels = []
    for panel in root:
        lines = {}
        for line in panel.iter("line"):
            ends = [[float(line.get(f"{axis}{end}")) for axis in "xy"] for end in (1, 2)]
            lines.setdefault(line.get("class"), []).append(ends)
        circles = [[float(one.get(name)) for name in ("cx", "cy", "r")] for one in panel.iter("circle")]
        panels.append(({kind: np.array(ends) for kind, ends in lines.items()}, np.array(circles)))
    return panels


def lengths(ends):
    return np.sort(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))


def test_what_is_drawn():
    (before, atoms), (after, moved) = parts(picture())
    assert {kind: len(ends) for kind, ends in before.items()} == {"given": 12, "bond": 20}
    assert {kind: len(ends) for kind, ends in after.items()} == {"given": 12, "relaxed": 12, "bond": 20}
    assert before["given"].tolist() == after["given"].tolist()
    # Caesium at the eight corners, bonded along the edges, and chlorine in the middle, bonded to all of them.
    assert (atoms.shape, moved.shape) == ((9, 3), (9, 3))
    assert sorted(np.unique(atoms[:, 2])) == sorted(np.unique(moved[:, 2]))
    assert lengths(after["relaxed"]).sum() > lengths(after["given"]).sum()


def test_everything_is_within_the_frame():
    given = picture() | {"cell_after": (np.diag([1, 1, 8.0]) @ picture()["cell_before"]).tolist()}
    for lines, circles in parts(given):
        assert max(np.abs(ends).max() for ends in lines.values()) <= SIZE / 2
        assert (np.abs(circles[:, :2]) + circles[:, 2:]).max() <= SIZE / 2


def test_rotations_make_no_difference():
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    given = picture()
    turned = given | {name: (np.array(given[name]) @ turn).tolist() for name in ("cell_before", "cell_after")}
    for (lines, circles), (others, other_circles) in zip(parts(given), parts(turned), strict=True):
        for kind, ends in lines.items():
            assert np.abs(lengths(ends) - lengths(others[kind])).max() < 0.3
        assert np.abs(np.sort(circles, axis=0) - np.sort(other_circles, axis=0)).max() < 0.3


def test_a_crystal_of_one_atom_and_labels_that_are_no_markup():
    one = picture() | {"frac_before": [[0.25, 0.25, 0.25]], "frac_after": [[0.25, 0.25, 0.25]], "numbers": [118]}
    (lines, circles), _ = parts(one, label='<script>"&')
    assert (list(lines), len(circles)) == (["given"], 1)


@pytest.mark.parametrize(("numbers", "expected"), [([6, 1, 6], ["C", "H"]), ([118], ["Og"])])
def test_colours_by_element(numbers, expected):
    assert list(colours(numbers)) == expected
