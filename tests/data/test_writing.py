"""What is written comes back as it was, whole or not at all."""

import errno
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.constraints import FixAtoms
from support import cif_texts as cif
from support.relaxing import salt, triclinic

from empnn import symmetry
from empnn.crystals import from_atoms
from empnn.data import writing
from empnn.data.reading import read
from empnn.data.writing import BARE_FORMATS, FORMATS, writer
from empnn.errors import ConfigError
from empnn.files import COMPRESSED, replacing

MANY = ["a.extxyz", "a.xyz", "a.cif", "a.traj", "a.json", "a.db", "a.csv", "a.csv.gz", "a.parquet", "a.cif.gz"]
ONE = ["POSCAR", "CONTCAR", "POSCAR_3", "Si_POSCAR", "POSCAR.gz", "a.vasp", "a.vasp.xz"]


def frac(atoms):
    return atoms.get_scaled_positions(wrap=False)


@pytest.mark.parametrize("name", MANY + ONE)
def test_order_species_and_unwrapped_coordinates_are_kept(tmp_path, name):
    given = [salt("first"), triclinic("second"), salt("first")] if name in MANY else [salt("first")]
    writer(tmp_path / name)(given)
    records = list(read(tmp_path / name))
    assert [r.error for r in records] == [None] * len(given)
    for record, atoms in zip(records, given, strict=True):
        assert record.atoms.numbers.tolist() == atoms.numbers.tolist()
        assert np.abs(frac(record.atoms) - frac(atoms)).max() < 1e-8
        assert record.atoms.cell.cellpar() == pytest.approx(atoms.cell.cellpar(), abs=1e-9)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize("name", MANY)
def test_identifiers_are_kept(tmp_path, name):
    writer(tmp_path / name)([salt("mp-1"), triclinic("two words"), triclinic()])
    ids = [r.id for r in read(tmp_path / name)]
    assert ids[0] == "mp-1"
    assert ids[1] in ("two words", "two_words")


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj", "a.json", "a.db"])
def test_info_is_kept(tmp_path, name):
    atoms = salt("mp-1")
    atoms.info.update(empnn_status="relaxed", empnn_source="x.cif[3]", note="1", table=[1.5, 2.5])
    writer(tmp_path / name)([atoms])
    info = next(read(tmp_path / name)).atoms.info
    assert {k: info[k] for k in ("material_id", "gap", "empnn_status", "empnn_source")} == {
        "material_id": "mp-1",
        "gap": 8.5,
        "empnn_status": "relaxed",
        "empnn_source": "x.cif[3]",
    }
    assert list(info["table"]) == [1.5, 2.5]


@pytest.mark.parametrize("name", ["a.extxyz", "a.json", "a.db"])
def test_arrays_and_constraints_are_kept(tmp_path, name):
    atoms = salt()
    atoms.set_constraint(FixAtoms([1]))
    writer(tmp_path / name)([atoms])
    back = next(read(tmp_path / name)).atoms
    assert back.arrays["site"].tolist() == [7, 8]
    assert back.constraints[0].index.tolist() == [1]


@pytest.mark.parametrize("name", ["a.extxyz", "a.vasp", "a.traj"])
def test_skewed_and_left_handed_cells(tmp_path, name, generator):
    skew = symmetry.random_unimodular(1, generator, factors=6, largest=3)
    moved = symmetry.change_basis(from_atoms(triclinic()), skew)
    atoms = triclinic()
    atoms.set_cell(moved.cell[0].numpy() * [1, 1, -1], scale_atoms=False)
    atoms.set_scaled_positions(moved.frac.numpy())
    writer(tmp_path / name)([atoms])
    back = next(read(tmp_path / name)).atoms
    assert np.linalg.det(back.cell) < 0
    assert np.abs(frac(back) - moved.frac.numpy()).max() < 1e-8


def test_cif_says_what_became_of_the_structure(tmp_path):
    atoms = salt()
    atoms.info.update(empnn_status="relaxed", empnn_source="my file.cif[0]")
    writer(tmp_path / "a.cif")([atoms])
    text = (tmp_path / "a.cif").read_text()
    assert "_empnn_status relaxed" in text
    assert "_empnn_source 'my file.cif[0]'" in text


@pytest.mark.parametrize("ending", sorted(BARE_FORMATS))
def test_bare_formats_hold_the_crystal(tmp_path, ending):
    atoms = triclinic()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]], scale_atoms=False)
    writer(tmp_path / f"a{ending}")([atoms])
    (record,) = read(tmp_path / f"a{ending}")
    assert record.atoms.pbc.all()
    assert record.atoms.numbers.tolist() == atoms.numbers.tolist()
    assert record.atoms.cell.array == pytest.approx(atoms.cell.array, abs=1e-9)
    assert frac(record.atoms) == pytest.approx(frac(atoms), abs=1e-9)


def test_the_page_on_data_names_what_is_written():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    files = page.partition("## Files")[2].partition("## Round trips")[0]
    endings = {ending for ending in {**FORMATS, **BARE_FORMATS} if not ending.endswith(tuple(COMPRESSED))}
    assert {ending for ending in endings if f"`{ending}`" not in files} == set()


@pytest.mark.parametrize(
    "name",
    [
        *("a", "a.odd", "a.png.txt", "a.db.gz", "no/such/a.cif", "", "vasprun.xml", "a.png", "a.html"),
        *("a.pdb", "a.in", "a.cell", "a.res", "a.xsf.gz", "a.parquet.bz2", "Si_POSCAR.png", "a.vasp.zip"),
    ],
)
def test_names_that_cannot_be_written(tmp_path, name):
    with pytest.raises(ConfigError):
        writer(tmp_path / name)


@pytest.mark.parametrize("name", ONE)
def test_formats_of_one_structure(tmp_path, name):
    with pytest.raises(ConfigError, match="one structure"):
        writer(tmp_path / name)([salt(), salt()])
    assert list(tmp_path.iterdir()) == []


def test_structures_that_the_format_cannot_hold(tmp_path):
    atoms = salt()
    atoms.info["what"] = object()
    (tmp_path / "a.extxyz").write_text("old")
    with pytest.raises(ConfigError, match="structure 0: its info 'what' cannot be written"):
        writer(tmp_path / "a.extxyz")([atoms])
    assert (tmp_path / "a.extxyz").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.extxyz", "a.cif", "a.xsf", "a.vasp"])
def test_full_disk(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if name in ("a.extxyz", "a.cif"):
        monkeypatch.setattr("empnn.data.writing._open", full)
    else:
        monkeypatch.setattr(ase.io, "write", full)
    with pytest.raises(OSError, match="cannot be written") as caught:
        writer(tmp_path / name)([salt()])
    assert caught.value.filename == str(tmp_path / name)
    assert (tmp_path / name).read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_interrupted_block_leaves_nothing(tmp_path):
    def interrupt():
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert list(tmp_path.iterdir()) == []


def test_links_and_devices_are_kept(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    with replacing(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    with (
        pytest.raises(OSError, match="cannot be written"),
        replacing("/dev/full") as full,
    ):
        full.write_text("x")
    with pytest.raises(IsADirectoryError), replacing(tmp_path):
        pass


def test_cif_text_is_what_the_reader_expects(tmp_path):
    (tmp_path / "a.cif").write_text(cif.P1)
    atoms = next(read(tmp_path / "a.cif")).atoms
    writer(tmp_path / "b.cif")([atoms])
    assert next(read(tmp_path / "b.cif")).atoms.positions == pytest.approx(atoms.positions, abs=1e-10)


@pytest.mark.parametrize("name", [name for name in MANY if name != "a.xyz"])
def test_what_grows_is_what_is_written_at_once(tmp_path, monkeypatch, name):
    """Whatever the parts, the same records; where they are one, the same bytes."""
    given = [salt(f"s{number}") if number % 3 else triclinic(f"t{number}") for number in range(7)]
    for number, atoms in enumerate(given[2:]):
        atoms.info[f"gap{number % 2}"] = number / 8
    writer(tmp_path / f"whole-{name}")(given)
    whole = list(read(tmp_path / f"whole-{name}"))
    for together in (2, 3, 100):
        monkeypatch.setattr(writing, "_TOGETHER", together)
        with writer(tmp_path / name).growing() as growing:
            for atoms in given:
                growing.add(atoms)
        grown = list(read(tmp_path / name))
        assert [record.atoms for record in grown] == [record.atoms for record in whole]
        assert [record.atoms.info for record in grown] == [record.atoms.info for record in whole]
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"whole-{name}"])


def test_what_grows_leaves_nothing_when_it_is_broken_off(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_TOGETHER", 1)

    def broken_off():
        with writer(tmp_path / "a.extxyz").growing() as growing:
            growing.add(salt("a"))
            growing.add(salt("b"))
            growing.add(salt("c"))
            assert len(list(tmp_path.iterdir())) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert list(tmp_path.iterdir()) == []
    with writer(tmp_path / "a.extxyz").growing():
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_grows_holds_no_more_than_the_format(tmp_path):
    def two():
        with writer(tmp_path / "POSCAR").growing() as growing:
            growing.add(salt("a"))
            growing.add(salt("b"))

    with pytest.raises(ConfigError, match="holds one structure"):
        two()
    assert list(tmp_path.iterdir()) == []
