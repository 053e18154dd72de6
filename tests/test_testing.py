"""The check of equivariance must be able to fail, and to name the group that is broken."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from support.field_weights import field_weights
from support.zoo import TRICLINIC, zoo
from torch import Tensor

from empnn import symmetry
from empnn.crystals import CrystalBatch
from empnn.fields import KETBRA
from empnn.graph import Graph, GraphRule, knn
from empnn.graph.graph import make_graph
from empnn.nn import EMPNN, GraphConfig, ModelConfig, RadialConfig
from empnn.testing import Moved, assert_equivariant, equivariance_errors, match_edges, moves

CRYSTALS = zoo("fcc", "hcp", "rocksalt", "perovskite", "triclinic", "one-atom", "left-handed")
TOLERANCE = 1e-9


def strain(graph: Graph) -> Tensor:
    """A correct layer: the mean of the ket-bras, weighted by the lengths."""
    weights = torch.exp(-torch.linalg.vector_norm(graph.vectors, dim=-1) / 3)
    fields = weights[:, None, None] * KETBRA(graph.vectors)
    total = fields.new_zeros(graph.n_structures, 3, 3).index_add(0, graph.batch, fields)
    return total / torch.bincount(graph.batch)[:, None, None]


def top_k(k: int) -> GraphRule:
    """The k shortest edges of each atom, ties broken by their position in the list: what not to do."""

    def rule(crystals: CrystalBatch) -> Graph:
        graph = knn(k)(crystals)
        order = torch.linalg.vector_norm(graph.vectors, dim=-1).argsort(stable=True)
        order = order[graph.source[order].argsort(stable=True)]
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(graph.source).cumsum(0)[:-1]])
        kept = order[torch.arange(len(graph)) - starts[graph.source] < k]
        names = ("source", "target", "image", "vectors", "batch")
        return make_graph(*(getattr(graph, name)[kept].numpy() for name in names), crystals)

    return rule


def element_wise_tanh(crystals: CrystalBatch) -> Tensor:
    return torch.tanh(5 * strain(knn(8)(crystals)))


def atom_order(crystals: CrystalBatch) -> Tensor:
    graph = knn(8)(crystals)
    first = crystals.numbers[crystals.starts[:-1]].to(torch.float64)
    return first[:, None, None] * strain(graph)


def absolute_positions(crystals: CrystalBatch) -> Tensor:
    mean = torch.zeros(len(crystals), 3, dtype=torch.float64).index_add(0, crystals.batch, crystals.frac)
    return mean.square().sum(-1)[:, None, None] * strain(knn(8)(crystals))


def lattice_vectors(crystals: CrystalBatch) -> Tensor:
    return crystals.cell.mT @ crystals.cell


def chirality(crystals: CrystalBatch) -> Tensor:
    return torch.linalg.det(crystals.cell)[:, None, None] * strain(knn(8)(crystals))


def broken_groups(subject: Callable[[CrystalBatch], Tensor]) -> set[str]:
    errors = equivariance_errors(subject, CRYSTALS)["action"]
    return {group for group, error in errors.items() if not error <= TOLERANCE}


def test_a_correct_layer_passes() -> None:
    assert_equivariant(lambda crystals: strain(knn(8)(crystals)), CRYSTALS)
    assert_equivariant(strain, CRYSTALS, rule=knn(8), kinds={"field": "operator"})


@pytest.mark.parametrize(
    ("subject", "groups"),
    [
        (element_wise_tanh, {"O(3)"}),
        (atom_order, {"S_n"}),
        (absolute_positions, {"translation", "SL3(Z) mild", "SL3(Z) skewed"}),
        (lattice_vectors, {"SL3(Z) mild", "SL3(Z) skewed"}),
        (chirality, {"O(3)"}),
    ],
)
def test_broken_layers_are_caught_on_the_right_group(
    subject: Callable[[CrystalBatch], Tensor], groups: set[str]
) -> None:
    assert broken_groups(subject) == groups
    with pytest.raises(AssertionError, match="not equivariant to 1e-09"):
        assert_equivariant(subject, CRYSTALS)


def test_a_plain_top_k_graph_is_caught() -> None:
    assert broken_groups(lambda crystals: strain(top_k(8)(crystals))) >= {"S_n", "SL3(Z) skewed"}


def test_the_whole_network_on_a_plain_top_k_graph_is_caught() -> None:
    torch.manual_seed(0)
    config = ModelConfig(features=8, message_layers=1, action_layers=1, graph=GraphConfig(k=8), radial=RadialConfig(8))
    model = EMPNN(config).double()
    for weight in field_weights(model):
        weight.data *= 20
    assert_equivariant(model, CRYSTALS)
    model.rule = top_k(8)
    with pytest.raises(AssertionError, match="steps"):
        assert_equivariant(model, CRYSTALS)


def test_nan_is_an_error() -> None:
    with pytest.raises(AssertionError, match="nan"):
        assert_equivariant(lambda crystals: torch.full((len(crystals), 3, 3), torch.nan), CRYSTALS)


def test_results_of_every_kind_are_compared() -> None:
    def subject(crystals: CrystalBatch) -> dict[str, Tensor]:
        graph = knn(8)(crystals)
        length = torch.linalg.vector_norm(graph.vectors, dim=-1)
        return {
            "action": strain(graph),
            "cell": crystals.cell @ strain(graph),
            "atoms": torch.zeros(crystals.n_atoms, dtype=torch.float64).index_add(0, graph.source, length),
            "edges": length,
            "field": KETBRA(graph.vectors),
            "volume": torch.linalg.det(crystals.cell).abs(),
        }

    correct = zoo("hcp", "perovskite", "triclinic")
    assert_equivariant(subject, correct, rule=None, kinds={"volume": "structure"}, tolerance=1e-8)
    for name in subject(correct):

        def wrong(crystals: CrystalBatch, name: str = name) -> dict[str, Tensor]:
            results = subject(crystals)
            # A pattern that stays where it is in the arrays, whatever happens to atoms, edges and axes.
            pattern = torch.arange(results[name].numel(), dtype=torch.float64).reshape(results[name].shape)
            first = (crystals.cell[:, 0, 0].sum() + crystals.frac[0, 0]) * pattern
            return {name: results[name] + 0.01 * first}

        with pytest.raises(AssertionError, match=name):
            assert_equivariant(wrong, correct, kinds={"volume": "structure"}, tolerance=1e-8)


def test_a_dataclass_is_compared_field_by_field() -> None:
    @dataclass
    class Result:
        action: Tensor
        atoms: Tensor

    errors = equivariance_errors(
        lambda crystals: Result(strain(knn(8)(crystals)), crystals.numbers.to(torch.float64)), CRYSTALS
    )
    assert set(errors) == {"action", "atoms"}
    assert set(errors["atoms"]) == {"O(3)", "translation", "S_n", "SL3(Z) mild", "SL3(Z) skewed"}


def test_results_without_a_known_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="how energy transforms"):
        assert_equivariant(lambda crystals: {"energy": crystals.cell[:, 0, 0]}, CRYSTALS)


def test_moves_are_no_identities() -> None:
    seen = list(moves(CRYSTALS, torch.Generator().manual_seed(0)))
    assert [moved.group for moved in seen] == ["O(3)", "translation", "S_n", "SL3(Z) mild", "SL3(Z) skewed"]
    for moved in seen:
        crystals = moved.crystals
        same = torch.equal(crystals.cell, CRYSTALS.cell) and torch.equal(crystals.frac, CRYSTALS.frac)
        assert not same, moved.group
    assert int(seen[-1].unimodular.abs().max()) > 20


def test_edges_are_matched_with_what_they_became(generator: torch.Generator) -> None:
    q = symmetry.random_orthogonal(1, generator)
    order = torch.tensor([3, 0, 4, 1, 2])
    crystals = symmetry.permute(symmetry.rotate(TRICLINIC, q), order)
    moved = Moved("both", crystals, q, order, torch.eye(3, dtype=torch.int64)[None])
    first, second = knn(8)(TRICLINIC), knn(8)(crystals)
    match = match_edges(first, second, moved)
    torch.testing.assert_close(first.vectors @ q[0].T, second.vectors[match])
    assert torch.equal(TRICLINIC.numbers[first.target], crystals.numbers[second.target[match]])
    with pytest.raises(AssertionError, match="edges became"):
        match_edges(first, knn(9)(crystals), moved)
    with pytest.raises(AssertionError, match="edge set changed"):
        match_edges(first, replace(second, vectors=1.001 * second.vectors), moved)
