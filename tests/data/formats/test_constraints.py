"""Constraints as selective dynamics: the same displacements are left."""

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixedLine, FixedPlane, FixScaled, Hookean

from empnn.data.formats.constraints import described, held, hold, names_of, restore

TRICLINIC = [[4.0, 0.3, 0.2], [-0.5, 5.0, 0.4], [0.1, 0.7, 6.0]]
SLAB = [[4.0, 0.3, 0.0], [-0.5, 5.0, 0.0], [0.1, 0.7, 16.0]]
ROTATED = [[0.0, 4.0, 0.0], [0.0, 0.0, 5.0], [6.0, 0.0, 0.0]]


def atoms_in(cell):
    return Atoms("C2", cell=cell, scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.3]], pbc=True)


def displaced(atoms, constraint, displacement):
    """What a constraint leaves of a displacement."""
    positions = atoms.positions + displacement
    constraint.adjust_positions(atoms, positions)
    return positions - atoms.positions


@pytest.mark.parametrize(
    ("cell", "constraint", "mask"),
    [
        (TRICLINIC, FixAtoms([1]), [1, 1, 1]),
        (TRICLINIC, FixScaled([1], [0, 1, 0]), [0, 1, 0]),
        (TRICLINIC, FixCartesian([1], [1, 1, 1]), [1, 1, 1]),
        (TRICLINIC, FixCartesian([1], [1, 0, 0]), None),
        (TRICLINIC, FixedPlane([1], np.cross(*TRICLINIC[:2])), [0, 0, 1]),
        (TRICLINIC, FixedPlane([1], TRICLINIC[2]), None),
        (TRICLINIC, FixedLine([1], TRICLINIC[1]), [1, 0, 1]),
        (TRICLINIC, FixedLine([1], [0, 0, 1]), None),
        (SLAB, FixCartesian([1], [0, 0, 1]), [0, 0, 1]),
        (SLAB, FixCartesian([1], [1, 1, 0]), None),
        (ROTATED, FixCartesian([1], [1, 0, 0]), [0, 0, 1]),
        (ROTATED, FixCartesian([1], [0, 1, 1]), [1, 1, 0]),
    ],
)
def test_coordinates_are_held_where_the_same_displacements_are_left(cell, constraint, mask):
    atoms = atoms_in(cell)
    atoms.set_constraint(constraint)
    fixed, others = held(atoms)
    if mask is None:
        assert (fixed.any(), others) == (False, [constraint])
        return
    assert (fixed.tolist(), others) == ([[False] * 3, list(map(bool, mask))], [])
    assert len(hold(atoms_in(cell), fixed).constraints) == 1
    (flags,) = hold(atoms_in(cell), fixed).constraints
    for displacement in np.random.default_rng(1).normal(size=(5, 2, 3)):
        for first, second in [(constraint, flags), (flags, constraint)]:
            left = displaced(atoms, first, displacement)
            assert displaced(atoms, second, left)[1] == pytest.approx(left[1], abs=1e-9)


def test_several_constraints_add_up_and_the_rest_is_kept():
    atoms = atoms_in(TRICLINIC)
    spring = Hookean(0, 1, k=1.0, rt=2.0)
    atoms.set_constraint([FixScaled([0, 1], [1, 0, 0]), FixBondLength(0, 1), FixScaled([1], [0, 0, 1]), spring])
    fixed, others = held(atoms)
    assert fixed.tolist() == [[True, False, False], [True, False, True]]
    assert names_of(others) == "FixBondLengths, Hookean"
    back = restore(hold(atoms_in(TRICLINIC), fixed), described(others))
    assert held(back)[0].tolist() == fixed.tolist()
    assert described(held(back)[1]) == described(others)
