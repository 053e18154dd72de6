"""POSCARs that say something else than what a lenient reader takes them for."""

import numpy as np
import pytest

from empnn.data.reading import read
from empnn.data.writing import writer

GOOD = """rock salt
1.0
0.0 2.8 2.8
2.8 0.0 2.8
2.8 2.8 0.0
Na Cl
1 1
Direct
0.0 0.0 0.0
0.5 0.5 0.5
"""
VELOCITIES = "\n0.1 0.2 0.3\n0.1 0.2 0.3\n"


def read_text(folder, text):
    (folder / "POSCAR").write_text(text)
    (record,) = read(folder / "POSCAR")
    return record


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + VELOCITIES,
        GOOD + "Cartesian" + VELOCITIES,
        GOOD.replace("Direct", "Selective dynamics\nDirect").replace(".0\n0.5 0.5 0.5", ".0 T T T\n0.5 0.5 0.5 T T F"),
        GOOD.replace("0.5\n", "0.5 Cl\n"),
        GOOD.replace("1 1\n", "1 1 ! two atoms\n"),
        GOOD.replace("Na Cl\n", "").replace("rock salt", "Na Cl"),
        GOOD.replace("Na Cl", "Na_pv Cl/1a2b3c"),
        GOOD.replace("\n1.0\n", "\n-43.904\n"),
    ],
)
def test_flavours(tmp_path, text):
    atoms = read_text(tmp_path, text).atoms
    assert atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert atoms.get_volume() == pytest.approx(43.904)
    assert atoms.get_scaled_positions()[1] == pytest.approx([0.5, 0.5, 0.5])


def test_a_volume_for_the_scale_keeps_the_handedness(tmp_path):
    left = GOOD.replace("0.0 2.8 2.8\n2.8 0.0 2.8", "2.8 0.0 2.8\n0.0 2.8 2.8").replace("\n1.0\n", "\n-43.904\n")
    atoms = read_text(tmp_path, left).atoms
    assert np.linalg.det(atoms.cell.array) == pytest.approx(-43.904)
    assert atoms.cell.array[0] == pytest.approx([2.8, 0, 2.8])


@pytest.mark.parametrize(
    ("first", "info"),
    [
        ("rock salt", {"comment": "rock salt"}),
        (" Na  Cl ", {}),
        ("", {}),
        ("material_id=mp-22862", {"material_id": "mp-22862"}),
        ("from material_id=mp-1", {"comment": "from material_id=mp-1"}),
    ],
)
def test_the_first_line_is_a_comment_or_the_identifier_that_was_written(tmp_path, first, info):
    record = read_text(tmp_path, GOOD.replace("rock salt", first))
    assert record.atoms.info == info
    assert record.id == info.get("material_id")


def test_a_first_line_that_names_the_elements_is_kept_too(tmp_path):
    atoms = read_text(tmp_path, GOOD.replace("Na Cl\n", "").replace("rock salt", "Na Cl rock salt")).atoms
    assert atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert atoms.info == {"comment": "Na Cl rock salt"}


@pytest.mark.parametrize(
    ("info", "first"),
    [
        ({"material_id": "two words"}, "material_id=two words"),
        ({"comment": "rock\nsalt"}, "rock salt"),
        ({"id": 7, "comment": "rock salt"}, "material_id=7"),
        ({}, "Na Cl"),
    ],
)
def test_what_is_written_in_the_first_line(tmp_path, info, first):
    atoms = read_text(tmp_path, GOOD).atoms
    atoms.info = info
    writer(tmp_path / "a.vasp")([atoms])
    assert (tmp_path / "a.vasp").read_text().split("\n")[0].split() == first.split()
    (record,) = read(tmp_path / "a.vasp")
    assert record.id == (first.removeprefix("material_id=") if "=" in first else None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("0.5 0.5 0.5", "0.5"), "announces 2 atoms and has coordinates of 1"),
        (GOOD.replace("1 1", "1 2147483648"), "announces 2147483649 atoms and has 11 lines in all"),
        (GOOD.replace("1 1", "1"), "names 2 elements and has 1 numbers of atoms"),
        (GOOD.replace("1 1", "1 0"), "announces 1 atoms and has coordinates of more"),
        (GOOD.replace("1 1", "0 0"), "no atoms"),
        (GOOD.replace("1 1", "1 1.0"), "the numbers of atoms are '1 1.0'"),
        (GOOD.replace("Direct\n", ""), "Direct or Cartesian is missing"),
        (GOOD.replace("0.0 2.8 2.8", "0.0 0.0 2.8 2.8"), "a lattice vector has 4 components"),
        (GOOD.replace("Na Cl\n", ""), "does not name its elements"),
        (GOOD + GOOD, "more than one structure"),
        ("\n".join(GOOD.split("\n")[:5]), "ends before its elements"),
        (GOOD.replace("2.8 0.0 2.8", "nan 0.0 2.8"), None),
    ],
)
def test_bad_ones_are_refused(tmp_path, text, message):
    record = read_text(tmp_path, text)
    if message is None:
        assert not np.isfinite(record.atoms.cell.array).all()
    else:
        assert message in record.error
        assert "; " in record.error
