"""Results as tables in HTML, for notebooks, and models as text."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from ase import Atoms
from ase.build import bulk
from support.relaxing import salt, tiny_model, tiny_network, triclinic

import empnn
from empnn.relax import Relaxer

FLAT = Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True)
COLUMNS = [
    "crystal",
    "status",
    "volume before, Å³",
    "volume after, Å³",
    "change",
    "expected error",
    "strain",
    "remarks",
]


@pytest.fixture(scope="module")
def relaxer():
    return Relaxer(tiny_network(deform=["cell", "positions"]), {"elements": [1, 8, 16, 29]})


def rows(html):
    """The text of the cells of a table, which is well-formed."""
    (caption, *_) = [*[node.text for node in ElementTree.fromstring(html).iter("caption")], None]  # noqa: S314
    table = ElementTree.fromstring(html)  # noqa: S314
    return caption, [[cell.text or "" for cell in row] for row in table.iter("tr")]


def test_one(relaxer):
    one = relaxer.relax(salt())
    caption, (header, row) = rows(one._repr_html_())
    assert (caption, header) == (None, COLUMNS)
    after, before = one.structures.get_volume(), salt().get_volume()
    assert row[:5] == ["NaCl", "suspect", f"{before:.2f}", f"{after:.2f}", f"{100 * (after / before - 1):+.1f}%"]
    assert row[7] == "; ".join(one.warnings) != ""


def test_several_and_what_was_refused(relaxer):
    many = relaxer.relax([triclinic(), FLAT])
    caption, (header, first, second) = rows(many._repr_html_())
    assert (caption, header) == (repr(many), ["", *COLUMNS])
    assert first[:3] == ["0", "CuHO2S", "relaxed"]
    assert second[:3] == ["1", "", "refused"]
    assert second[-1].startswith("its lattice vectors are linearly dependent")
    assert rows(relaxer.relax([])._repr_html_()) == ("Relaxations(none)", [["", *COLUMNS]])


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 11), (500, 11)])
def test_long_lists_are_abbreviated(relaxer, count, shown):
    _, (_, *found) = rows(relaxer.relax([bulk("Cu")] * count)._repr_html_())
    assert len(found) == shown
    assert (found[0][0], found[-1][0]) == ("0", str(count - 1))
    if count > 10:
        assert found[5] == [f"… {count - 10} more …"]
        assert [row[0] for row in found[6:]] == [str(place) for place in range(count - 5, count)]


def test_markup_is_text(relaxer):
    html = relaxer.relax([bulk("Cu"), "<b>&.cif"])._repr_html_()
    assert "<b>" not in html
    assert rows(html)[1][2][-1] == "<b>&.cif[0]: no such file; check the path"


def test_a_model_says_what_it_is(relaxer, tmp_path):
    count = sum(weight.numel() for weight in relaxer.network.parameters())
    assert repr(relaxer) == f"Relaxer(moves cell and atoms, {count:,} parameters, H O S Cu, on cpu)"
    folder = tiny_model(tmp_path / "mine", elements=list(range(1, 40)))
    assert re.fullmatch(
        rf"Relaxer\({folder}, moves the cell, [\d,]+ parameters, 39 elements, on cpu\)",
        repr(empnn.load(folder, device="cpu")),
    )
    assert repr(empnn.load("carbon-24", "cpu")).startswith("Relaxer(carbon-24, moves the cell, 2,")
