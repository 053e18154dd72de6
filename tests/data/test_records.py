"""What of a crystal belongs to its cell, and errors of parsers in words."""

import numpy as np
import pytest
from support.relaxing import salt

from empnn.ase_atoms import as_array, with_input_results
from empnn.data.records import unreadable

OF_THE_CELL = [
    *("energy", "free_energy", "REF_energy", "mace_energy", "dft_energy", "vasp_energy", "energy_per_atom", "Energy"),
    *("TotEnergy", "energies", "atomic_energies", "formation_energy_per_atom", "e_above_hull", "ehull", "TOTEN", "E0"),
    *(
        "ef_per_atom",
        "enthalpy",
        "REF_stress",
        "stress",
        "vasp_stress",
        "virial",
        "virials",
        "REF_virials",
        "max_force",
    ),
    *("forces", "force", "REF_forces", "DFTForces", "dft-forces", "energy_uncertainty"),
]
OF_THE_CRYSTAL = [
    *("config_type", "energy_weight", "config_forces_weight", "energy_cutoff", "cutoff_energy", "force_tolerance"),
    *("stress_tol", "external_stress", "forcefield", "force_field_id", "energy_units", "charge", "temperature", "eta"),
    *("input_energy", "elements_count", "magmom", "band_gap", "unit_cell", "mode", "weight", "distressed"),
]


@pytest.mark.parametrize("value", [-7.0, np.float64(-7.0), 3, [1.0, 2.0], np.arange(9.0), np.eye(3)])
def test_energies_of_any_program_are_those_of_the_input(value):
    atoms = salt()
    atoms.info = dict.fromkeys(OF_THE_CELL + OF_THE_CRYSTAL, value)
    found = with_input_results(atoms).info
    assert set(found) == {*OF_THE_CRYSTAL, *(f"input_{name}" for name in OF_THE_CELL)}
    assert list(atoms.info) == OF_THE_CELL + OF_THE_CRYSTAL


def test_arrays_of_forces_too():
    atoms = salt()
    for name in ("REF_forces", "mace_forces", "local_virial", "forces_weight", "labels"):
        atoms.set_array(name, np.ones((2, 3)))
    found = set(with_input_results(atoms).arrays) - {"numbers", "positions", "site"}
    assert found == {"input_REF_forces", "input_mace_forces", "input_local_virial", "forces_weight", "labels"}


@pytest.mark.parametrize("value", ["PBE", True, None, {"value": 1.0}, [{"name": "x"}], ["a", "b"], [[1], [1, 2]]])
def test_what_is_no_number_keeps_its_name(value):
    atoms = salt()
    atoms.info = {"energy_source": value, "energy": value}
    assert with_input_results(atoms).info == {"energy_source": value, "input_energy": value}


@pytest.mark.parametrize(
    ("values", "kind", "shape"),
    [
        ([1, 2], "i", (2,)),
        ([1.5, 2], "f", (2,)),
        ([True, False], "b", (2,)),
        (["a", "b"], "U", (2,)),
        ([[1, 2], [3, 4]], "i", (2, 2)),
        ([1, "a"], "O", (2,)),
        ([1, None], "O", (2,)),
        ([[1], [2, 3]], "O", (2,)),
        ([["a", 1], ["b", 2]], "O", (2, 2)),
        ([{"a": 1}, None], "O", (2,)),
    ],
)
def test_one_value_per_atom(values, kind, shape):
    array = as_array(values)
    assert (array.dtype.kind, array.shape, array.tolist()) == (kind, shape, values)


@pytest.mark.parametrize(
    "error", [KeyError("positions"), KeyError(), AssertionError(), AssertionError("x"), KeyError(3)]
)
def test_errors_of_programs_are_put_in_words(error):
    assert unreadable(error).startswith("cannot be read (something in it is missing or out of place); check that")


@pytest.mark.parametrize("symbol", ["Qq", "Na1", "Fe3+", "O2-"])
def test_elements_that_a_parser_does_not_find(symbol):
    assert unreadable(KeyError(symbol)) == f"unknown element '{symbol}'; replace it by an element"
