"""What is special about a crystal and no reason for doubt: the same words for ASE and pymatgen."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Lattice, Species, Structure
from support.relaxing import salt, tiny_network

from empnn.checks.notes import notes
from empnn.relax import Relaxer


def structure(species=("Na", "Cl"), matrix=((4, 0, 0), (0, 4, 0), (0, 0, 4)), charge=None, **properties):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure(Lattice(matrix), list(species), sites, charge=charge, site_properties=properties)


@pytest.mark.parametrize(
    ("crystal", "expected"),
    [
        (structure(), []),
        (structure(magmom=[0.0, 0.0], charge=0), []),
        (structure(["Na+", "Cl-"]), ["oxidation states are ignored"]),
        (structure([Species("Na", None, spin=1), "Cl"]), ["magnetic moments are ignored"]),
        (structure(magmom=[1.0, None]), ["magnetic moments are ignored"]),
        (structure(magmom=[[0, 0, 1.0], [0, 0, 0]]), ["magnetic moments are ignored"]),
        (structure(charge=1), ["charges are ignored"]),
        (structure(["D", "Cl"]), ["deuterium counts as hydrogen"]),
        (structure(["D+", "Cl-"]), ["oxidation states are ignored", "deuterium counts as hydrogen"]),
        (structure(matrix=np.diag([4, 4, -4])), ["left-handed cell, kept so"]),
        (Atoms("Na", cell=np.diag([4, 4, -4]), pbc=True), ["left-handed cell, kept so"]),
        (Atoms("H", masses=[2.014], cell=[4, 4, 4]), ["deuterium counts as hydrogen"]),
        (
            Atoms("Na", charges=[1], magmoms=[2], cell=[4, 4, 4]),
            ["magnetic moments are ignored", "charges are ignored"],
        ),
        (Atoms("Na", charges=[0], magmoms=[0], cell=[4, 4, 4], info={"charge": "unknown"}), []),
        (Atoms("Na", cell=[4, 4, 4], info={"charge": 1}), ["charges are ignored"]),
    ],
)
def test_notes(crystal, expected):
    assert notes(crystal) == expected
    result = Relaxer(tiny_network(), {}).relax(crystal)
    assert result.warnings[-len(expected) :] == expected if expected else "ignored" not in str(result.warnings)


def test_moments_of_a_calculator():
    atoms = salt()
    atoms.calc = SinglePointCalculator(atoms, magmoms=[1.0, 0.0])
    assert notes(atoms) == ["magnetic moments are ignored"]


def test_notes_do_not_make_a_result_suspect():
    atoms = salt()
    atoms.set_initial_charges([1.0, -1.0])
    result = Relaxer(tiny_network(), {}).relax([salt(), atoms])
    assert result.status == ["relaxed", "relaxed"]
    assert result.warnings == [[], ["charges are ignored"]]
