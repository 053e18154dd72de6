"""How pictures look: colours that differ in lightness as well as in hue, letters, units, and how files are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from empnn.files import replacing

DARK, MIDDLE, LIGHT = "#004488", "#bb5566", "#ddaa33"
"""Three colours for what is compared: told apart by the colour-blind, and in grayscale (P. Tol's high contrast)."""
INK, GUIDE, BOND = "#111827", "#6b7280", "#9ca3af"
"""Of letters and what they belong to, of lines that only guide the eye, and of those that join things."""
SHADES = "cividis_r"
"""Colours of counts and other amounts, the lightest for the least; even steps of lightness."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Shapes of marks, so that what is compared can be told apart without colours."""
ANGSTROM, DENSITY = "Å", "atoms/Å³"
"""Units as they stand on axes, in parentheses after what is measured."""

_LOOK: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "text.color": INK,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "savefig.dpi": 130,
    "pdf.fonttype": 42,
    "svg.hashsalt": "empnn",
}
_COLOURS = 256
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


@contextmanager
def styled() -> Iterator[None]:
    """Figures that are made and saved inside look alike; the settings of matplotlib are as before afterwards."""
    with rc_context(_LOOK):
        yield


class Shown(Figure):
    """A figure that notebooks show, also where nothing has set matplotlib up."""

    def _repr_png_(self) -> bytes:
        with styled(), BytesIO() as page:
            self.savefig(page, format="png")
            return page.getvalue()


def formula(text: str) -> str:
    """A chemical formula with its numbers as subscripts."""
    return text.translate(_SUBSCRIPTS)


def save(figure: Figure, path: str | Path) -> None:
    """Write a picture, whole or not at all; its suffix tells the format. The same picture gives the same file.

    A PNG has 256 colours, which makes it a third as large.

    Raises:
        OSError: If it cannot be written.
    """
    ending = Path(path).suffix.removeprefix(".").lower()
    with styled(), replacing(path) as temporary:
        figure.savefig(temporary, format=ending, metadata=_UNDATED.get(ending))
        if ending == "png":
            with Image.open(temporary) as picture:
                fewer = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
            fewer.save(temporary, format="png", optimize=True)


def lightness(colour: str | tuple[float, float, float]) -> float:
    """How light a colour is to the eye, 0 (black) to 100 (white): L* of CIELAB, all that grayscale leaves of it."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def ink_on(colour: str | tuple[float, float, float]) -> str:
    """Black or white, whichever can be read on a colour."""
    return "black" if lightness(colour) > 55 else "white"
