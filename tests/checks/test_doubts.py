"""What is doubtful, and that it does not depend on how a crystal is written down."""

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, graphene, molecule, mx2, nanotube
from support.zoo import SKEWED, ZOO, supercell

from empnn import symmetry
from empnn.checks.doubts import doubts
from empnn.checks.refusals import refusals
from empnn.corruption.strain import fixed_strain, strain_cells
from empnn.crystals import CrystalBatch, from_arrays
from empnn.data.sets import load_split, locate_all


def crystal(cell, frac=((0, 0, 0),), number=6):
    return from_arrays(np.array(cell, dtype=float), np.array(frac, dtype=float), np.full(len(frac), number))


def pair(distance):
    return crystal(np.eye(3) * 4.2, [[0.95, 0.5, 0.5], [0.95 + distance / 4.2, 0.5, 0.5]])


def test_atoms_next_to_the_limit_are_a_doubt_before_and_after():
    assert refusals(CrystalBatch.cat([pair(0.2999), pair(0.3001), pair(0.31)]))[1:] == [None, None]
    usual, near, over = pair(0.6), pair(0.4), pair(0.29)
    assert doubts(usual, usual, set(), 2.0) == [[]]
    assert doubts(near, usual, set(), 2.0) == [["as given, atoms 0 and 1 are only 0.400 angstrom apart"]]
    assert doubts(usual, near, set(), 2.0) == [["once relaxed, atoms 0 and 1 are only 0.400 angstrom apart"]]
    assert doubts(usual, over, set(), 2.0) == [["once relaxed, atoms 0 and 1 overlap (0.290 angstrom apart)"]]
    (long,) = doubts(usual, usual.with_cell(usual.cell * torch.tensor([1.0, 1.0, 3000.0])), set(), 10.0)
    assert long[-1] == "once relaxed, a lattice vector is 1.26e+04 angstrom long, over 10000"


def vacuums(crystals):
    return [text for found in doubts(crystals, crystals, set(), 1.0) for text in found if "vacuum" in text]


def in_a_box(atoms, vacuum, axes):
    atoms.center(vacuum=vacuum / 2, axis=axes)
    return from_arrays(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)


def inclined(atoms):
    atoms.cell[2] += -0.46 * atoms.cell[0] - 0.48 * atoms.cell[1]
    return atoms


VACUUMS = {
    "graphene": (in_a_box(graphene(), 15, 2), "15.0 angstrom between sheets"),
    "a sheet with thickness": (in_a_box(mx2(), 8, 2), "8.0 angstrom between sheets"),
    "a large sheet": (in_a_box(graphene(size=(5, 5, 1)), 9, 2), "9.0 angstrom between sheets"),
    "an inclined sheet": (in_a_box(inclined(graphene(size=(4, 3, 1), vacuum=5)), 9, 2), "9.0 angstrom between sheets"),
    "a large one": (in_a_box(inclined(graphene(size=(13, 10, 1), vacuum=5)), 9, 2), "9.0 angstrom between sheets"),
    "a surface": (in_a_box(fcc111("Cu", (1, 1, 4)), 60, 2), "60.0 angstrom between sheets"),
    "a tube": (in_a_box(nanotube(4, 4), 10, (0, 1)), "10.0 angstrom between wires"),
    "a molecule": (in_a_box(molecule("C6H6"), 10, (0, 1, 2)), "10.0 angstrom between atoms or molecules"),
}


@pytest.mark.parametrize("name", list(VACUUMS))
def test_a_vacuum_is_named_in_any_basis(name, generator):
    given, words = VACUUMS[name]
    variants = [given, supercell(given, (1, 1, 2)), supercell(given, (2, 1, 1))]
    for factors in (1, 3, 6):
        moved = symmetry.change_basis(given, symmetry.random_unimodular(1, generator, factors, 2))
        moved = symmetry.translate(moved, symmetry.random_translation(1, generator))
        variants.append(symmetry.rotate(moved, symmetry.random_orthogonal(1, generator)))
    for variant in variants:
        assert vacuums(variant) == [f"a vacuum of {words}, relaxed as part of a crystal"]


def test_molecules_that_no_empty_layer_parts_are_in_a_vacuum_too():
    """Eight of them, eight angstrom apart, no two at the same height."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    heights = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2], [2, 1, 0], [0, 0, 1], [1, 1, 0]])
    gas = crystal(np.eye(3) * 20, corners / 2 + heights / 20)
    (found,) = vacuums(gas)
    assert "angstrom between atoms or molecules" in found


def test_crystals_have_no_vacuum():
    """Neither layers, nor large ions, nor pores."""
    layers = [in_a_box(mx2(), 3.2, 2), in_a_box(graphene(), 5.5, 2)]
    frame = [[i, j, k] for i in range(5) for j in range(5) for k in range(5) if (i == 0) + (j == 0) + (k == 0) >= 2]
    porous = crystal(np.eye(3) * 9, np.array(frame) / 5)
    good = [ZOO[name] for name in ZOO if name != "elongated"]
    caesium = crystal(bulk("Cs", "bcc", a=6.2).cell.array, number=55)
    assert vacuums(CrystalBatch.cat([*layers, porous, caesium, *good])) == []
    for noise in (0.0, 0.1):
        sample = load_split(locate_all(None, "sample"), "train").crystals
        sample = sample.with_cell(strain_cells(sample.cell, fixed_strain(len(sample), noise, 1)))
        # The one layered crystal of the set, Fe4S5, was relaxed without van der Waals forces.
        (only,) = vacuums(sample)
        assert only.endswith("angstrom between sheets, relaxed as part of a crystal")


def test_doubts():
    batch = CrystalBatch.cat([ZOO["fcc"], ZOO["perovskite"], SKEWED, ZOO["diamond"]])
    factors = torch.tensor([1.0, 5.0, 1.01, 0.5], dtype=torch.float64)[:, None, None]
    found = doubts(batch, batch.with_cell(batch.cell * factors), {29, 11, 17, 6}, 0.5)
    assert doubts(batch, batch, set(), 0.5) == [[], [], [], []]
    copper = batch.select([0])
    (dense,) = doubts(copper.with_cell(copper.cell * 0.5), copper, set(), 2.0)
    assert dense == ["given volume 1.5 cubic angstrom per atom is outside 2-200"]
    assert found[0] == []
    assert any("Sr" in text and "Ti" in text and "O" in text for text in found[1])
    assert any("2-200" in text for text in found[1])
    assert any("strain of 1.61" in text for text in found[1])
    assert found[2] == []
    assert any("strain of 0.69" in text for text in found[3])
    assert doubts(batch, batch, set(), 0.1) == [[], [], [], []]


def test_doubts_are_invariant(generator):
    batch = CrystalBatch.cat([ZOO["triclinic"]] * 8)
    after = batch.with_cell(strain_cells(batch.cell, fixed_strain(8, 0.2, 1)))
    q = symmetry.random_orthogonal(8, generator)
    moved, moved_after = symmetry.rotate(batch, q), symmetry.rotate(after, q)
    assert doubts(moved, moved_after, set(), 0.4) == doubts(batch, after, set(), 0.4)
    assert {len(texts) for texts in doubts(batch, after, set(), 0.4)} == {0, 1}


def test_elements_that_next_to_no_training_crystal_holds_are_named():
    crystals = CrystalBatch.cat([ZOO["rocksalt"], ZOO["diamond"]])
    found = doubts(crystals, crystals, {6, 11, 17}, 1.0, {17: 3, 92: 1})
    assert found == [["Cl is in only 3 of the training crystals"], []]
