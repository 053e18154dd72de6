"""Neighbour graphs, judged by ASE, by a brute-force search and by the symmetry of the crystals."""

import numpy as np
import pytest
import torch
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st
from support.zoo import ALL, ELONGATED, FCC, ONE_ATOM, SKEWED_BASIS, TRICLINIC, ZOO, ball, single, supercell, zoo

from empnn import symmetry
from empnn.crystals import CrystalBatch, to_atoms
from empnn.errors import ConfigError
from empnn.graph import SHELL_TOLERANCE, Graph, GraphRule, covalent, cutoff, element_cutoff, knn
from empnn.testing import match_edges, moves

SHEAR = torch.tensor([[[1, 3, 0], [0, 1, 0], [2, 6, 1]]])
SHEARED = {"sheared " + name: symmetry.change_basis(ZOO[name], SHEAR) for name in ("hcp", "perovskite", "one-atom")}
ASE_CRYSTALS = {name: crystal for name, crystal in (ZOO | SHEARED).items() if name != "skewed"}


def _lengths(graph: Graph) -> np.ndarray:
    return torch.linalg.vector_norm(graph.vectors, dim=-1).numpy()


def _edge_set(source: object, target: object, image: object) -> set[tuple[int, ...]]:
    return {tuple(row) for row in np.column_stack([source, target, image]).tolist()}


def _box_search(crystal: CrystalBatch, radius: float) -> tuple[np.ndarray, ...]:
    """All pairs (i, j, image) within a radius, by trying every image in a box that surely holds the ball."""
    cell, frac = crystal.cell[0].numpy(), crystal.frac.numpy()
    spacing = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.ceil(radius / spacing).astype(int) + 1
    image = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    apart = (frac[None, :, None] - frac[:, None, None] + image) @ cell
    distance = np.linalg.norm(apart, axis=-1)
    i, j, k = np.nonzero((distance <= radius) & (distance > 1e-8))
    return i, j, image[k], distance[i, j, k]


def _brute_knn(crystal: CrystalBatch, k: int, radius: float) -> tuple[np.ndarray, ...]:
    """All edges up to the k-th distance of each atom and its shell; the radius must hold them."""
    i, j, image, distance = _box_search(crystal, radius)
    kth = np.array([np.sort(distance[i == atom])[k - 1] for atom in range(crystal.n_atoms)])
    assert kth.max() * (1 + SHELL_TOLERANCE) < radius
    near = distance <= kth[i] * (1 + SHELL_TOLERANCE)
    return i[near], j[near], image[near], distance[near]


@pytest.mark.parametrize("radius", [1.9, 4.1, 6.3])
@pytest.mark.parametrize("name", ASE_CRYSTALS)
def test_cutoff_finds_the_edges_of_ase(name: str, radius: float) -> None:
    crystal = ASE_CRYSTALS[name]
    graph = cutoff(radius)(crystal)
    (atoms,) = to_atoms(crystal)
    i, j, image, vectors = neighbor_list("ijSD", atoms, radius * (1 + SHELL_TOLERANCE))
    assert len(graph) == len(i)
    assert _edge_set(graph.source, graph.target, graph.image) == _edge_set(i, j, image)
    ours, theirs = (
        np.lexsort((*s.T, t, f)) for f, t, s in ((graph.source, graph.target, graph.image.numpy()), (i, j, image))
    )
    np.testing.assert_allclose(graph.vectors.numpy()[ours], vectors[theirs], atol=1e-9)


@pytest.mark.parametrize("name", [name for name in ZOO if name != "skewed"])
def test_cutoff_finds_all_atoms_of_a_ball_in_a_strongly_skewed_basis(name: str) -> None:
    crystal = symmetry.change_basis(ZOO[name], torch.from_numpy(SKEWED_BASIS)[None])
    graph = cutoff(5.2)(crystal)
    positions = (crystal.frac @ crystal.cell[0]).numpy()
    for atom in range(crystal.n_atoms):
        around, _ = ball(crystal, positions[atom], 5.2 * (1 + SHELL_TOLERANCE))
        expected = np.sort(np.linalg.norm(around - positions[atom], axis=1))[1:]
        np.testing.assert_allclose(np.sort(_lengths(graph)[graph.source == atom]), expected, atol=1e-6)


@pytest.mark.parametrize("k", [1, 8, 13])
@pytest.mark.parametrize("name", ASE_CRYSTALS)
def test_knn_finds_the_edges_of_a_brute_force_search(name: str, k: int) -> None:
    crystal = ASE_CRYSTALS[name]
    graph = knn(k)(crystal)
    i, j, image, _ = _brute_knn(crystal, k, radius=9.0)
    assert len(graph) == len(i)
    assert _edge_set(graph.source, graph.target, graph.image) == _edge_set(i, j, image)


@pytest.mark.parametrize("rule", [knn(1), knn(8), knn(30), cutoff(4.0), covalent(1.4)])
def test_pairs_and_lists_of_cells_find_the_same(monkeypatch: pytest.MonkeyPatch, rule: GraphRule) -> None:
    """In one batch with each other too, whatever is looked at together."""
    crystals = CrystalBatch.cat([*ZOO.values(), ELONGATED])
    found = []
    for small, pairs in ((0, 1), (10**6, 1), (10**6, 10**6), (2, 10)):
        monkeypatch.setattr("empnn.graph.search._SMALL", small)
        monkeypatch.setattr("empnn.graph.search._PAIRS", pairs)
        graph = rule(crystals)
        found.append(_edge_set(graph.source, graph.target, graph.image))
    assert found[0] == found[1] == found[2] == found[3]


def test_neighbours_may_be_a_dozen_images_away() -> None:
    one = slice(1)
    alone = CrystalBatch(
        cell=ELONGATED.cell, frac=ELONGATED.frac[one], numbers=ELONGATED.numbers[one], batch=ELONGATED.batch[one]
    )
    graph = knn(500)(alone)
    assert int(graph.image.abs().max()) > 11
    i, j, image, _ = _brute_knn(alone, 500, radius=45.0)
    assert _edge_set(graph.source, graph.target, graph.image) == _edge_set(i, j, image)


@pytest.mark.parametrize(
    ("name", "k", "degrees"),
    [
        ("fcc", 8, [12]),
        ("fcc", 13, [18]),
        ("hcp", 8, [12, 12]),
        ("rocksalt", 4, [6, 6]),
        ("skewed", 4, [6, 6]),
        ("diamond", 4, [4, 4]),
        ("diamond", 8, [16, 16]),
        # Around Sr 12 O; around Ti 6 O and 8 Sr; around O 2 Ti, then 4 Sr and 8 O at the same distance.
        ("perovskite", 8, [12, 14, 14, 14, 14]),
    ],
)
def test_shells_are_never_split(name: str, k: int, degrees: list[int]) -> None:
    graph = knn(k)(ZOO[name])
    assert torch.bincount(graph.source).tolist() == degrees


@pytest.mark.parametrize(("stretch", "degree"), [(1 + 0.9e-3, 6), (1 + 1.2e-3, 4)])
def test_the_shell_ends_at_the_tolerance(stretch: float, degree: int) -> None:
    cell = 3 * torch.diag(torch.tensor([1, 1, stretch], dtype=torch.float64))
    crystal = FCC.with_cell(cell[None])
    assert len(knn(3)(crystal)) == degree
    assert len(cutoff(3.0)(crystal)) == degree


def test_a_shell_that_straddles_the_radius_of_a_search_is_whole() -> None:
    # The search guesses a radius from the volume and grows it by half: some of these volumes hit between 3 and 3.0027.
    heights = 3.1 * 1.002 ** torch.arange(640, dtype=torch.float64)
    lengths = torch.stack([torch.full_like(heights, 3.0), torch.full_like(heights, 3.0 * (1 + 0.9e-3)), heights], dim=1)
    crystals = FCC.select([0] * len(heights)).with_cell(torch.diag_embed(lengths))
    assert torch.bincount(knn(1)(crystals).source).unique().tolist() == [4]


@pytest.mark.parametrize("rule", [knn(8), cutoff(4.3)])
def test_vectors_images_and_order_are_consistent(rule: GraphRule) -> None:
    graph = rule(ALL)
    apart = ALL.frac[graph.target] - ALL.frac[graph.source] + graph.image
    expected = torch.einsum("ei,eij->ej", apart, ALL.cell[graph.batch])
    torch.testing.assert_close(graph.vectors, expected, rtol=0, atol=1e-11)
    assert graph.vectors.dtype == torch.float64
    assert bool((graph.source.diff() >= 0).all())
    assert torch.equal(graph.batch, ALL.batch[graph.source])
    assert torch.equal(graph.batch, ALL.batch[graph.target])
    assert float(torch.linalg.vector_norm(graph.vectors, dim=-1).min()) > 0.5


def test_every_cutoff_edge_has_its_reverse() -> None:
    graph = cutoff(4.3)(ALL)
    forth = _edge_set(graph.source, graph.target, graph.image)
    assert forth == _edge_set(graph.target, graph.source, -graph.image)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 14), radius=st.floats(1.5, 5.0), nearest=st.booleans())
def test_the_edge_set_is_invariant_under_all_groups(seed: int, k: int, radius: float, nearest: bool) -> None:
    rule = knn(k) if nearest else cutoff(radius)
    before = rule(ALL)
    for moved in moves(ALL, torch.Generator().manual_seed(seed)):
        after = rule(moved.crystals)
        match = match_edges(before, after, moved)
        assert torch.equal(moved.order[after.source[match]], before.source)


@given(seed=st.integers(0, 2**32 - 1), sigma=st.floats(1e-3, 0.2))
def test_the_edge_set_is_invariant_for_strained_crystals_too(seed: int, sigma: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    strain = torch.eye(3, dtype=torch.float64) + sigma * torch.randn(6, 3, 3, dtype=torch.float64, generator=generator)
    crystals = zoo("fcc", "hcp", "rocksalt", "diamond", "perovskite", "left-handed")
    crystals = crystals.with_cell(crystals.cell @ strain)
    before = knn(8)(crystals)
    for moved in moves(crystals, generator):
        match_edges(before, knn(8)(moved.crystals), moved)


@pytest.mark.parametrize("rule", [knn(8), cutoff(4.3)])
def test_images_follow_the_change_of_basis(rule: GraphRule, generator: torch.Generator) -> None:
    g = symmetry.random_unimodular(1, generator, factors=4, largest=2)
    before, moved = rule(TRICLINIC), symmetry.change_basis(TRICLINIC, g)
    shift = (TRICLINIC.frac @ g[0].mT.to(torch.float64) - moved.frac).round().to(torch.int64)
    image = before.image @ g[0].mT + shift[before.target] - shift[before.source]
    after = rule(moved)
    assert _edge_set(before.source, before.target, image) == _edge_set(after.source, after.target, after.image)


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 3, 2)])
@pytest.mark.parametrize("name", ["hcp", "perovskite", "triclinic", "one-atom", "left-handed"])
def test_an_atom_has_the_same_neighbours_in_a_supercell(name: str, repeats: tuple[int, int, int]) -> None:
    crystal = ZOO[name]
    for rule in (knn(8), cutoff(4.3)):
        small, large = rule(crystal), rule(supercell(crystal, repeats))
        assert len(large) == len(small) * int(np.prod(repeats))
        for atom in range(large.n_atoms):
            here = small.vectors[small.source == atom % crystal.n_atoms]
            there = large.vectors[large.source == atom]
            apart = torch.cdist(here, there)
            assert float(apart.amin(1).max()) < 1e-7
            assert float(apart.amin(0).max()) < 1e-7


@pytest.mark.parametrize("rule", [knn(8), cutoff(4.3)])
def test_a_batch_is_its_crystals_one_after_another(rule: GraphRule) -> None:
    graph, singles = rule(ALL), [rule(single(i)) for i in range(len(ALL))]
    starts = ALL.starts[:-1].tolist()
    assert (graph.n_atoms, graph.n_structures) == (ALL.n_atoms, len(ALL))
    assert torch.equal(graph.atom_batch, ALL.batch)
    assert torch.equal(graph.source, torch.cat([s.source + o for s, o in zip(singles, starts, strict=True)]))
    assert torch.equal(graph.target, torch.cat([s.target + o for s, o in zip(singles, starts, strict=True)]))
    assert torch.equal(graph.image, torch.cat([s.image for s in singles]))
    torch.testing.assert_close(graph.vectors, torch.cat([s.vectors for s in singles]), rtol=0, atol=1e-12)


def test_one_cutoff_radius_per_source_atom() -> None:
    crystals = zoo("triclinic", "one-atom", "hcp")
    radii = torch.linspace(2.0, 5.5, crystals.n_atoms, dtype=torch.float64)
    graph, widest = cutoff(radii)(crystals), cutoff(float(radii.max()))(crystals)
    keep = _lengths(widest) <= radii.numpy()[widest.source] * (1 + SHELL_TOLERANCE)
    expected = _edge_set(widest.source[keep], widest.target[keep], widest.image[keep])
    assert _edge_set(graph.source, graph.target, graph.image) == expected
    assert len(expected) < len(widest)


def test_atoms_without_neighbours() -> None:
    crystals = zoo("elongated", "one-atom", "fcc")
    graph = cutoff(2.8)(crystals)
    assert graph.batch.unique().tolist() == [0, 2]
    assert torch.bincount(graph.source, minlength=crystals.n_atoms).tolist()[2:6] == [0, 0, 0, 0]
    assert len(cutoff(0.5)(ONE_ATOM)) == 0
    assert cutoff(0.5)(ONE_ATOM).vectors.shape == (0, 3)


def test_no_crystals_have_no_edges() -> None:
    graph = knn(8)(CrystalBatch.cat([]))
    assert (len(graph), graph.n_structures) == (0, 0)


def test_to_moves_every_tensor() -> None:
    graph = knn(1)(FCC).to("meta")
    tensors = (graph.source, graph.target, graph.image, graph.vectors, graph.batch, graph.atom_batch)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (graph.n_atoms, graph.n_structures) == (1, 1)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), torch.tensor([1.0, 0.0], dtype=torch.float64)])
def test_wrong_radii_are_refused(radius: float | torch.Tensor) -> None:
    with pytest.raises(ValueError, match="positive radius"):
        cutoff(radius)


@pytest.mark.parametrize("k", [0, -3])
def test_wrong_numbers_of_neighbours_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k >= 1"):
        knn(k)


def test_a_cutoff_by_element_is_one_radius_per_atom() -> None:
    crystals = zoo("perovskite", "triclinic")
    own = torch.where(crystals.numbers == 8, 4.0, 2.5).to(torch.float64)
    found, expected = element_cutoff(2.5, {"O": 4.0})(crystals), cutoff(own)(crystals)
    for name in ("source", "target", "image"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert len(found) > len(cutoff(2.5)(crystals))
    with pytest.raises(ConfigError, match="Oo is no element"):
        element_cutoff(2.5, {"Oo": 4.0})
    with pytest.raises(ConfigError, match="must be positive"):
        element_cutoff(2.5, {"O": 0.0})
    with pytest.raises(ValueError, match="2 cutoff radii for"):
        cutoff(torch.tensor([2.0, 3.0], dtype=torch.float64))(crystals)
