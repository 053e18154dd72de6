"""The covalent rule, judged by brute force with the radii of ASE."""

import itertools

import numpy as np
import pytest
import torch
from ase.data import covalent_radii
from support.zoo import ALL, DIAMOND, ONE_ATOM, ZOO

from empnn.crystals import CrystalBatch
from empnn.graph import SHELL_TOLERANCE, covalent
from empnn.testing import match_edges, moves

CRYSTALS = ["fcc", "hcp", "rocksalt", "diamond", "perovskite", "triclinic", "one-atom", "left-handed"]


def _edges(crystal: CrystalBatch, scale: float, reach: int = 3) -> set[tuple[int, ...]]:
    """All (i, j, image) with |v| <= scale (R_i + R_j) (1 + tolerance), one after another."""
    cell, frac, numbers = crystal.cell[0].numpy(), crystal.frac.numpy(), crystal.numbers.tolist()
    found = set()
    for image in itertools.product(range(-reach, reach + 1), repeat=3):
        for i, j in itertools.product(range(len(numbers)), repeat=2):
            length = np.linalg.norm((frac[j] - frac[i] + image) @ cell)
            limit = scale * (covalent_radii[numbers[i]] + covalent_radii[numbers[j]]) * (1 + SHELL_TOLERANCE)
            if 1e-8 < length <= limit:
                found.add((i, j, *image))
    return found


@pytest.mark.parametrize("scale", [1.2, 1.7])
@pytest.mark.parametrize("name", CRYSTALS)
def test_it_finds_the_edges_of_a_brute_force_search(name: str, scale: float) -> None:
    graph = covalent(scale)(ZOO[name])
    found = set(map(tuple, torch.cat([graph.source[:, None], graph.target[:, None], graph.image], 1).tolist()))
    assert found == _edges(ZOO[name], scale)
    assert len(found) == len(graph) > 0


def test_bonds_of_diamond_and_their_shell() -> None:
    assert torch.bincount(covalent(1.1)(DIAMOND).source).tolist() == [4, 4]
    bond = 3.567 * 3**0.5 / 4
    exact = bond / (2 * float(covalent_radii[6]))
    assert len(covalent(exact / (1 + 0.9 * SHELL_TOLERANCE))(DIAMOND)) == 8
    assert len(covalent(exact / (1 + 1.1 * SHELL_TOLERANCE))(DIAMOND)) == 0


@pytest.mark.parametrize("scale", [1.2, 1.6])
def test_the_edge_set_is_invariant_under_all_groups(scale: float) -> None:
    before = covalent(scale)(ALL)
    for seed in range(5):
        for moved in moves(ALL, torch.Generator().manual_seed(seed)):
            after = covalent(scale)(moved.crystals)
            match = match_edges(before, after, moved)
            assert torch.equal(moved.order[after.source[match]], before.source)


def test_every_edge_has_its_reverse() -> None:
    graph = covalent(1.6)(ALL)
    forth = torch.cat([graph.source[:, None], graph.target[:, None], graph.image], 1).tolist()
    back = torch.cat([graph.target[:, None], graph.source[:, None], -graph.image], 1).tolist()
    assert sorted(forth) == sorted(back)


def test_an_atom_may_have_no_bond() -> None:
    assert len(covalent(0.1)(ONE_ATOM)) == 0


@pytest.mark.parametrize("scale", [0.0, -1.5, float("nan")])
def test_wrong_scales_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive scale"):
        covalent(scale)
