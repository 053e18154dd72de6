"""A relaxed crystal draws itself, as given and relaxed, with what changed in words; a refused one cannot."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from ase import Atoms
from matplotlib import rcParams
from matplotlib.patches import Circle
from PIL import Image
from support.relaxing import salt, tiny_network, triclinic

import empnn
from empnn.relax import Relaxer


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(deform=["cell", "positions"]), {"elements": [1, 8, 16, 29]})


def test_both_states_stand_beside_each_other(relaxer):
    one = relaxer.relax(salt())
    (axes,) = one.plot().axes
    words = [text.get_text() for text in axes.texts]
    assert {"given", "relaxed"} <= set(words)
    circles = [patch.center[0] for patch in axes.patches if isinstance(patch, Circle)]
    assert sum(x < 0 for x in circles) == sum(x > 0 for x in circles) > 0
    symbols = list(dict.fromkeys(one.structures.get_chemical_symbols()))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == symbols


def test_what_changed_stands_below(relaxer):
    one = relaxer.relax(triclinic())
    (note,) = [" ".join(text.get_text().split()) for text in one.plot().texts]
    change = one.change
    assert note.startswith(f"{one.status}: volume {change.volume_before:.2f} to {change.volume_after:.2f} Å³")
    for warning in one.warnings:
        assert warning in note


def test_numbers_of_a_formula_are_subscripts(relaxer):
    (axes,) = (
        relaxer.relax(Atoms("Cu2O", positions=[[0, 0, 0], [2, 2, 2], [2, 0, 2]], cell=[4, 4, 4], pbc=True)).plot().axes
    )
    assert "Cu₂O" in [text.get_text() for text in axes.texts]


def test_files_and_notebooks_get_the_same_picture(relaxer, tmp_path):
    before = dict(rcParams)
    figure = relaxer.relax(salt()).plot(tmp_path / "salt.png")
    with Image.open(tmp_path / "salt.png") as saved, Image.open(BytesIO(figure._repr_png_())) as shown:
        assert saved.size == shown.size
        assert np.abs(np.asarray(saved.convert("L"), float) - np.asarray(shown.convert("L"), float)).mean() < 3
    assert dict(rcParams) == before


def test_a_refused_one_has_no_picture(relaxer):
    flat = Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True)
    with pytest.raises(empnn.CrystalError, match="refused"):
        relaxer.relax([flat])[0].plot()


def test_relaxing_does_without_matplotlib():
    code = "import sys, empnn.relax; print('matplotlib.figure' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
