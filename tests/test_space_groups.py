"""Space groups against spglib and first principles: exact symmetry, projections that keep every operation."""

import numpy as np
import pytest
import spglib
import torch
from ase.build import bulk
from ase.spacegroup import crystal as ase_crystal

from empnn.crystals import CrystalBatch, from_atoms
from empnn.space_groups import (
    SpaceGroups,
    find_space_groups,
    group_names,
    invariant_displacements,
    invariant_strain,
    symmetrise,
)

GENERATOR = torch.Generator().manual_seed(3)


def rutile() -> CrystalBatch:
    cell = [4.6, 4.6, 2.95, 90, 90, 90]
    return from_atoms(ase_crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=cell))


def wurtzite() -> CrystalBatch:
    return from_atoms(bulk("ZnS", "wurtzite", a=3.8, c=6.2, u=0.38))


def conventional_diamond() -> CrystalBatch:
    return from_atoms(bulk("C", "diamond", a=3.57, cubic=True))


def triclinic() -> CrystalBatch:
    cell = [4.1, 5.3, 6.7, 80, 95, 102]
    return from_atoms(ase_crystal(["Na", "Cl"], [(0.1, 0.2, 0.3), (0.6, 0.1, 0.7)], spacegroup=2, cellpar=cell))


ORDERS = {"rutile": 16, "wurtzite": 12, "conventional_diamond": 192, "triclinic": 2}


@pytest.fixture
def crystals() -> CrystalBatch:
    return CrystalBatch.cat([rutile(), wurtzite(), conventional_diamond(), triclinic()])


def farthest_image(crystals: CrystalBatch, groups: SpaceGroups) -> float:
    """How far the operations take an atom from the one it should be mapped onto, in angstrom."""
    rotations, translations = groups.rotations.double()[groups.operation], groups.translations[groups.operation]
    moved = torch.einsum("nij,nj->ni", rotations, crystals.frac[groups.source]) + translations
    error = moved - crystals.frac[groups.target]
    cell = crystals.cell[groups.batch[groups.operation]]
    return float(torch.einsum("ni,nij->nj", error - error.round(), cell).norm(dim=-1).max())


def largest_shear(crystals: CrystalBatch, groups: SpaceGroups) -> float:
    turned = groups.orthogonal(crystals)
    return float((turned @ turned.mT - torch.eye(3, dtype=torch.float64)).abs().max())


def test_operations_are_counted_as_the_tables_do(crystals: CrystalBatch) -> None:
    assert torch.bincount(find_space_groups(crystals).batch).tolist() == list(ORDERS.values())


def test_a_rattled_crystal_becomes_exactly_symmetric(crystals: CrystalBatch) -> None:
    noise = 1e-3 * torch.randn(crystals.n_atoms, 3, dtype=torch.float64, generator=GENERATOR)
    strain = torch.eye(3, dtype=torch.float64) + 1e-4 * torch.randn(4, 3, 3, dtype=torch.float64, generator=GENERATOR)
    rattled = crystals.shifted(crystals.fractional(noise)).with_cell(crystals.cell @ strain)
    groups = find_space_groups(rattled, symprec=0.05)
    assert torch.bincount(groups.batch).tolist() == list(ORDERS.values())
    exact = symmetrise(rattled, groups)
    assert farthest_image(rattled, groups) > 1e-4
    assert farthest_image(exact, groups) < 1e-12
    assert largest_shear(exact, groups) < 1e-12
    stretch = torch.linalg.solve(rattled.cell, exact.cell)
    assert torch.allclose(stretch, stretch.mT, atol=1e-12)
    assert float((stretch - torch.eye(3, dtype=torch.float64)).abs().max()) < 1e-3


def test_projections_are_projections_onto_what_every_operation_leaves_alone(crystals: CrystalBatch) -> None:
    groups = find_space_groups(crystals)
    exact = symmetrise(crystals, groups)
    entries = torch.randn(4, 3, 3, dtype=torch.float64, generator=GENERATOR)
    strain = invariant_strain(entries + entries.mT, exact, groups)
    turns = groups.orthogonal(exact)
    assert torch.allclose(turns @ strain[groups.batch] @ turns.mT, strain[groups.batch], atol=1e-12)
    assert torch.allclose(invariant_strain(strain, exact, groups), strain, atol=1e-12)
    # Free lengths and angles of tetragonal, hexagonal, cubic and triclinic cells.
    many = torch.stack(
        [
            invariant_strain(e + e.mT, exact, groups).flatten(1)
            for e in torch.randn(20, 4, 3, 3, dtype=torch.float64, generator=GENERATOR)
        ],
        dim=1,
    )
    assert torch.linalg.matrix_rank(many, rtol=1e-8).tolist() == [2, 2, 1, 6]
    vectors = torch.randn(exact.n_atoms, 3, dtype=torch.float64, generator=GENERATOR)
    moved = invariant_displacements(vectors, exact, groups)
    assert torch.allclose(invariant_displacements(moved, exact, groups), moved, atol=1e-12)
    assert farthest_image(exact.shifted(exact.fractional(0.1 * moved)), groups) < 1e-12
    # Rutile: Ti stays, O moves along its diagonal; diamond: no atom has a free coordinate.
    rutile_moves = moved[exact.batch == 0]
    assert float(rutile_moves[:2].abs().max()) < 1e-12
    assert float(rutile_moves[2:, :2].norm(dim=1).min()) > 1e-3
    assert float(rutile_moves[2:, 2].abs().max()) < 1e-12
    assert float(moved[exact.batch == 2].abs().max()) < 1e-12


def test_where_spglib_finds_nothing_the_identity_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spglib, "get_symmetry", lambda *args, **kwargs: None)
    groups = find_space_groups(rutile())
    assert np.array_equal(groups.rotations.numpy(), np.eye(3, dtype=int)[None])
    assert groups.target.tolist() == list(range(6))


def test_supercells_have_all_their_translations_and_nothing_has_no_operations() -> None:
    diamond = bulk("C", "diamond", a=3.57, cubic=True).repeat(2)
    groups = find_space_groups(from_atoms(diamond), symprec=1e-5)
    assert len(groups.batch) == 8 * ORDERS["conventional_diamond"]
    assert farthest_image(from_atoms(diamond), groups) < 1e-12
    nothing = find_space_groups(triclinic().select([]))
    assert len(nothing.batch) == len(nothing.source) == 0
    assert len(symmetrise(triclinic().select([]), nothing)) == 0


def test_names():
    crystals = CrystalBatch.cat([rutile(), wurtzite(), conventional_diamond(), triclinic()])
    assert group_names(crystals) == ["P4_2/mnm (136)", "P6_3mc (186)", "Fd-3m (227)", "P-1 (2)"]
    assert group_names(rutile().shifted(1e-3 * torch.arange(18, dtype=torch.float64).reshape(6, 3) ** 2), 1e-5) == [
        "P1 (1)"
    ]


def test_of_several_distances_the_first_that_shows_anything_counts():
    rattled = rutile()
    noise = 1e-3 * torch.randn(rattled.frac.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rattled = rattled.shifted(noise)
    counts = [
        len(find_space_groups(rattled, distances).rotations) for distances in (1e-5, 0.05, [1e-5, 1e-4, 0.05, 0.5])
    ]
    assert counts == [1, 16, 16]
