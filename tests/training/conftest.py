"""A small set to train on."""

from pathlib import Path

import ase.io
import pytest
from ase.build import bulk


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty fcc and bcc metals of different size."""
    monkeypatch.setenv("EMPNN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    metals = {
        "Cu": 3.61,
        "Al": 4.05,
        "Ag": 4.09,
        "Au": 4.08,
        "Ni": 3.52,
        "Pd": 3.89,
        "Pt": 3.92,
        "Pb": 4.95,
        "Ca": 5.58,
    }
    cubic = {"Fe": 2.87, "Na": 4.29, "K": 5.33, "Li": 3.51, "Cr": 2.91, "Mo": 3.15, "W": 3.16, "V": 3.03, "Nb": 3.30}
    frames = [bulk(s, "fcc", a=a) for s, a in metals.items()] + [bulk(s, "bcc", a=a) for s, a in cubic.items()]
    ase.io.write(folder / "train.extxyz", frames)
    return folder
