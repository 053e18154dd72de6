"""What is refused, what is doubtful, and that neither depends on how a crystal is written down."""

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, graphene, molecule, mx2, nanotube
from crystals_zoo import ALL, SKEWED, ZOO, supercell

from empnn import symmetry
from empnn.checks import doubts, is_collapsed, refusals
from empnn.crystals import CrystalBatch, from_arrays
from empnn.data.sets import load_split, locate_all
from empnn.noise import fixed_strain, strain_cells


def crystal(cell, frac=((0, 0, 0),), number=6):
    return from_arrays(np.array(cell, dtype=float), np.array(frac, dtype=float), np.full(len(frac), number))


def test_sound_crystals_pass():
    assert refusals(ALL) == [None] * len(ALL)
    assert refusals(CrystalBatch.cat([])) == []


def share_of_box(cell):
    return abs(np.linalg.det(cell)) / np.prod(np.linalg.norm(cell, axis=1))


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0, 30.0])
@pytest.mark.parametrize(
    "cell",
    [
        [[1, 0, 0], [0, 1, 0], [0.6, 0.8, 9e-5]],
        [[1, 0, 0], [0, 1, 0], [1, 1, 9e-5]],
        [[1, 0, 0], [1, 9e-5, 0], [0, 0, 1]],
        [[1, 0, 0], [1, 5e-3, 0], [1, 0, 5e-3]],
        [[1, 0.2, 0.3], [0.3, 1, 0.1], [1.3, 1.2, 0.40005]],
    ],
)
def test_cells_with_next_to_no_volume_are_refused(cell, scale):
    """What |det| / (abc) < 1e-4 is meant to catch: vectors next to coplanar or collinear, at any scale."""
    bad = np.array(cell) * scale
    assert share_of_box(bad) < 1e-4
    (reason,) = refusals(crystal(bad))
    assert "flat or too small" in reason or "atom 0 and its periodic image overlap" in reason


def test_skewed_bases_under_the_same_limit_pass():
    """The ratio depends on the basis, so that it cannot be a reason for refusal."""
    change = np.array([[1, 0, 0], [30, 1, 0], [-7, 40, 1]])
    names = [name for name in ZOO if name not in ("skewed", "elongated")]
    good = CrystalBatch.cat([ZOO[name] for name in names])
    skewed = symmetry.change_basis(good, torch.from_numpy(change).expand(len(names), 3, 3))
    assert max(map(share_of_box, skewed.cell.numpy())) < 1e-4
    assert refusals(skewed) == refusals(good) == [None] * len(names)


def test_the_shortest_translation_is_found_in_any_basis(generator):
    """A lattice with a vector of 0.2 angstrom is refused at once in any basis; a search would take long."""
    thin = crystal([[0.2, 0, 0], [3, 400, 0], [1, 2, 90]], [[0, 0, 0], [0.3, 0.2, 0.5]])
    moved = symmetry.change_basis(thin, symmetry.random_unimodular(1, generator, 6, 2))
    for one in (thin, moved):
        (reason,) = refusals(one)
        assert reason.startswith("atom 0 and its periodic image overlap (0.200 angstrom apart)")


def test_strongly_skewed_cells_pass(generator):
    for factors, largest in ((4, 1), (8, 2), (10, 3)):
        unimodular = symmetry.random_unimodular(len(ALL), generator, factors, largest)
        moved = symmetry.change_basis(ALL, unimodular)
        reasons = [r for r in refusals(moved) if r and "10000" not in r]
        assert reasons == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (crystal([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), "flat"),
        (crystal([[3, 0, 0], [0, 3, 0], [0, 0, 1e-9]]), "flat"),
        (crystal(np.zeros((3, 3))), "flat"),
        (crystal(np.eye(3) * 0.7), "too small"),
        (crystal(np.diag([3, 3, 2e4])), "10000"),
        (crystal([[3, 0, 0], [0, 0.2, 0], [0, 0, 30]]), "atom 0 and its periodic image overlap"),
        (crystal(np.eye(3) * 4, [[0, 0, 0], [0.5, 0.5, 0.5], [0.99, 0.01, 0]]), "atoms 0 and 2 overlap"),
        (crystal(np.eye(3) * 4, [[0.3, 0, 0], [0.3, 0, 0]]), "atoms 0 and 1 overlap (0.000"),
        (crystal(np.eye(3) * 9000, [[0.3, 0, 0], [0.3, 0, 0.00001]]), "atoms 0 and 1 overlap (0.090"),
    ],
)
def test_bad_crystals_are_refused_among_good_ones(bad, reason):
    good = ZOO["triclinic"]
    first, second, third = refusals(CrystalBatch.cat([good, bad, good]))
    assert first is None
    assert third is None
    assert reason in second
    assert "; " in second


def test_refusals_are_invariant(generator):
    bad = crystal([[4.0, 1, 0], [0, 5, 0.5], [0.2, 0, 6]], [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [0.11, 0.19, 0.3]])
    batch = CrystalBatch.cat([bad, ZOO["perovskite"]])
    moved = symmetry.rotate(batch, symmetry.random_orthogonal(2, generator))
    moved = symmetry.translate(moved, symmetry.random_translation(2, generator))
    moved = symmetry.change_basis(moved, symmetry.random_unimodular(2, generator, 6, 2))
    assert [r is None for r in refusals(moved)] == [r is None for r in refusals(batch)] == [False, True]


def test_no_cell_that_is_large_and_short_enough_is_too_skewed_to_be_judged():
    """Lattices that are found in another basis only, where the vectors given say nothing of the distances."""
    skewed = crystal([[0.8, 0, 0], [9500, 0.8, 0], [0, 0, 9]])
    thin = crystal([[0.8, 0, 0], [9500.3, 0.8, 0], [0.2, -0.1, 9]])
    flat = crystal([[0.8, 0, 0], [9500.2, 0.2, 0], [0, 0, 9]])
    near = crystal([[0.8, 0, 0], [9500, 0.8, 0], [0, 0, 9]], [[0, 0, 0], [0.3125, 0.25, 0]])
    assert [r and r[:44] for r in refusals(CrystalBatch.cat([skewed, thin, flat, near]))] == [
        None,
        None,
        "atom 0 and its periodic image overlap (0.283",
        "atoms 0 and 1 overlap (0.206 angstrom apart)",
    ]


@pytest.mark.parametrize("length", [1e-2, 1e-4, 1e-6])
def test_lattices_of_next_to_equal_atoms_are_refused_at_once(length):
    """A search would find millions of neighbours within half an angstrom."""
    thin = crystal([[6000, 300, 0], [6000, 300 + 2 * length, length], [1, 7, 5000]], [[0, 0, 0], [0.1, 0.2, 0.5]])
    (reason,) = refusals(thin)
    assert reason.startswith(f"atom 0 and its periodic image overlap ({5**0.5 * length:.3f} angstrom apart)")


@pytest.mark.parametrize("scale", [1e-2, 1e-5, 1e-8])
def test_vectors_next_to_coplanar_are_judged_and_never_raise(scale):
    random = np.random.default_rng(0)
    cells = random.normal(size=(300, 3, 3)) * 10 ** random.uniform(0, 3.5, size=(300, 3, 1))
    cells[:, 2] = (random.integers(-3, 4, size=(300, 1, 2)) @ cells[:, :2])[:, 0] + scale * random.normal(size=(300, 3))
    reasons = refusals(CrystalBatch.cat([crystal(cell) for cell in cells]))
    volumes, lengths = np.abs(np.linalg.det(cells)), np.linalg.norm(cells, axis=2).max(1)
    for reason, volume, length in zip(reasons, volumes, lengths, strict=True):
        assert ("volume" in str(reason)) == (volume < 0.5)
        assert reason is None or "overlap" in reason or volume < 0.5 or length > 1e4


def test_thousands_of_atoms_in_one_place_are_refused_at_once():
    many = crystal(np.eye(3) * 50, np.full((5000, 3), 0.3))
    jittered = many.shifted(torch.rand(5000, 3, dtype=torch.float64) * 1e-4)
    (first,), (second,) = refusals(many), refusals(jittered)
    assert first == "atoms 0 and 1 overlap (0.000 angstrom apart); remove or move one"
    assert "overlap (0.00" in second


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


def test_collapsed_cells():
    factors = torch.tensor([3.0, 0.5, torch.nan, torch.inf, 1e200, 2e4], dtype=torch.float64)
    cells = factors[:, None, None] * torch.eye(3, dtype=torch.float64)
    assert is_collapsed(cells, torch.ones(6)).tolist() == [False, True, True, True, True, False]


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
