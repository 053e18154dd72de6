"""Triplets against an enumeration in plain loops, and under the groups."""

import numpy as np
import pytest
import torch
from support.zoo import ALL, ONE_ATOM, ZOO, supercell, zoo

from empnn.crystals import CrystalBatch
from empnn.graph import TRIPLETS, Graph, TripletRule, Triplets, chain, cutoff, fan, knn
from empnn.graph.graph import make_graph
from empnn.testing import match_edges, moves

CRYSTALS = ["fcc", "perovskite", "diamond", "triclinic", "one-atom"]


def _pairs(triplets: Triplets) -> list[tuple[int, int]]:
    return list(zip(triplets.first.tolist(), triplets.second.tolist(), strict=True))


def _edges(graph: Graph) -> list[tuple[int, int, tuple[int, ...]]]:
    return [
        (i, j, tuple(n))
        for i, j, n in zip(graph.source.tolist(), graph.target.tolist(), graph.image.tolist(), strict=True)
    ]


def _fan(graph: Graph) -> set[tuple[int, int]]:
    edges = _edges(graph)
    return {(a, b) for a, (i, _, _) in enumerate(edges) for b, (k, _, _) in enumerate(edges) if i == k and a != b}


def _chain(graph: Graph) -> set[tuple[int, int]]:
    edges, found = _edges(graph), set()
    for a, (i, j, there) in enumerate(edges):
        for b, (start, k, onward) in enumerate(edges):
            back_home = k == i and all(n == -m for n, m in zip(onward, there, strict=True))
            if start == j and not back_home:
                found.add((a, b))
    return found


@pytest.mark.parametrize("rule", [knn(4), cutoff(3.0)])
@pytest.mark.parametrize("name", CRYSTALS)
def test_triplets_are_those_of_plain_loops(name: str, rule: object) -> None:
    graph = rule(ZOO[name])
    for triplets, expected in ((fan(graph), _fan(graph)), (chain(graph), _chain(graph))):
        assert set(_pairs(triplets)) == expected
        assert len(triplets) == len(expected)


@pytest.mark.parametrize("name", [*CRYSTALS, "skewed"])
def test_both_legs_point_away_from_the_common_point(name: str) -> None:
    crystal = ZOO[name]
    graph = knn(4)(crystal)
    position, cell = crystal.frac @ crystal.cell[0], crystal.cell[0]
    for rule in (fan, chain):
        triplets = rule(graph)
        first, second = triplets.vectors(graph.vectors)
        for t, (a, b) in enumerate(_pairs(triplets)):
            image_a, image_b = (graph.image[e].to(torch.float64) @ cell for e in (a, b))
            i, j, m, k = graph.source[a], graph.target[a], graph.source[b], graph.target[b]
            common = position[i] if rule is fan else position[j] + image_a
            end = position[j] + image_a if rule is fan else position[i]
            assert m == (i if rule is fan else j)
            other = position[k] + image_b + (0 if rule is fan else image_a)
            torch.testing.assert_close(first[t], end - common, rtol=0, atol=1e-6)
            torch.testing.assert_close(second[t], other - common, rtol=0, atol=1e-6)


def test_a_chain_leaves_out_the_way_back_and_nothing_else() -> None:
    graph = cutoff(4.0)(ALL)
    triplets = chain(graph)
    first, second = triplets.vectors(graph.vectors)
    assert float(torch.linalg.vector_norm(first - second, dim=-1).min()) > 1e-3
    degree = torch.bincount(graph.source, minlength=graph.n_atoms)
    assert len(triplets) == int((degree[graph.target] - 1).sum())
    # The way on to another image of the first atom stays: v again after v, in a crystal of one atom.
    straight = chain(cutoff(3.0)(ZOO["fcc"]))
    assert all((a, a) in _pairs(straight) for a in range(12))


@pytest.mark.parametrize("name", ["fcc", "perovskite", "one-atom"])
def test_fans_and_chains_are_the_same_geometry_where_every_edge_has_its_reverse(name: str) -> None:
    graph = cutoff(4.0)(ZOO[name])
    legs = [torch.cat(rule(graph).vectors(graph.vectors), dim=1) for rule in (fan, chain)]
    assert legs[0].shape == legs[1].shape
    apart = torch.cdist(*legs)
    assert float(apart.amin(0).max()) < 1e-6
    assert float(apart.amin(1).max()) < 1e-6


@pytest.mark.parametrize("name", TRIPLETS)
@pytest.mark.parametrize("rule", [knn(4), cutoff(3.0)])
def test_triplets_are_invariant_under_all_groups(name: str, rule: object) -> None:
    before = rule(ALL)
    expected = TRIPLETS[name](before)
    for moved in moves(ALL, torch.Generator().manual_seed(3)):
        after = rule(moved.crystals)
        match = torch.from_numpy(match_edges(before, after, moved))
        mapped = zip(match[expected.first].tolist(), match[expected.second].tolist(), strict=True)
        assert sorted(mapped) == sorted(_pairs(TRIPLETS[name](after)))


@pytest.mark.parametrize("name", TRIPLETS)
def test_a_supercell_has_the_triplets_of_the_crystal(name: str) -> None:
    small, large = (TRIPLETS[name](knn(4)(c)) for c in (ZOO["perovskite"], supercell(ZOO["perovskite"], (2, 1, 3))))
    assert len(large) == 6 * len(small) > 0


@pytest.mark.parametrize("name", TRIPLETS)
def test_triplets_stay_within_their_structure(name: str) -> None:
    graph = knn(4)(ALL)
    triplets = TRIPLETS[name](graph)
    assert torch.equal(triplets.batch, graph.batch[triplets.first])
    assert torch.equal(triplets.batch, graph.batch[triplets.second])
    assert bool((triplets.batch.diff() >= 0).all())
    assert torch.bincount(triplets.batch).min() > 0
    assert triplets.flip_first == (name == "chain")


@pytest.mark.parametrize("rule", TRIPLETS.values())
@pytest.mark.parametrize("crystals", [ONE_ATOM, CrystalBatch.cat([])])
def test_no_edges_no_triplets(rule: TripletRule, crystals: CrystalBatch) -> None:
    graph = cutoff(0.5)(crystals)
    triplets = rule(graph)
    assert len(triplets) == 0
    assert [leg.shape for leg in triplets.vectors(graph.vectors)] == [(0, 3), (0, 3)]


def test_a_single_edge_and_atoms_without_any() -> None:
    """Edges 0 -> 2 and 2 -> 3 of four atoms: no fan, one chain; one of them alone: none."""
    crystal = zoo("triclinic")
    source, target = np.array([0, 2]), np.array([2, 3])
    image, vectors, batch = np.zeros((2, 3), dtype=np.int64), np.ones((2, 3)), np.zeros(2, dtype=np.int64)
    made = make_graph(source, target, image, vectors, batch, crystal)
    assert _pairs(fan(made)) == []
    assert _pairs(chain(made)) == [(0, 1)]
    one = make_graph(source[:1], target[:1], image[:1], vectors[:1], batch[:1], crystal)
    assert len(fan(one)) == len(chain(one)) == 0
