"""Dialects of extended XYZ: read as they are meant, or refused in words."""

import io
import re

import numpy as np
import pytest
from ase.constraints import FixAtoms, FixCartesian, FixScaled
from support.relaxing import salt

from empnn.ase_atoms import is_deuterium
from empnn.data.formats import extxyz

CELL = [[5.6, 0.0, 0.0], [0.5, 5.6, 0.0], [0.0, 0.25, 5.6]]
LATTICE = 'Lattice="5.6 0 0 0.5 5.6 0 0 0.25 5.6"'
PROPERTIES = "Properties=species:S:1:pos:R:3"
ROWS = "Na 0 0 0\nCl 2.8 2.8 2.8\n"


def record(comment, rows=ROWS):
    text = f"2\n{comment}\n{rows}"
    (entry,) = extxyz.entries_of_stream(io.BytesIO(text.encode()))
    return entry.record("a.extxyz", 0)


def atoms_of(comment, rows=ROWS):
    found = record(comment, rows)
    assert found.error is None
    return found.atoms


def error_of(comment, rows=ROWS):
    """The refusal, in which no exception of Python shows."""
    found = record(comment, rows)
    assert found.atoms is None
    assert "; " in found.error
    assert not re.search(r"\w(Error|Exception)\b", found.error)
    return found.error


@pytest.mark.parametrize(
    "lattice",
    [
        "[[5.6, 0.0, 0.0], [0.5, 5.6, 0.0], [0.0, 0.25, 5.6]]",
        "[[5.6,0,0],[0.5,5.6,0],[0,0.25,5.6]]",
        "[ [5.6 0 0] , [0.5 5.6 0] , [0 0.25 5.6] ]",
        '"[[5.6, 0, 0], [0.5, 5.6, 0], [0, 0.25, 5.6]]"',
        '"_JSON [[5.6, 0, 0], [0.5, 5.6, 0], [0, 0.25, 5.6]]"',
        "{{5.6 0 0} {0.5 5.6 0} {0 0.25 5.6}}",
        "((5.6, 0, 0), (0.5, 5.6, 0), (0, 0.25, 5.6))",
        "[5.6, 0, 0, 0.5, 5.6, 0, 0, 0.25, 5.6]",
        "{5.6 0 0 0.5 5.6 0 0 0.25 5.6}",
        '"5.6, 0, 0, 0.5, 5.6, 0, 0, 0.25, 5.6"',
        "'5.6 0 0 0.5 5.6 0 0 0.25 5.6'",
    ],
)
@pytest.mark.parametrize("equals", ["=", " = "])
def test_lattices(lattice, equals):
    atoms = atoms_of(f"config=a Lattice{equals}{lattice} {PROPERTIES} energy=-3.5")
    assert atoms.cell.array.tolist() == CELL
    assert atoms.pbc.all()
    assert (atoms.info, atoms.calc.results) == ({"config": "a"}, {"energy": -3.5})


@pytest.mark.parametrize(
    "lattice",
    [
        '"5.6 0 0 0 5.6"',
        "[[5.6, 0], [0, 5.6]]",
        "cubic",
        "5.6",
        '"5.6 0 0 0 {5.6} 0 0 0 5.6"',
        '"5.6 0 0 0 \'5.6 0 0 0 5.6"',
        '"a b c d e f g h i"',
        "[[5.6",
    ],
)
def test_what_is_no_lattice(lattice):
    assert "; correct" in error_of(f"Lattice={lattice} {PROPERTIES}")


@pytest.mark.parametrize(
    ("written", "pbc"),
    [
        *(("[T, T, F]", [1, 1, 0]), ('"T T F"', [1, 1, 0]), ("[true,true,false]", [1, 1, 0]), ("{T F T}", [1, 0, 1])),
        *(('"True True False"', [1, 1, 0]), ('"1 0 1"', [1, 0, 1]), ("T", [1, 1, 1]), ("F", [0, 0, 0])),
    ],
)
def test_directions_of_periodicity(written, pbc):
    assert atoms_of(f"{LATTICE} {PROPERTIES} pbc={written}").pbc.tolist() == pbc


@pytest.mark.parametrize("written", ["TTF", '"T F"', "[]"])
def test_what_is_no_periodicity(written):
    assert error_of(f"{LATTICE} {PROPERTIES} pbc={written}").startswith("its pbc is ")


@pytest.mark.parametrize(
    "written",
    [
        *('"1 2 3 4 5 6"', "[1, 2, 3, 4, 5, 6]", "{1 2 3 4 5 6}", '"1, 2, 3, 4, 5, 6"'),
        *('"1 6 5 6 2 4 5 4 3"', "[[1, 6, 5], [6, 2, 4], [5, 4, 3]]", '"[[1, 6, 5], [6, 2, 4], [5, 4, 3]]"'),
    ],
)
def test_tensors_of_six_and_of_nine(written):
    atoms = atoms_of(f"{LATTICE} {PROPERTIES} stress={written} virial={written}")
    assert atoms.calc.results["stress"].tolist() == [1, 2, 3, 4, 5, 6]
    assert atoms.info["virial"].tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]


@pytest.mark.parametrize("written", ["5.0", '"none"', '"1 2 3"', "[[1, 2], [3, 4]]", '"1 2 3 4 5 x"'])
@pytest.mark.parametrize("key", ["stress", "virial"])
def test_tensors_of_other_sizes(key, written):
    assert error_of(f"{LATTICE} {PROPERTIES} {key}={written}").startswith(f"its {key} is ")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[[1.5, 2], [3, 4e-1]]", [[1.5, 2], [3, 0.4]]),
        ("[[T, F], [F, T]]", [[True, False], [False, True]]),
        ('[["a b", "c"], ["d", "e"]]', [["a b", "c"], ["d", "e"]]),
        ('["a b", "c"]', ["a b", "c"]),
        ('{"a": 1, "b": "x y"}', {"a": 1, "b": "x y"}),
        ("[1, 2, 3]", [1, 2, 3]),
        ('"[[1, 2], [3, 4]]"', "[[1, 2], [3, 4]]"),
        ('"Lattice=[[1, 2], [3, 4]]"', "Lattice=[[1, 2], [3, 4]]"),
    ],
)
def test_arrays_of_the_newer_kind(written, value):
    atoms = atoms_of(f"{LATTICE} some={written} {PROPERTIES} after=7")
    found = atoms.info["some"]
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == value
    assert atoms.info["after"] == 7
    assert atoms.cell.array.tolist() == CELL


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        *(("element:S:1:pos:R:3", ROWS), ("symbols:S:1:pos:R:3", ROWS), ("elements:S:1:positions:R:3", ROWS)),
        ("pos:R:3:chemical_symbol:S:1", "0 0 0 Na\n2.8 2.8 2.8 Cl\n"),
        ("species:S:1:pos:R:3", "NA 0 0 0\ncl 2.8 2.8 2.8\n"),
        *((f"{name}:1:pos:R:3", "11 0 0 0\n17 2.8 2.8 2.8\n") for name in ("Z:I", "numbers:I", "atomic_numbers:I")),
        ("species:S:1:pos:R:3:Z:I:1", "Na 0 0 0 11\nCl 2.8 2.8 2.8 17\n"),
        ("id:I:1:pos:R:3:forces:R:3:species:S:1", "1 0 0 0 1 1 1 Na\n2 2.8 2.8 2.8 0 0 0 Cl\n"),
    ],
)
def test_species_under_other_names(columns, rows):
    atoms = atoms_of(f"{LATTICE} Properties={columns}", rows)
    assert atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert atoms.positions.tolist() == [[0, 0, 0], [2.8, 2.8, 2.8]]
    assert set(atoms.arrays) <= {"numbers", "positions", "id"}


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("species:S:1:pos:R:3:Z:I:1", "Na_a 0 0 0 11\nCl1 2.8 2.8 2.8 17\n"),
        ("species:S:1:element:S:1:pos:R:3", "Na_a Na 0 0 0\nCl1 Cl 2.8 2.8 2.8\n"),
    ],
)
def test_labels_beside_elements_are_labels(columns, rows):
    atoms = atoms_of(f"{LATTICE} Properties={columns}", rows)
    assert atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert atoms.arrays["labels"].tolist() == ["Na_a", "Cl1"]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("id:I:1:species:S:1:pos:R:3", "1 D 0 0 0\n2 Cl 2.8 2.8 2.8\n"),
        ("pos:R:3:species:S:1", "0 0 0 D\n2.8 2.8 2.8 Cl\n"),
        ("pos:R:3:note:S:1:element:S:1", "0 0 0 D D\n2.8 2.8 2.8 x Cl\n"),
        ("species:S:1:pos:R:3:Z:I:1", "D 0 0 0 1\nCl 2.8 2.8 2.8 17\n"),
    ],
)
def test_deuterium_in_any_column(columns, rows):
    atoms = atoms_of(f"{LATTICE} Properties={columns}", rows)
    assert atoms.get_chemical_symbols() == ["H", "Cl"]
    assert is_deuterium(atoms).tolist() == [True, False]


@pytest.mark.parametrize("word", ["Na1", "Na_a", "O_ap", "Na+", "Fe3+", "1", "11", "(Na)", "Na.5"])
def test_labels_and_numbers_for_species(word):
    error = error_of(f"{LATTICE} {PROPERTIES}", f"Cl 0 0 0\n{word} 2.8 2.8 2.8\n")
    assert error == (
        f"species {word!r} of atom 1 is no symbol of an element; write the symbol, "
        "and labels in a column of their own (labels:S:1), atomic numbers in one called Z"
    )


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        ("species:S:1:pos:R:3", "Qq 0 0 0\nCl 1 1 1\n", "unknown element 'Qq'; replace it by an element"),
        ("species:I:1:pos:R:3", "11 0 0 0\n17 1 1 1\n", "its species are no text; write symbols of elements, or call"),
        ("type:S:1:pos:R:3", ROWS, "its Properties lack species (or Z) or pos"),
        ("species:S:1:pos:R:3:Z:I:1", "Na 0 0 0 11\nCl 1 1 1 18\n", "atom 1 is Cl and has another number as Z"),
        ("Z:R:1:pos:R:3", "11.5 0 0 0\n17 1 1 1\n", "its atomic numbers are no whole numbers"),
        ("species:S:1:pos:R:2", "Na 0 0\nCl 1 1\n", "its Properties announce pos as something else than pos:R:3"),
        ("species:S:1:pos:R:3:pos:R:3", "Na 0 0 0 1 1 1\nCl 1 1 1 2 2 2\n", "name a column twice"),
        ("species:S:1:pos:Q:3", ROWS, "are not NAME:TYPE:COLUMNS"),
        ("species:S:1:pos:R:3", "Na 0 0 0\nCl 1 x 1\n", "positions of atom 1 is 'x', which is not a number"),
        ("species:S:1:pos:R:3:tags:I:1", "Na 0 0 0 1\nCl 1 1 1 1.5\n", "tags of atom 1 is '1.5', which is not a whole"),
        ("species:S:1:pos:R:3:free:L:1", "Na 0 0 0 T\nCl 1 1 1 x\n", "free of atom 1 is 'x', which is not T or F"),
    ],
)
def test_columns_that_say_nothing_sensible(columns, rows, message):
    assert message in error_of(f"{LATTICE} Properties={columns}", rows)


def test_properties_in_small_letters_are_not_passed_over():
    text = f"{LATTICE} properties=species:S:1:forces:R:3:pos:R:3"
    assert "call them Properties" in error_of(text, "Na 0 0 0 1 1 1\nCl 1 1 1 2 2 2\n")


@pytest.mark.parametrize(
    ("kind", "flags", "expected"),
    [
        ("L:3", ["T F T", "F F F"], [FixAtoms([1]), FixCartesian([0], [False, True, False])]),
        ("L:1", ["T", "F"], [FixAtoms([1])]),
        ("I:1", ["0", "1"], [FixAtoms([0])]),
        ("L:3", ["T T T", "T T T"], []),
    ],
)
def test_masks_of_what_moves(kind, flags, expected):
    rows = f"Na 0 0 0 {flags[0]}\nCl 1 1 1 {flags[1]}\n"
    atoms = atoms_of(f"{LATTICE} {PROPERTIES}:move_mask:{kind}", rows)
    assert list(map(repr, atoms.constraints)) == list(map(repr, expected))


def test_names_of_arrays_that_mean_something_else_in_a_column():
    atoms = salt()
    arrays = {"Z": [1, 2], "species": ["a", "b"], "pos": [0.5, 1.5], "charge": [1, None], "move_mask": [0, 1]}
    for name, values in arrays.items():
        atoms.set_array(name, np.array(values))
    atoms.set_constraint([FixScaled([0], [True, False, False]), FixCartesian([1], [False, False, True])])
    (entry,) = extxyz.entries_of_stream(io.BytesIO(extxyz.text_from_atoms(atoms).encode()))
    back = entry.record("", 0).atoms
    assert {name: back.arrays[name].tolist() for name in arrays} == arrays
    assert back.numbers.tolist() == atoms.numbers.tolist()
    assert sorted(map(repr, back.constraints)) == sorted(map(repr, atoms.constraints))
