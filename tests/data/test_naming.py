"""What files are called: the stem, the folder of a POSCAR, and as much of the path as tells them apart."""

from pathlib import Path

import ase.io
import pytest
from support import cif_texts as cif
from support.relaxing import salt

from empnn.data.naming import names_of
from empnn.data.reading import read


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.cif"], ["a"]),
        (["a.cif", "b.cif.gz", "c.d.extxyz"], ["a", "b", "c.d"]),
        (["set/a.cif", "set/b.cif"], ["a", "b"]),
        (["set/a.cif", "set/b/c.cif"], ["a", "b/c"]),
        (["x/a.cif", "y/a.cif"], ["x/a", "y/a"]),
        (["x/a.cif", "./y/b.cif"], ["x/a", "y/b"]),
        (["x/a.cif", "x/y/../b.cif"], ["a", "b"]),
        (["run1/POSCAR", "run2/POSCAR.gz", "run3/CONTCAR"], ["run1", "run2", "run3"]),
        (["run1/relax/POSCAR", "run2/relax/POSCAR"], ["run1/relax", "run2/relax"]),
        (["run1/POSCAR", "run1/CONTCAR"], ["run1/POSCAR", "run1/CONTCAR"]),
        (["run1/vasprun.xml", "run2/OUTCAR"], ["run1", "run2"]),
        (
            ["POSCAR_1", "POSCAR.mp-149", "Si_POSCAR", "POSCAR_2.vasp"],
            ["POSCAR_1", "POSCAR.mp-149", "Si_POSCAR", "POSCAR_2"],
        ),
        (["a.cif", "a.vasp", "b.cif"], ["a.cif", "a.vasp", "b"]),
        (["a.cif", "./a.cif"], ["a", "a"]),
        (["-"], ["stdin"]),
        (["-", "x/a.cif"], ["stdin", "a"]),
        ([], []),
    ],
)
def test_names(files, names):
    assert names_of(list(map(Path, files))) == names


def test_a_poscar_of_this_folder_is_called_as_the_folder(tmp_path, monkeypatch):
    (tmp_path / "mp-149").mkdir()
    monkeypatch.chdir(tmp_path / "mp-149")
    assert names_of([Path("POSCAR")]) == ["mp-149"]
    assert names_of([Path("/POSCAR")]) == ["POSCAR"]


def test_the_name_stands_in_for_an_identifier(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("run1", "run2"):
        Path(folder).mkdir()
        ase.io.write(f"{folder}/POSCAR", salt())
    ase.io.write("one.extxyz", salt())
    ase.io.write("own.extxyz", salt("mp-1"))
    ase.io.write("many.extxyz", [salt(), salt("mp-2")])
    ase.io.write("by-ase.cif", salt())
    Path("by-pymatgen.cif").write_text(cif.P1)
    Path("named.cif").write_text(cif.P1.replace("data_CsZrNO2", "data_mp-3"))
    Path("two.cif").write_text(cif.P1 + cif.P1.replace("data_CsZrNO2", "data_x"))
    Path("bad.cif").write_text("hello")
    files = ["run1/POSCAR", "run2/POSCAR", "one.extxyz", "own.extxyz", "many.extxyz", "by-ase.cif", "by-pymatgen.cif"]
    records = list(read(*files, "named.cif", "two.cif", "bad.cif", "missing.cif"))
    found = [(record.id, record.name, record.label.partition("] ")[2]) for record in records]
    assert found == [
        ("run1", "run1", ""),
        ("run2", "run2", ""),
        ("one", "one", ""),
        ("mp-1", "own", "(mp-1)"),
        (None, "many-0000", ""),
        ("mp-2", "many-0001", "(mp-2)"),
        ("by-ase", "by-ase", ""),
        ("by-pymatgen", "by-pymatgen", ""),
        ("mp-3", "named", "(mp-3)"),
        ("CsZrNO2", "two-0000", "(CsZrNO2)"),
        ("x", "two-0001", "(x)"),
        ("bad", "bad", ""),
        ("missing", "missing", ""),
    ]


def test_names_are_the_same_wherever_reading_begins(tmp_path):
    ase.io.write(tmp_path / "many.extxyz", [salt(), salt(), salt()])
    ase.io.write(tmp_path / "one.extxyz", salt())
    files = (tmp_path / "many.extxyz", tmp_path / "one.extxyz")
    names = [record.name for record in read(*files)]
    assert names == ["many-0000", "many-0001", "many-0002", "one"]
    for start in range(5):
        assert [record.name for record in read(*files, start=start)] == names[start:]
