"""Files that do not tell the elements, marks of partial occupancy, and objects in info."""

import gzip
import json

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from support.relaxing import salt

from empnn.bulk.pipeline import Conversion, process
from empnn.data.reading import read
from empnn.data.writing import writer
from empnn.errors import ConfigError

HEAD = "# rock salt, no Masses\n\n2 atoms\n2 atom types\n" + "".join(f"0.0 5.6 {x}lo {x}hi\n" for x in "xyz") + "\n"
ATOMS = "Atoms # atomic\n\n2 2 2.8 2.8 2.8\n1 1 0.0 0.0 0.0\n"
MASSES = "Masses\n\n1 22.99 # sodium\n2 35.45\n\n"
BOX = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n" + "0 5.6\n" * 3 + "ITEM: ATOMS "


def labelled(*labels):
    return "Atom Type Labels\n\n" + "".join(f"{i} {label}\n" for i, label in enumerate(labels, 1)) + "\n"


def record(folder, name, text):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    (found,) = read(path)
    return found


def dump(*columns, rows=("1 1 0 0 0", "2 2 2.8 2.8 2.8")):
    return BOX + " ".join(columns) + "\n" + "\n".join(rows) + "\n"


def gromacs(*names):
    sites = (f"{1:5d}{'SALT':<5}{name:>5}{i:5d}" + 3 * f"{0.28 * i:8.3f}" for i, name in enumerate(names))
    return f"t\n{len(names)}\n" + "\n".join(sites) + "\n" + 3 * f"{0.56:10.5f}" + "\n"


def data_bank(*sites):
    rows = (
        f"ATOM  {i + 1:5d} {name:<4} MOL     1    "
        + 3 * f"{2.8 * i:8.3f}"
        + f"{1:6.2f}{0:6.2f}          {element:>2}\n"
        for i, (name, element) in enumerate(sites)
    )
    return "CRYST1    5.600    5.600    5.600  90.00  90.00  90.00 P 1\n" + "".join(rows) + "END\n"


def config(*names):
    return "t\n0 1\n5.6 0 0\n0 5.6 0\n0 0 5.6\n" + "".join(f"{n} {i}\n{i * 2.8} 0 0\n" for i, n in enumerate(names))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.lammps-data", HEAD + ATOMS),
        ("a.lammps-data.gz", HEAD + ATOMS),
        ("a.lammps-data", HEAD + labelled("Na1", "Cl1") + ATOMS),
        ("a.lammps-data", HEAD + "Atoms # charge\n\n1 1 1.0 0 0 0\n2 2 -1.0 2.8 2.8 2.8\n"),
        ("a.lammps-data", HEAD + "Atoms # full\n\n1 1 1 1.0 0 0 0\n2 1 2 -1.0 2.8 2.8 2.8\n"),
        ("a.lammpstrj", dump("id", "type", "x", "y", "z")),
        ("a.lammpstrj.gz", dump("id", "type", "xs", "ys", "zs")),
        ("a.lammps-dump-text", dump("type", "xs", "ys", "zs", rows=("1 0 0 0", "2 .5 .5 .5"))),
        ("a.lammpstrj", dump("id", "type", "x", "y", "z", rows=("1 Na 0 0 0", "2 Cl 2.8 2.8 2.8"))),
        ("a.gro", gromacs("OW", "HW1")),
        ("a.gro", gromacs("SOD", "CLA")),
        ("a.gro", gromacs("MW", "Na")),
        ("a.pdb", data_bank(("SOD", ""), ("CLA", ""))),
        ("a.config", config("OW", "HW")),
        ("a.g96", "TITLE\nt\nEND\nPOSITION\n1 A CL 1 0 0 0\nEND\nBOX\n0.56 0.56 0.56\nEND\n"),
    ],
)
def test_elements_that_are_not_told_are_not_made_up(tmp_path, name, text):
    error = record(tmp_path, name, text).error
    assert "no element" in error
    assert "; " in error


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.lammps-data", HEAD + MASSES + ATOMS),
        ("a.lammps-data", HEAD + MASSES.replace("Masses", "Masses # g/mol") + ATOMS),
        ("a.lammps-data", HEAD + labelled("Na", "Cl") + ATOMS),
        ("a.lammps-data", HEAD + labelled("Na", "Cl") + "Atoms # atomic\n\n2 Cl 2.8 2.8 2.8\n1 Na 0 0 0\n"),
        ("a.lammps-data", HEAD + labelled("A", "B") + MASSES + "Atoms # atomic\n\n2 B 2.8 2.8 2.8\n1 A 0 0 0\n"),
        ("a.lammpstrj", dump("id", "type", "element", "x", "y", "z", rows=("2 2 Cl 2.8 2.8 2.8", "1 1 Na 0 0 0"))),
        ("a.lammpstrj", dump("id", "mass", "x", "y", "z", rows=("1 22.99 0 0 0", "2 35.45 2.8 2.8 2.8"))),
        ("a.gro", gromacs("NA", "CL")),
        ("a.gro", gromacs("Na1", "Cl2")),
        ("a.pdb", data_bank(("NA", ""), ("CL1", ""))),
        ("a.pdb", data_bank(("SOD", "NA"), ("CLA", "CL"))),
        ("a.config", config("Na+", "CL")),
        ("a.gen", "2 S\nNa Cl\n1 1 0 0 0\n2 2 2.8 2.8 2.8\n0 0 0\n5.6 0 0\n0 5.6 0\n0 0 5.6\n"),
    ],
)
def test_elements_that_are_told_are_read(tmp_path, name, text):
    atoms = record(tmp_path, name, text).atoms
    found = dict(zip(atoms.get_chemical_symbols(), atoms.positions[:, 0], strict=True))
    assert found == pytest.approx({"Na": 0.0, "Cl": 2.8}, abs=1e-9)


def test_masses_of_no_element(tmp_path):
    text = HEAD + MASSES.replace("35.45", "72.0") + ATOMS
    assert record(tmp_path, "a.lammps-data", text).error == (
        "atom 1 has the mass 72, which is that of no element; correct it"
    )
    heavy = record(tmp_path, "b.lammps-data", HEAD + MASSES.replace("22.99", "2.014") + ATOMS).atoms
    assert heavy.get_chemical_symbols() == ["H", "Cl"]


def outcome(given, returned):
    outcomes = []
    process([given], returned, Conversion(), outcomes.append)
    (found,) = outcomes
    return found


DISORDERED = {"0": {"Fe": 0.5, "Ni": 0.5}}
ORDERED = {"0": {"Ni": 1.0}}


@pytest.mark.parametrize("ending", ["extxyz", "traj", "db", "json", "cif", "csv", "parquet"])
@pytest.mark.parametrize("marks", [DISORDERED, ORDERED])
def test_partial_occupancy_is_refused_in_all_formats(tmp_path, ending, marks):
    atoms = Atoms("Ni4", cell=[3.6] * 3, scaled_positions=[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    atoms.pbc = True
    atoms.set_array("spacegroup_kinds", np.zeros(4, dtype=int))
    atoms.info["occupancy"] = marks
    writer(tmp_path / f"a.{ending}")([atoms])
    found = outcome(tmp_path / f"a.{ending}", tmp_path / "b.extxyz")
    expected = (
        "site 0 (Fe:0.5, Ni:0.5) is disordered or partly occupied; order the structure first, and remove its occupancy"
    )
    assert (found.status, found.message) == (("refused", expected) if marks is DISORDERED else ("converted", None))


@pytest.mark.parametrize(
    "written",
    [
        '"_JSON {\\"0\\": {\\"Fe\\": 0.5, \\"Ni\\": 0.5}}"',
        '{"0": 0.5}',
        "\"{'0': {'Fe': 0.5, 'Ni': 0.5}}\"",
        "\"{0: {'Ni': 0.9}}\"",
    ],
)
def test_partial_occupancy_in_strings_of_extxyz(tmp_path, written):
    lattice = 'Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:spacegroup_kinds:I:1'
    (tmp_path / "a.extxyz").write_text(f"1\n{lattice} occupancy={written}\nNi 0 0 0 0\n")
    found = outcome(tmp_path / "a.extxyz", tmp_path / "b.cif")
    assert found.message.startswith("site 0 (")


def test_partial_occupancy_by_atom(tmp_path):
    text = data_bank(("NA", "NA"), ("CL", "CL"))
    (tmp_path / "a.pdb").write_text(text)
    assert outcome(tmp_path / "a.pdb", tmp_path / "a.cif").status == "converted"
    (tmp_path / "b.pdb").write_text(text.replace("2.800  1.00", "2.800  0.50"))
    assert outcome(tmp_path / "b.pdb", tmp_path / "b.cif").message.startswith("site 1 (Cl:0.5) is disordered")


@pytest.mark.parametrize("ending", ["db", "traj", "extxyz", "json", "cif", "csv", "parquet", "feather"])
def test_a_space_group_is_written_as_plain_json(tmp_path, ending):
    atoms = crystal(["Na", "Cl"], [(0, 0, 0), (0.5, 0, 0)], spacegroup=225, cellpar=[5.6] * 3 + [90] * 3)
    atoms.info["nested"] = {"group": atoms.info["spacegroup"], "cell": atoms.cell}
    writer(tmp_path / f"a.{ending}")([atoms, salt("b")])
    first, second = read(tmp_path / f"a.{ending}")
    assert dict(first.atoms.info["spacegroup"]) == {"number": 225, "setting": 1}
    assert first.atoms.info["nested"]["group"] == {"number": 225, "setting": 1}
    assert second.id == "b"


def test_space_groups_in_files(tmp_path):
    content = {
        "lattice": {"matrix": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]]},
        "properties": {"spacegroup": {"number": 225, "setting": 1}},
        "sites": [{"species": [{"element": "Mg", "occu": 1}], "abc": [0, 0, 0]}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert outcome(tmp_path / "a.json", tmp_path / "o.db").status == "converted"
    (record,) = read(tmp_path / "o.db")
    assert record.atoms.info["spacegroup"] == {"number": 225, "setting": 1}


@pytest.mark.parametrize("ending", ["db", "traj", "extxyz", "json", "cif", "csv"])
@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, {1, 2}, [object()]])
def test_what_no_format_holds_is_refused_alone(tmp_path, ending, value):
    atoms = salt("a")
    atoms.info["what"] = value
    with pytest.raises(ConfigError, match=r"structure 1: .*; (remove it|write .extxyz)"):
        writer(tmp_path / f"a.{ending}")([salt("b"), atoms])


def test_info_named_as_what_a_row_of_a_database_computes(tmp_path):
    atoms = salt()
    values = {"charge": 2.0, "volume": 7.0, "natoms": 9, "mass": 1.5, "formula": "rock salt"}
    atoms.info = dict(values)
    writer(tmp_path / "a.db")([atoms])
    (record,) = read(tmp_path / "a.db")
    assert record.atoms.info == values


def test_a_trajectory_loses_nothing_silently(tmp_path):
    ase.io.write(tmp_path / "a.traj", salt("a"))
    (record,) = read(tmp_path / "a.traj")
    record.atoms.info["waves"] = np.array([1j, 2.0])
    writer(tmp_path / "b.traj")([record.atoms])
    (again,) = read(tmp_path / "b.traj")
    assert again.atoms.info["waves"].tolist() == [1j, 2.0]
