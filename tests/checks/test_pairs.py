"""What is no pair is said in words: other atoms, another order, cells and places that no relaxation comes to."""

import pytest
import torch
from ase import Atoms
from support.unrelaxed import pairs

from empnn.checks.pairs import far_apart, other_atoms
from empnn.crystals import CrystalBatch, from_atoms


@pytest.fixture
def pair() -> tuple[Atoms, Atoms]:
    before, after = pairs(1)
    return before[0], after[0]


def said_of(pair: tuple[Atoms, Atoms]) -> str:
    before, after = map(from_atoms, pair)
    (found,) = other_atoms(before, after)
    if found is None:
        (found,) = far_apart(before, after)
    return found or ""


def test_a_pair(pair: tuple[Atoms, Atoms]) -> None:
    assert said_of(pair) == ""


def test_other_species(pair: tuple[Atoms, Atoms]) -> None:
    pair[1].symbols[7] = "Br"
    assert said_of(pair) == "it is Cl4Na4 unrelaxed and BrCl3Na4 relaxed; put both files in the same order"


def test_another_number_of_atoms(pair: tuple[Atoms, Atoms]) -> None:
    del pair[1][7]
    expected = "it has 8 atoms unrelaxed (Cl4Na4) and 7 relaxed (Cl3Na4); write the same atoms into both"
    assert said_of(pair) == expected


def test_species_in_another_order(pair: tuple[Atoms, Atoms]) -> None:
    shuffled = pair[1][[0, 1, 2, 4, 3, 5, 6, 7]]
    assert said_of((pair[0], shuffled)) == "atom 3 is Na unrelaxed and Cl relaxed; write the atoms in the same order"


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_atoms_of_one_element_in_another_order(pair: tuple[Atoms, Atoms], shift: float) -> None:
    shuffled = pair[1][[1, 2, 3, 0, 5, 6, 7, 4]]
    shuffled.set_scaled_positions(shuffled.get_scaled_positions() + shift)
    found = said_of((pair[0], shuffled))
    assert "angstrom on average" in found
    assert found.endswith("in another order; write the atoms in the same order")


def test_a_cell_that_no_relaxation_comes_to(pair: tuple[Atoms, Atoms]) -> None:
    pair[1].set_cell(2 * pair[1].cell.array, scale_atoms=True)
    assert said_of(pair) == (
        "the cell changes by a strain of 1.34, over 1; write both crystals in the same basis, or leave the pair out"
    )


def test_places_that_no_relaxation_comes_to() -> None:
    generator = torch.Generator().manual_seed(0)
    cell = 12 * torch.eye(3, dtype=torch.float64)[None]
    numbers, batch = torch.arange(1, 5), torch.zeros(4, dtype=torch.int64)
    first, second = (
        CrystalBatch(
            cell=cell, frac=torch.rand(4, 3, dtype=torch.float64, generator=generator), numbers=numbers, batch=batch
        )
        for _ in range(2)
    )
    (found,) = far_apart(first, second)
    assert found is not None
    assert found.endswith("angstrom on average, over 2; leave the pair out")


def test_no_pairs() -> None:
    empty = CrystalBatch.cat([])
    assert other_atoms(empty, empty) == far_apart(empty, empty) == []
