"""CIFs as other programs and people like them: eight digits, ordinary tags, nothing of our own that has one."""

import json
import re
import warnings

import ase.io
import gemmi
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from support import cif_texts as cif
from support.relaxing import salt, triclinic

from empnn import symmetry
from empnn.crystals import from_atoms
from empnn.data.formats.cif import atoms_from_text, named_text_from_atoms, text_from_atoms
from empnn.data.formats.cif.own import LONGEST_LINE, OWN_TAG, in_lines
from empnn.data.formats.cif.plain import PlainCrystals
from empnn.version import __version__

NUMBER = re.compile(r"(?<![\w.])-?\d+\.(\d+)(?![\w.])")


def tags(text):
    """All tags, in order."""
    return re.findall(r"^(_\S+)", text, re.MULTILINE)


def skewed(generator, largest):
    """Five atoms in a basis in which the axes are many times as long as they need be."""
    change = symmetry.random_unimodular(1, generator, factors=8, largest=largest)
    moved = symmetry.change_basis(from_atoms(triclinic()), change)
    return Atoms(moved.numbers.numpy(), scaled_positions=moved.frac.numpy(), cell=moved.cell[0].numpy(), pbc=True)


def test_a_plain_crystal_is_written_in_ordinary_tags():
    atoms = atoms_from_text(cif.P1)
    atoms.info.update(material_id="mp-1", empnn_status="relaxed", empnn_source="x.cif[0]", empnn_error_volume=1.25)
    text = named_text_from_atoms(atoms)
    assert text.startswith("data_mp-1\n_cell_length_a ")
    assert [tag for tag in tags(text) if "empnn" in tag] == ["_empnn_status", "_empnn_source", "_empnn_error_volume"]
    assert f"_audit_creation_method 'empnn {__version__}'" in text
    decimals = [len(digits) for digits in NUMBER.findall(text.replace(__version__, ""))]
    assert decimals.count(8) == 6 + 3 * len(atoms)
    assert set(decimals) == {8, 2}
    again = atoms_from_text(text)
    assert again.info == atoms.info


@pytest.mark.parametrize("left_handed", [False, True])
def test_the_orientation_is_told_by_the_matrix_of_the_dictionary(left_handed):
    atoms = triclinic()
    if left_handed:
        atoms.set_cell(atoms.cell.array[[1, 0, 2]], scale_atoms=False)
    text = text_from_atoms(atoms, "a")
    assert "_empnn_ase" not in text
    block = gemmi.cif.read_string(text).sole_block()
    names = [[f"_atom_sites_Cartn_tran_matrix_{i}{j}" for j in "123"] for i in "123"]
    matrix = np.array([[float(block.find_value(name)) for name in row] for row in names])
    frac = np.array(block.find("_atom_site_fract_", ["x", "y", "z"]), dtype=float)
    assert frac @ matrix.T == pytest.approx(atoms.positions, abs=1e-6)
    again = atoms_from_text(text)
    assert again.cell.array == pytest.approx(atoms.cell.array, abs=1e-8)
    assert again.positions == pytest.approx(atoms.positions, abs=2e-7)
    assert not PlainCrystals().add(text)
    # A matrix of another cell is not believed.
    other = atoms_from_text(re.sub(r"_cell_length_a (\d)", lambda found: f"_cell_length_a {int(found[1]) + 1}", text))
    assert other.cell.lengths()[0] == pytest.approx(atoms.cell.lengths()[0] + 1, abs=1e-6)
    assert other.cell.array[0, 1:] == pytest.approx(0.0)


def test_the_usual_orientation_is_not_told():
    atoms = atoms_from_text(cif.P1)
    assert "matrix" not in text_from_atoms(atoms, "a")
    assert PlainCrystals().add(text_from_atoms(atoms, "a"))


def test_rounding_moves_nothing_however_skewed_the_cell_is(generator):
    found = set()
    for largest in (1, 2, 4, 8):
        atoms = skewed(generator, largest)
        atoms.rattle(0.1)
        text = text_from_atoms(atoms, "a")
        found |= {len(digits) for digits in NUMBER.findall(text.replace(__version__, ""))}
        again = atoms_from_text(text)
        assert again.positions == pytest.approx(atoms.positions, abs=1e-6)
        by_parameters = atoms_from_text(re.sub(r"_atom_sites_Cartn\S+ \S+\n", "", text))
        apart = by_parameters.get_all_distances(mic=False) - atoms.get_all_distances(mic=False)
        assert np.abs(apart).max() < 2e-6
    assert found == {8, 11}


@pytest.mark.parametrize(
    "value", ["relaxed", "12", "1e5", "NaN", "a b", 'it\'s "so"', "?", "", "_x", "café", 7, -2, 1.5, 1e-7]
)
def test_our_own_info_keeps_its_kind(value):
    atoms = salt("a")
    atoms.info["empnn_x"] = value
    text = named_text_from_atoms(atoms)
    assert "\n_empnn_x" in text
    back = atoms_from_text(text).info["empnn_x"]
    assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, "two\nlines", True, None])
def test_what_has_no_tag_is_kept_in_json(value):
    atoms = salt("a")
    atoms.info["empnn_x"] = value
    text = named_text_from_atoms(atoms)
    assert "\n_empnn_x" not in text
    assert atoms_from_text(text).info["empnn_x"] == value


@pytest.mark.parametrize("identifier", ["mp-1", "two words", "structure", "image0", "0012", "café"])
def test_identifiers_are_the_code_of_the_block(identifier):
    text = named_text_from_atoms(salt(identifier))
    assert "material_id" not in text
    assert atoms_from_text(text).info["material_id"] == identifier
    # What other programs mean by it is not known.
    foreign = text.replace(f"'empnn {__version__}'", "SHELXL-2018/3")
    assert "material_id" not in atoms_from_text(foreign).info


def test_constraints_arrays_and_moments_come_back():
    atoms = salt("a")
    atoms.set_constraint(FixAtoms([1]))
    atoms.set_initial_magnetic_moments([[0.0, 1.5, 0.5], [0.0, 0.0, -1.0]])
    text = named_text_from_atoms(atoms)
    assert "_atom_site_moment_crystalaxis_x" in text
    assert "magmoms" not in text
    again = atoms_from_text(text)
    assert again.constraints[0].index.tolist() == [1]
    assert again.arrays["site"].tolist() == [7, 8]
    assert again.get_initial_magnetic_moments() == pytest.approx(atoms.get_initial_magnetic_moments(), abs=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moments = Structure.from_str(text, fmt="cif").site_properties["magmom"]
    lengths = [np.linalg.norm(moment.moment) for moment in moments]
    assert lengths == pytest.approx(np.linalg.norm(atoms.get_initial_magnetic_moments(), axis=1), rel=0.2)


def test_files_of_older_versions_are_read():
    atoms = triclinic()
    text = text_from_atoms(atoms, "a")
    old = re.sub(r"_(audit|atom_sites_Cartn)\S+ .+\n", "", text)
    kept = '{"cell": {"__ndarray__": [[3, 3], "float64", %s]}, "info": {"material_id": "mp-1"}}'
    vectors = [float(x) for x in atoms.cell.array.ravel()]
    old = old.replace("\nloop_", f"\n_empnn_ase '{kept % vectors}'\nloop_", 1)
    again = atoms_from_text(old)
    assert again.cell.array == pytest.approx(atoms.cell.array, abs=1e-12)
    assert again.info == {"material_id": "mp-1"}


def test_other_readers_take_it_for_the_same_crystal(tmp_path):
    atoms = salt("a")
    (tmp_path / "a.cif").write_text(named_text_from_atoms(atoms))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_ase = ase.io.read(tmp_path / "a.cif")
        by_pymatgen = Structure.from_file(tmp_path / "a.cif")
    assert by_ase.cell.cellpar() == pytest.approx(atoms.cell.cellpar(), abs=1e-7)
    assert by_ase.get_all_distances(mic=True) == pytest.approx(atoms.get_all_distances(mic=True), abs=1e-6)
    assert by_pymatgen.volume == pytest.approx(atoms.get_volume(), abs=1e-5)
    assert [site.specie.symbol for site in by_pymatgen] == atoms.get_chemical_symbols()


_LEAF = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
_JSON = st.lists(st.recursive(_LEAF, lambda some: st.lists(some) | st.dictionaries(st.text(max_size=9), some)))


@settings(deadline=None, max_examples=50)
@given(_JSON)
def test_what_has_no_tag_comes_back_from_lines_that_are_not_too_long(kept):
    text = json.dumps(kept + list(range(1000)))
    block = gemmi.cif.Block("a")
    block.set_pair(OWN_TAG, in_lines(text))
    written = block.as_string()
    assert max(map(len, written.splitlines())) <= LONGEST_LINE
    again = gemmi.cif.read_string(written)[0].find_value(OWN_TAG)
    assert json.dumps(json.loads(gemmi.cif.as_string(again))) == text


def test_forces_do_not_make_lines_too_long():
    atoms = salt("a") * (4, 4, 4)
    forces = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    text = named_text_from_atoms(atoms)
    assert max(map(len, text.splitlines())) <= LONGEST_LINE
    assert atoms_from_text(text).arrays["forces"] == pytest.approx(forces, abs=1e-12)
    few = salt("a")
    few.info["some"] = [1, 2]
    assert f"{OWN_TAG} '{{" in named_text_from_atoms(few)
