"""What pymatgen writes beside lattice and sites: flags, labels, properties, objects."""

import json
import warnings

import numpy as np
import pytest
from ase.constraints import FixBondLength
from pymatgen.core import Composition, Lattice, Species, Structure
from pymatgen.electronic_structure.core import Magmom
from support.relaxing import salt

from empnn.data.reading import read
from empnn.data.writing import writer

RICH = ["b.json", "b.extxyz", "b.cif", "b.csv", "b.parquet", "b.db", "b.traj"]


def structure(species=("Mg", "O"), **options):
    return Structure(Lattice.cubic(4.1), species, [[0, 0, 0], [0.5, 0.5, 0.5]], **options)


def read_one(path):
    (record,) = read(path)
    return record


def converted(folder, given, name="b.json"):
    """The crystal after a way through another format."""
    (folder / "a.json").write_text(given.to_json())
    writer(folder / name)([read_one(folder / "a.json").atoms])
    return read_one(folder / name).atoms


def by_pymatgen(folder, given):
    """What pymatgen reads of what we write."""
    converted(folder, given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_file(folder / "b.json")


@pytest.mark.parametrize(
    ("flags", "written"),
    [
        ([[True] * 3, None], None),
        ([None, None], None),
        ([None, [True, False, True]], [[True] * 3, [True, False, True]]),
        ([[False] * 3, [True, False, True]], [[False] * 3, [True, False, True]]),
        ([[1, 1, 0], [0, 0, 0]], [[True, True, False], [False] * 3]),
    ],
)
@pytest.mark.parametrize("as_arrays", [False, True])
def test_flags(tmp_path, flags, written, as_arrays):
    given = [None if f is None else np.array(f) for f in flags] if as_arrays else flags
    back = by_pymatgen(tmp_path, structure(site_properties={"selective_dynamics": given}))
    assert back.site_properties.get("selective_dynamics") == written


def test_flags_that_are_missing_altogether_on_a_site(tmp_path):
    content = structure(site_properties={"selective_dynamics": [[True, False, True]] * 2}).as_dict()
    del content["sites"][1]["properties"]["selective_dynamics"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    (constraint,) = read_one(tmp_path / "a.json").atoms.constraints
    assert (constraint.index.tolist(), constraint.mask.tolist()) == ([0], [False, True, False])


@pytest.mark.parametrize("flags", [[[True], [True]], ["TTT", "FFF"], [True, False], [[True, None, True]] * 2])
def test_flags_that_are_none(tmp_path, flags):
    (tmp_path / "a.json").write_text(structure(site_properties={"selective_dynamics": flags}).to_json())
    assert read_one(tmp_path / "a.json").error.startswith(
        "selective_dynamics are not three truth values for each site;"
    )


def test_other_constraints_come_back(tmp_path):
    atoms = salt()
    atoms.set_constraint(FixBondLength(0, 1))
    writer(tmp_path / "a.json")([atoms])
    assert [c.todict() for c in read_one(tmp_path / "a.json").atoms.constraints] == [atoms.constraints[0].todict()]


@pytest.mark.parametrize("labels", [["Mg_oct", "O_ap"], ["Mg", "O_ap"], ["Mg1", "O1"], ["a b", "c"]])
@pytest.mark.parametrize("name", RICH)
def test_labels(tmp_path, labels, name):
    atoms = converted(tmp_path, structure(labels=labels), name)
    assert atoms.arrays["labels"].tolist() == labels
    assert by_pymatgen(tmp_path, structure(labels=labels)).labels == labels


@pytest.mark.parametrize("species", [("Mg", "O"), ("Mg2+", "O2-"), (Species("Mg", 2, spin=1), "O2-")])
def test_labels_that_are_the_species_are_none(tmp_path, species):
    assert "labels" not in converted(tmp_path, structure(species)).arrays


PROPERTIES = {
    "magmom": [1.5, -1.5],
    "charge": [1.25, -1.25],
    "coordination": [6, 4],
    "wyckoff": ["a", "b"],
    "velocities": [[0.5, 0.0, 0.0], [0.0, 0.25, 0.0]],
    "final_magmom": [1.0, 2.0],
    "tags": [3, 4],
    "mixed": [1, "x"],
    "described": [{"a": 1}, {"b": [1, 2]}],
    "ragged": [[1], [1, 2]],
    "pairs": [["a", 1], ["b", 2]],
}


@pytest.mark.parametrize("name", RICH)
@pytest.mark.parametrize("missing", [(), (0,), (0, 1)])
def test_site_properties_keep_their_names_and_values(tmp_path, name, missing):
    given = {
        key: [None if i in missing else value for i, value in enumerate(values)] for key, values in PROPERTIES.items()
    }
    if missing:
        del given["tags"]
    atoms = converted(tmp_path, structure(site_properties=given), name)
    writer(tmp_path / "c.json")([atoms])
    content = json.loads((tmp_path / "c.json").read_text())
    found = {key: [site["properties"][key] for site in content["sites"]] for key in given}
    assert found == given


def test_moments_and_charges_are_those_of_ase_too(tmp_path):
    atoms = converted(tmp_path, structure(site_properties={"magmom": [[0, 0, 1.5], [0, 1, 0]], "charge": [1, -1]}))
    assert atoms.get_initial_magnetic_moments().tolist() == [[0, 0, 1.5], [0, 1, 0]]
    assert atoms.get_initial_charges().tolist() == [1, -1]


def test_properties_cannot_take_the_place_of_atoms(tmp_path):
    given = structure(site_properties={"positions": [1, 2], "numbers": [3, 4], "masses": ["a", "b"]})
    atoms = converted(tmp_path, given)
    assert atoms.get_chemical_symbols() == ["Mg", "O"]
    assert atoms.positions.tolist() == [[0, 0, 0], [2.05, 2.05, 2.05]]
    assert atoms.arrays["site_masses"].tolist() == ["a", "b"]


def test_objects_come_back_as_objects(tmp_path):
    moments = [Magmom(1.5), Magmom([0, 1, 0])]
    properties = {"formula": Composition("MgO"), "array": np.arange(3.0), "nested": {"array": np.arange(2)}}
    given = structure(site_properties={"magmom": moments}, properties=properties)
    back = by_pymatgen(tmp_path, given)
    assert back.site_properties["magmom"] == moments
    assert back.properties["formula"]["@class"] == "Composition"
    assert back.properties["array"] == [0, 1, 2]
    assert back.properties["nested"] == {"array": [0, 1]}


@pytest.mark.parametrize("name", RICH)
def test_charge_of_the_structure(tmp_path, name):
    given = structure(("Mg2+", "O"), charge=2)
    assert converted(tmp_path, given, name).info["charge"] == 2
    assert by_pymatgen(tmp_path, given)._charge == 2
