"""Files as users have them: what is read, and what is refused in one line."""

import csv
import gzip
import json
import warnings

import ase.io
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from ase import Atoms
from ase.db import connect
from pymatgen.core import DummySpecies, Lattice, Species, Structure
from pymatgen.io.cif import CifParser
from support import cif_texts as cif
from support.relaxing import salt, triclinic

from empnn.data.reading import format_of_text, read, read_texts


def one(path):
    records = list(read(path))
    assert len(records) == 1
    return records[0]


def refusal(path):
    record = one(path)
    assert record.atoms is None
    assert "; " in record.error
    assert "\n" not in record.error
    return record.error


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("text", [cif.P1, cif.BY_SYMBOL, cif.BY_OPERATORS, cif.DEUTERIUM])
def test_cif_agrees_with_pymatgen(tmp_path, text):
    atoms = one(written(tmp_path, "a.cif", text)).atoms
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = CifParser.from_str(text).parse_structures(primitive=False)[0]
    assert atoms.cell.cellpar() == pytest.approx(expected.lattice.parameters, abs=1e-8)
    assert sorted(atoms.numbers) == sorted(site.specie.Z for site in expected)
    ours, theirs = atoms.get_scaled_positions(wrap=False), expected.frac_coords
    apart = ours[:, None] - theirs[None]
    distance = np.abs(apart - np.round(apart)).max(-1)
    match = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-4
    assert len(set(match)) == len(expected)
    assert [expected[int(i)].specie.Z for i in match] == atoms.numbers.tolist()


def test_cif_keeps_order_and_unwrapped_coordinates(tmp_path):
    record = one(written(tmp_path, "a.cif", cif.P1))
    assert record.id == "a"
    assert record.atoms.get_chemical_symbols() == ["Cs", "Zr", "N", "O", "O"]
    assert record.atoms.get_scaled_positions(wrap=False)[3:, 1:].tolist() == pytest.approx(
        np.array([[-0.03, 0.5], [0.5, 1.04]])
    )


def test_cif_operators_of_no_tabulated_setting_are_applied(tmp_path):
    text = cif.with_value(cif.BY_OPERATORS, "_symmetry_space_group_name_H-M", "?").split(" '-y, x-y")[0]
    text += " '-x+1/4, 1/3-y, z'\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    atoms = one(written(tmp_path, "a.cif", text + "Si1 0.4 0.1 0.2\n")).atoms
    assert atoms.get_scaled_positions(wrap=False) == pytest.approx(
        np.array([[0.4, 0.1, 0.2], [-0.15, 1 / 3 - 0.1, 0.2]])
    )


def test_cif_with_several_blocks(tmp_path):
    global_block = "data_global\n_journal_name_full 'Acta'\n"
    records = list(read(written(tmp_path, "a.cif", global_block + cif.P1 + cif.BY_SYMBOL)))
    assert [(r.index, r.id, len(r.atoms)) for r in records] == [(0, "CsZrNO2", 5), (1, "NaCl", 8)]


@pytest.mark.parametrize("damage", ["data_broken\nloop_\n_a\n_b\n1 2 3\n", "data_NaCl\n_a 1\n_a 2\n"])
def test_damaged_cif_block_does_not_hide_the_others(tmp_path, damage):
    records = list(read(written(tmp_path, "a.cif", cif.P1 + damage + cif.BY_SYMBOL)))
    assert [r.atoms is None for r in records] == [False, True, False]
    assert records[1].label.startswith(f"{tmp_path}/a.cif[1] (")
    assert "not valid CIF" in records[1].error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cif.BY_SYMBOL.replace("0.5 1.", "0.5 0.5"), "site Cl1 has partial occupancy 0.5"),
        (cif.BY_SYMBOL.replace("0.5 1.", "0.5 NaN"), "site Cl1 has occupancy 'NaN', which is no number"),
        (cif.BY_SYMBOL.replace("0.5 1.", "0.5 5"), "site Cl1 has occupancy 5, over 1"),
        (cif.P1.replace("_atom_site_fract_y", "_atom_site_fract_q"), "no atoms with fractional coordinates"),
        (cif.P1.replace("0.01000000", "+-0.01"), "site Cs0 has no numeric coordinates"),
        (cif.with_value(cif.P1, "_cell_length_a", "+-4"), "_cell_length_a is +-4"),
        (cif.P1.replace("0.01000000", "1e308"), "over a million cells from the origin"),
        (cif.BY_OPERATORS.replace(" 'x, y, z'\n", ""), "symmetry operators lack x,y,z"),
        (cif.with_value(cif.P1, "_symmetry_Int_Tables_number", "0.1"), "not an integer"),
        (cif.BY_SYMBOL.replace("Na1 Na+", "X1 Qq"), "site X1 has unknown element 'Qq'"),
        (cif.BY_SYMBOL.replace("0.5 0.5 0.5", "0.5 ? 0.5"), "site Cl1 has no numeric coordinates"),
        (cif.with_value(cif.BY_SYMBOL, "_symmetry_space_group_name_H-M", "'P 7 banana'"), "unknown space group"),
        (cif.with_value(cif.P1, "_cell_angle_alpha", "5"), "close no cell"),
        (cif.with_value(cif.P1, "_cell_length_a", "nan"), "_cell_length_a is nan"),
        (cif.with_value(cif.P1, "_cell_length_a", "0"), "_cell_length_a is 0"),
        (cif.with_value(cif.P1, "_cell_length_b", "?"), "_cell_length_b is ?"),
        (cif.P1.replace("_cell_length_a", "_cell_lengthy"), "no unit cell"),
        (cif.P1.split("loop_")[0], "no atoms"),
        (cif.BY_OPERATORS.replace("'y, x, -z'", "'y, x, banana'"), "symmetry operator"),
        (cif.P1[:-20], "not valid CIF"),
        ("{}", "not valid CIF"),
    ],
)
def test_bad_cif_is_refused(tmp_path, text, message):
    assert message in refusal(written(tmp_path, "a.cif", text))


def test_latin_1_and_byte_order_mark(tmp_path):
    text = f"# Jos\xe9\n{cif.P1}".replace("\n", "\r\n")
    assert len(one(written(tmp_path, "a.cif", text.encode("latin-1"))).atoms) == 5
    assert len(one(written(tmp_path, "b.cif", b"\xef\xbb\xbf" + cif.P1.encode())).atoms) == 5


@pytest.mark.parametrize(
    "name", ["a.cif", "a.extxyz", "a.json", "a.csv", "a.parquet", "POSCAR", "a.traj", "a.db", "a.odd"]
)
@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"", b"\x1f\x8b\x08 no gzip", b"hello, world\n"])
def test_what_is_no_crystal_file_is_refused(tmp_path, name, content):
    refusal(written(tmp_path, name, content))


@pytest.mark.parametrize("name", ["a.extxyz", "a.cif", "a.json", "a.csv", "a.parquet", "POSCAR", "a.traj", "a.db"])
def test_missing_file_and_folder(tmp_path, name):
    assert "no such file" in refusal(tmp_path / name)
    (tmp_path / name).mkdir()
    assert "folder" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json", "a.cif.gz", "a.parquet"])
def test_truncated_file(tmp_path, name):
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(cif.P1.encode()))
    elif name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.table({"cif": [cif.P1]}), path)
    else:
        ase.io.write(path, [triclinic(), triclinic()])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    records = list(read(path))
    assert records[-1].atoms is None
    assert records[-1].index == len(records) - 1


def test_unreadable_file(tmp_path, monkeypatch):
    path = written(tmp_path, "a.cif", cif.P1)

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", denied)
    assert "permission" in refusal(path)


def test_extxyz_frames_are_independent(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [salt("a"), triclinic("b"), salt("c")])
    lines = path.read_text().splitlines()
    del lines[6]
    path.write_text("\n".join([*lines, "0", "", "2", "Lattice=broken", "Na 0 0 0", "Na x 0 0"]) + "\n")
    records = list(read(path))
    assert [(r.index, r.id) for r in records] == [(0, "a"), (1, None), (2, "c"), (3, None), (4, None)]
    assert [r.atoms is None for r in records] == [False, True, False, True, True]
    assert "announces 5 atoms and has lines for 4" in records[1].error
    assert "no atoms" in records[3].error
    assert records[2].atoms.positions == pytest.approx(salt().positions, abs=1e-8)


def test_extxyz_keeps_everything(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, salt("x"))
    atoms = one(path).atoms
    assert atoms.info == {"material_id": "x", "gap": 8.5}
    assert atoms.arrays["site"].tolist() == [7, 8]
    assert atoms.positions == pytest.approx(salt().positions, abs=1e-8)


def structure_dict(**changes):
    structure = Structure(Lattice.cubic(4.2), ["Cs+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return {**json.loads(structure.to_json()), **changes}


def test_pymatgen_json(tmp_path):
    disordered = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.4}], [[0, 0, 0]])
    dummy = Structure(Lattice.cubic(3), [DummySpecies("X")], [[0, 0, 0]])
    entries = [
        {"material_id": "mp-22865", "structure": structure_dict()},
        json.loads(disordered.to_json()),
        json.loads(dummy.to_json()),
        structure_dict(sites=[]),
        structure_dict(lattice="nonsense"),
        "nonsense",
        structure_dict(),
    ]
    path = written(tmp_path, "a.json", json.dumps(entries))
    records = list(read(path))
    assert [r.atoms is not None for r in records] == [True, False, False, False, False, False, True]
    assert records[0].id == "mp-22865"
    assert records[0].atoms.get_chemical_symbols() == ["Cs", "Cl"]
    messages = [str(r.error) for r in records]
    for message, part in zip(messages[1:4], ["site 0 (Fe", "dummy", "no atoms"], strict=True):
        assert part in message


def test_deuterium_in_pymatgen_json(tmp_path):
    content = structure_dict()
    content["sites"][0]["species"] = [{"element": "D", "occu": 1}]
    atoms = one(written(tmp_path, "a.json", json.dumps(content))).atoms
    assert atoms.get_chemical_symbols() == ["H", "Cl"]
    assert atoms.get_masses()[0] == pytest.approx(2.014)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_table(tmp_path, name):
    rows = {"material_id": ["one", "two", "three"], "cif": [cif.P1, "", cif.BY_SYMBOL], "extra": [1, 2, 3]}
    path = tmp_path / name
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.table(rows), path)
    else:
        with gzip.open(path, "wt", newline="") if name.endswith("gz") else path.open("w", newline="") as handle:
            table = csv.writer(handle)
            table.writerow(rows)
            table.writerows(zip(*rows.values(), strict=True))
    records = list(read(path))
    assert [(r.id, r.atoms is None) for r in records] == [("one", False), ("two", True), ("three", False)]
    assert "no CIF text" in records[1].error


def test_table_without_cif(tmp_path):
    assert "no column named cif" in refusal(written(tmp_path, "a.csv", "a,b\n1,2\n"))


def test_csv_rows_are_independent(tmp_path):
    rows = [f'a{index},"{cif.P1}",caf\xe9' for index in range(4)]
    rows[1] += ",one too many"
    rows[2] = rows[2].replace('",caf', '"stray,caf')
    path = written(tmp_path, "a.csv", ("material_id,cif,note\n" + "\n".join(rows) + "\n").encode("latin-1"))
    first, second, third, fourth = read(path)
    assert (first.id, fourth.id, first.atoms.info["note"]) == ("a0", "a3", "caf\xe9")
    assert second.error.startswith("the row has 4 cells under 3 names")
    assert third.error.startswith("the row is no CSV")


def test_a_frame_that_is_no_text_does_not_hide_the_others(tmp_path):
    ase.io.write(tmp_path / "a.extxyz", [salt("a"), salt("b"), salt("c")])
    text = (tmp_path / "a.extxyz").read_text().replace("id=b", "id=b\0")
    found = list(read(written(tmp_path, "b.extxyz", text)))
    assert [record.id for record in found] == ["a", None, "c"]
    assert found[1].error == "not a text file; check its format"


def test_charges_and_spins_of_pymatgen_json(tmp_path):
    structure = Structure(Lattice.cubic(4), [Species("Fe", 2, spin=4), "O"], [[0, 0, 0], [0.5, 0.5, 0.5]], charge=2)
    atoms = one(written(tmp_path, "a.json", structure.to_json())).atoms
    assert atoms.info["charge"] == 2
    assert atoms.get_initial_magnetic_moments().tolist() == [4, 0]


def test_csv_cut_off_within_a_cif(tmp_path):
    path = written(tmp_path, "a.csv", f'cif\n"{cif.P1}"\n"{cif.P1[: cif.P1.rindex("O  O4")]}')
    records = list(read(path))
    assert [r.atoms is None for r in records] == [False, True]
    assert records[1].index == 1


def test_poscar(tmp_path):
    path = tmp_path / "POSCAR"
    ase.io.write(path, salt())
    assert one(path).atoms.get_chemical_symbols() == ["Na", "Cl"]
    path.write_text(path.read_text().replace("Na", "Qq"))
    refusal(path)


def test_left_handed_poscar_stays_left_handed(tmp_path):
    atoms = triclinic()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]], scale_atoms=True)
    assert np.linalg.det(atoms.cell) < 0
    ase.io.write(tmp_path / "a.vasp", atoms)
    assert one(tmp_path / "a.vasp").atoms.cell.array == pytest.approx(atoms.cell.array)


def test_database(tmp_path):
    with connect(tmp_path / "a.db", serial=True) as database:
        database.write(triclinic(), key_value_pairs={"material_id": "mp-x"}, data={"note": [1, 2]})
    record = one(tmp_path / "a.db")
    assert record.id == "mp-x"
    assert record.atoms.info["note"] == [1, 2]


def test_at_sign_in_a_name(tmp_path):
    ase.io.write(tmp_path / "b.traj", Atoms("Na", cell=[3, 3, 3], pbc=True))
    assert one((tmp_path / "b.traj").rename(tmp_path / "run@300.traj")).atoms is not None


def test_identifier_stays_on_one_line(tmp_path):
    path = written(tmp_path, "a.csv", f'material_id,cif\n"two\nlines","{cif.P1}"\n')
    assert one(path).label.endswith("[0] (two lines)")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.extxyz", '1\nLattice="3 0 0 0 3 0 0 0 3"\nXx 0 0 0\n'),
        ("POSCAR", "x\n1.0\n3 0 0\n0 3 0\n0 0 3\nXx\n1\nDirect\n0 0 0\n"),
    ],
)
def test_an_unknown_element_is_called_that(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (record,) = read(tmp_path / name)
    assert record.error == "unknown element 'Xx'; replace it by an element"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Properties=species:S:1:pxs:R:3\nNa 0 0 0\n", "its Properties lack species (or Z) or pos"),
        ("Properties=species:S:1:pos:R:3\nNa 0 0 0 0.5\n", "atom 0 has 5 columns where Properties announces 4"),
        ("Properties=species:S:1:pos:R\nNa 0 0 0\n", "are not NAME:TYPE:COLUMNS"),
    ],
)
def test_columns_of_extxyz_that_are_not_those_announced(tmp_path, text, message):
    assert message in refusal(written(tmp_path, "a.extxyz", f'1\nLattice="3 0 0 0 3 0 0 0 3" {text}'))


def test_more_columns_of_xyz_are_fine_where_none_are_announced(tmp_path):
    text = '1\nLattice="3 0 0 0 3 0 0 0 3"\nNa 0 0.5 0 0.1 0.2 0.3\n'
    assert one(written(tmp_path, "a.xyz", text)).atoms.positions.tolist() == [[0, 0.5, 0]]


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    text = cif.BY_OPERATORS.replace("'y, x, -z'", "'y, x\x0e, -z'")
    record = one(written(tmp_path, "a.csv", f'material_id,cif\n"\x1b[2Jx","{text.replace(chr(34), chr(34) * 2)}"\n'))
    assert record.label.endswith("[0] (?[2Jx)")
    assert record.error.isprintable()


TEXTS = {
    "cif": "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
    "_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
    "_atom_site_fract_y\n_atom_site_fract_z\nNa 0 0 0\n",
    "extxyz": '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nNa 0 0 0\n',
    "poscar": "salt\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa\n1\nDirect\n0 0 0\n",
    "json": '{"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}, "sites": [{"species": [{"element": '
    '"Na", "occu": 1}], "abc": [0, 0, 0]}]}',
}
ENDINGS = {"cif": "a.cif", "extxyz": "a.xyz", "poscar": "POSCAR", "json": "a.json"}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("change", [lambda text: text, lambda text: "\ufeff" + text.replace("\n", "\r\n")])
def test_a_text_is_read_as_the_file_would_be(tmp_path, kind, change) -> None:
    text = change(TEXTS[kind])
    path = tmp_path / ENDINGS[kind]
    path.write_bytes(text.encode())
    (expected,) = read(path)
    for name in (ENDINGS[kind], "pasted", "a.txt"):
        (found,) = read_texts([(name, text)])
        assert (found.file, found.index, found.error) == (name, 0, None)
        assert found.atoms == expected.atoms
        assert format_of_text(text, name) == kind
    assert found.id == ("x" if kind == "cif" else "a")


def test_texts_are_numbered_and_one_does_not_hide_another() -> None:
    found = list(
        read_texts([("a", TEXTS["extxyz"] * 2), ("b.cif", TEXTS["poscar"]), ("c", ""), ("d", "?"), ("e", "\0")])
    )
    assert [(record.file, record.index, record.atoms is None) for record in found] == [
        ("a", 0, False),
        ("a", 1, False),
        ("b.cif", 0, True),
        ("c", 0, True),
        ("d", 0, True),
        ("e", 0, True),
    ]
    assert all("; " in str(record.error) for record in found[2:])
