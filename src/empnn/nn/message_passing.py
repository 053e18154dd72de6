"""Message passing on atoms: equations 14, 15 and 19 of the paper."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from empnn.graph import Graph, Triplets

Aggregate = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class LocalGeometry:
    """What a layer sees of the crystals: the graph of the pass, and its geometry in the current lattice.

    Attributes:
        graph: Neighbour graph, built once per pass.
        triplets: Its triplets, or None if no field acts on them.
        vectors: Edge vectors in the current lattice, angstrom. Per edge.
        radial: Radial basis of their lengths. Per edge.
    """

    graph: Graph
    triplets: Triplets | None
    vectors: Float[Tensor, "edges 3"]
    radial: Float[Tensor, "edges radial"]


class EdgeLinear(nn.Module):
    """The linear map W [h_i || h_j || rbf(r)] of equations 19 and 20, without building the concatenation.

    The map splits into three: features are projected once per atom and gathered, distances once per edge.
    """

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.source = nn.Linear(features, features)
        self.target = nn.Linear(features, features, bias=False)
        self.radial = nn.Linear(radial, features, bias=False)

    def forward(
        self, atoms: Float[Tensor, "atoms features"], graph: Graph, radial: Float[Tensor, "edges radial"]
    ) -> Float[Tensor, "edges features"]:
        """Edge features of atom features and the radial basis of the edges."""
        edges: Tensor = self.source(atoms).index_select(0, graph.source)
        edges.add_(self.target(atoms).index_select(0, graph.target))
        return edges.addmm_(radial, self.radial.weight.mT)


class MessagePassing(nn.Module):
    """One layer: m = W' silu(W [h_i || h_j || rbf(r)]) over the edges whose source is i, then a GRU update.

    W' is applied after the sum over neighbours, with which it commutes. Invariant under Euc(3) and SL3(Z),
    equivariant under S_n.
    """

    def __init__(self, features: int, radial: int, aggregate: Aggregate) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.edge = EdgeLinear(features, radial)
        self.message = nn.Linear(features, features, bias=False)
        self.update = nn.GRUCell(features, features)

    def forward(
        self, atoms: Float[Tensor, "atoms features"], graph: Graph, radial: Float[Tensor, "edges radial"]
    ) -> Float[Tensor, "atoms features"]:
        """Updated atom features."""
        hidden = silu(self.edge(atoms, graph, radial))
        gathered = torch.zeros_like(atoms).index_add(0, graph.source, hidden)
        if self.aggregate == "mean":
            gathered = gathered / degree(graph).to(atoms.dtype).unsqueeze(-1)
        updated: Tensor = self.update(self.message(gathered), atoms)
        return updated


def degree(graph: Graph) -> Tensor:
    """Number of edges that start at each atom, at least 1; shape (atoms,)."""
    return torch.bincount(graph.source, minlength=graph.n_atoms).clamp_min(1)
