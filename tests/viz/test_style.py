"""Pictures can be told apart without colours, change no settings, and are the same each time."""

import numpy as np
import pytest
from matplotlib import colormaps, rcParams
from matplotlib.figure import Figure
from PIL import Image

from empnn.viz.style import DARK, LIGHT, MIDDLE, SHADES, ink_on, lightness, save, styled


def as_seen_without(cones, colour):
    """A colour as those see it who lack red or green cones (Vienot, Brettel and Mollon, 1999), in linear RGB."""
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    lost = {
        "red": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
        "green": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
    }[cones]
    linear = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]) ** 2.2
    return np.linalg.inv(to_lms) @ lost @ to_lms @ linear


@pytest.mark.parametrize(("colour", "expected"), [("#000000", 0.0), ("#ffffff", 100.0), ("#777777", 50.0)])
def test_lightness(colour, expected):
    assert lightness(colour) == pytest.approx(expected, abs=0.2)


def test_colours_differ_in_lightness_and_to_the_colour_blind():
    values = sorted(lightness(colour) for colour in (DARK, MIDDLE, LIGHT))
    assert np.diff(values).min() > 15
    assert values[-1] < 80
    for cones in ("red", "green"):
        seen = [as_seen_without(cones, colour) for colour in (DARK, MIDDLE, LIGHT)]
        assert min(np.abs(seen[i] - seen[j]).max() for i in range(3) for j in range(i)) > 0.1


def test_shades_become_darker_step_by_step():
    steps = [lightness(tuple(colour[:3])) for colour in colormaps[SHADES](np.linspace(0, 1, 32))]
    assert np.diff(steps).max() < 0


def test_letters_can_be_read():
    for colour in ("#ffff30", "#3050f8", "#909090", "#ff0d0d", "#ffffff"):
        ink = ink_on(colour)
        assert abs(lightness(ink) - lightness(colour)) > 40


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_picture_is_the_same_file(tmp_path, ending):
    before = dict(rcParams)
    for name in ("first", "second"):
        with styled():
            figure = Figure(figsize=(2, 2))
            figure.subplots().plot([0, 1], [0, 1], color=DARK)
            save(figure, tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"first.{ending}").read_bytes() == (tmp_path / f"second.{ending}").read_bytes()
    assert dict(rcParams) == before
    if ending == "png":
        with Image.open(tmp_path / "first.png") as picture:
            assert picture.size == (260, 260)
