"""Every format into every other: what comes back is the same crystal, with what belongs to it where there is room."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixScaled
from support.relaxing import salt, triclinic

from empnn import symmetry
from empnn.ase_atoms import is_deuterium, mark_deuterium, with_results_kept
from empnn.bulk.pipeline import Conversion, process
from empnn.crystals import from_atoms
from empnn.data.reading import read
from empnn.data.writing import FORMATS, writer

RICH = [".extxyz", ".cif", ".csv", ".parquet", ".feather", ".json", ".traj", ".db"]
"""Formats of any number of structures, with info and arrays."""
BARE = [".vasp", ".poscar"]
"""Formats of one structure and no more than that."""
PAIRS_WITH_BARE = [pair for pair in product(RICH + BARE, repeat=2) if not set(pair) <= set(RICH)]


@pytest.fixture
def crystals(generator):
    """A plain one, a skewed left-handed one in a general orientation, and one that carries all there is to lose."""
    skew = symmetry.random_unimodular(1, generator, factors=6, largest=3)
    moved = symmetry.rotate(
        symmetry.change_basis(from_atoms(triclinic()), skew), symmetry.random_orthogonal(1, generator)
    )
    cell = moved.cell[0].numpy()
    cell = cell if np.linalg.det(cell) < 0 else cell * [1, 1, -1]
    skewed = Atoms(moved.numbers.numpy(), scaled_positions=moved.frac.numpy(), cell=cell, pbc=True)
    full = salt("mp-3 of 3")
    full.info.update(energy_per_atom=-3.25, count=7, checked=True, note='it\'s "quoted", 100 %', path=[1.5, 2.5])
    full.info["nested"] = {"a": [1, 2], "b": "text"}
    full.set_tags([3, 4])
    full.set_initial_magnetic_moments([1.5, -0.5])
    full.set_array("oxi_states", np.array([1, -1]))
    full.set_array("vector", np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]))
    full.set_constraint([FixAtoms([1]), FixScaled([0], [True, False, True])])
    full = full + Atoms("H", positions=[full.cell.sum(0) * 0.3])
    full.set_array("labels", np.array(["Na1", "Cl1'", "H1"]))
    return [triclinic("mp-1"), skewed, mark_deuterium(full, [2])]


def same_crystal(found, given):
    assert found.numbers.tolist() == given.numbers.tolist()
    assert np.abs(found.cell.array - given.cell.array).max() < 1e-6
    assert np.abs(found.positions - given.positions).max() < 1e-6
    assert found.pbc.all()


def same_belongings(found, given):
    for key, value in given.info.items():
        back = found.info[key]
        assert np.array_equal(back, value) if isinstance(value, list) else back == value, (key, back)
    for name in given.arrays:
        same = np.array_equal if given.arrays[name].dtype.kind == "U" else partial(np.allclose, rtol=0, atol=1e-6)
        assert same(found.arrays[name], given.arrays[name]), name
    assert is_deuterium(found).tolist() == is_deuterium(given).tolist()
    assert list(map(repr, found.constraints)) == list(map(repr, given.constraints))


def convert(given, returned):
    return process([given], returned, Conversion(), on_outcome=lambda outcome: None)


@pytest.mark.parametrize("first", RICH)
@pytest.mark.parametrize("second", RICH)
def test_rich_formats(tmp_path, crystals, first, second):
    writer(tmp_path / f"a{first}")(crystals)
    assert convert(tmp_path / f"a{first}", tmp_path / f"b{second}").written == 3
    found = list(read(tmp_path / f"b{second}"))
    assert [record.error for record in found] == [None] * 3
    assert (found[0].id, found[2].id) == ("mp-1", "mp-3 of 3")
    for record, given in zip(found, crystals, strict=True):
        same_crystal(record.atoms, given)
        same_belongings(record.atoms, given)


@pytest.mark.parametrize(("first", "second"), PAIRS_WITH_BARE)
def test_crystals_alone(tmp_path, crystals, first, second):
    for given in crystals[:2]:
        writer(tmp_path / f"a{first}")([given])
        convert(tmp_path / f"a{first}", tmp_path / f"b{second}")
        (record,) = read(tmp_path / f"b{second}")
        same_crystal(record.atoms, given)


@pytest.mark.parametrize("first", [".extxyz", ".traj"])
@pytest.mark.parametrize("second", RICH)
def test_energies_and_forces_are_kept(tmp_path, first, second):
    given = salt("a")
    given.calc = SinglePointCalculator(given, energy=-3.5, forces=np.array([[0.0, 0.1, 0.2], [0.0, -0.1, -0.2]]))
    writer(tmp_path / f"a{first}")([given])
    convert(tmp_path / f"a{first}", tmp_path / f"b{second}")
    (record,) = read(tmp_path / f"b{second}")
    found = with_results_kept(record.atoms)
    assert found.info["energy"] == -3.5
    assert found.arrays["forces"] == pytest.approx(given.get_forces())


@pytest.mark.parametrize("ending", RICH)
def test_moments_that_are_vectors(tmp_path, ending):
    given = salt("a")
    given.set_initial_magnetic_moments([[0.0, 1.5, 0.5], [0.0, 0.0, -1.0]])
    given.calc = SinglePointCalculator(given, energy=-3.5)
    writer(tmp_path / f"a{ending}")([given])
    (record,) = read(tmp_path / f"a{ending}")
    expected = pytest.approx(given.get_initial_magnetic_moments(), abs=1e-7)
    assert record.atoms.get_initial_magnetic_moments() == expected
    assert with_results_kept(record.atoms).info["energy"] == -3.5


@pytest.mark.parametrize("first", RICH)
@pytest.mark.parametrize("second", RICH)
def test_identifiers_of_digits_beside_others(tmp_path, first, second):
    names = ["0012", "mp-1", "7", "T"]
    writer(tmp_path / f"a{first}")([salt(name) for name in names])
    convert(tmp_path / f"a{first}", tmp_path / f"b{second}")
    assert [record.id for record in read(tmp_path / f"b{second}")] == names


VALUES = {
    "empty": "",
    "words": "two words",
    "lines": "one\ntwo\r\nthree",
    "path": r"C:\new\table",
    "quotes": """it's "quoted" {so} [so] a=b, 100 %""",
    "umlaut": "Grüneisen",
    "digits": "0012",
    "number": "12",
    "exponent": "1e5",
    "nitride": "NaN",
    "truth": "T",
    "true": "true",
    "null": "null",
    "none": "None",
    "list_text": "[1, 2]",
    "marked": "_JSON 5",
    "quoted": '"x"',
    "count": 7,
    "large": 2**70,
    "small": 1e-07,
    "flag": False,
    "one": [5],
    "nothing": [],
    "deep": {"a": {"b": [1, "x"]}, "c": 'say "so" \\ so'},
    "names": ["a b", "c"],
    "matrix": [[1.5, 2.5], [3.5, 4.5]],
    "a key of words": 1,
    "key=with:signs": "x",
    "pbc": "a name that is taken",
    "virial": 3.5,
    "cif": "made by hand",
    "structure": "rocksalt",
    "arrays": [1, 2],
}


@pytest.mark.parametrize("first", RICH)
@pytest.mark.parametrize("second", RICH)
def test_values_keep_their_kind(tmp_path, first, second):
    given = [salt("a"), salt("b"), salt("c")]
    given[0].info.update(VALUES)
    given[1].info.update(dict.fromkeys(["count", "path", "flag"], "text here"))
    writer(tmp_path / f"a{first}")(given)
    convert(tmp_path / f"a{first}", tmp_path / f"b{second}")
    found, other, _ = (record.atoms.info for record in read(tmp_path / f"b{second}"))
    for key, value in VALUES.items():
        back = found[key].tolist() if isinstance(found[key], np.ndarray) else found[key]
        assert (back, isinstance(back, bool)) == (value, isinstance(value, bool)), key
    assert [other[key] for key in ("count", "path", "flag")] == ["text here"] * 3


@pytest.mark.parametrize("first", RICH)
@pytest.mark.parametrize("second", RICH)
def test_arrays_of_any_shape(tmp_path, first, second):
    given = salt("a")
    arrays = {"cube": np.arange(18.0).reshape(2, 3, 3), "label": np.array(["Na 1", ""]), "column": np.array([[1], [2]])}
    for name, array in arrays.items():
        given.set_array(name, array)
    writer(tmp_path / f"a{first}")([given])
    convert(tmp_path / f"a{first}", tmp_path / f"b{second}")
    (record,) = read(tmp_path / f"b{second}")
    for name, array in arrays.items():
        assert record.atoms.arrays[name].tolist() == array.tolist(), name


@pytest.mark.parametrize("ending", sorted(set(FORMATS) - set(RICH)))
def test_variants_of_formats(tmp_path, crystals, ending):
    writer(tmp_path / f"a{ending}")(crystals)
    convert(tmp_path / f"a{ending}", tmp_path / f"b{ending}")
    for record, given in zip(read(tmp_path / f"b{ending}"), crystals, strict=True):
        assert record.error is None
        same_crystal(record.atoms, given)
        same_belongings(record.atoms, given)
