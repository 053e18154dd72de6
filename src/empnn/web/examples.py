"""Crystals to begin with: prototypes in the cells of other compounds, and real crystals strained at random."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

_EXAMPLES = (
    ("SrTiO₃", "perovskite, in the cell of BaTiO₃", "web/examples/SrTiO3.cif"),
    ("TiO₂", "rutile, in the cell of SnO₂", "web/examples/POSCAR_TiO2"),
    ("GaN", "wurtzite, in the cell of AlN", "web/examples/GaN.extxyz"),
    ("Twelve at once", "of MP-20, Carbon-24 and Perov-5, cells strained at random", "data/samples/strained.extxyz"),
)


def examples() -> list[dict[str, Any]]:
    """The name, what it is, and the file of each."""
    found = []
    for name, about, place in _EXAMPLES:
        source = files("empnn").joinpath(place)
        found.append({"name": name, "about": about, "file": {"name": source.name, "text": source.read_text("utf-8")}})
    return found
