"""From edges and triplets to a deformation of the lattice: equations 10, 16 to 18, 20 and 21 of the paper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from empnn.fields import FieldSet
from empnn.geometry import cosine_and_sine
from empnn.graph import Graph, Triplets
from empnn.nn.message_passing import EdgeLinear, LocalGeometry
from empnn.nn.strain_gate import StrainGate

Reduction = Literal["mean", "sum"]

EXPONENT_LIMIT = 0.5


def limit_exponent(exponent: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures 3 3"]:
    """Scale matrices so that their Frobenius norm n stays below L = 0.5: n -> L tanh(n / L).

    A function of invariants only, so the direction of the deformation and its equivariance are kept; an element-wise
    limit would break rotation equivariance.
    """
    squared = exponent.square().sum((-2, -1), keepdim=True)
    ratio = (squared + torch.finfo(exponent.dtype).tiny).sqrt() / EXPONENT_LIMIT
    return exponent * (torch.tanh(ratio) / ratio)


def exponential(exponent: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures 3 3"]:
    """The action h = exp(S) with the limited exponent (equation 10): det h > 0 always."""
    action: Tensor = torch.linalg.matrix_exp(limit_exponent(exponent))
    return action


def first_order(exponent: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures 3 3"]:
    """The action h = I + S (equation 18): det h > 0 holds only for small S."""
    return torch.eye(3, dtype=exponent.dtype, device=exponent.device) + exponent


ACTIONS: dict[str, Callable[[Tensor], Tensor]] = {"exp": exponential, "first_order": first_order}
"""Maps from gl(3) to GL3(R) by the names used in `model.action`."""


@dataclass(frozen=True, kw_only=True)
class ActionSettings:
    """How weighted fields become one deformation of each lattice.

    Attributes:
        fields: The vector fields.
        action: A key of `ACTIONS`.
        reduction: `mean` over the edges and over the triplets of a structure (equation 10), or `sum` times `scale`
            (equation 18).
        scale: k of equation 18.
        weight_limit: Bound on the absolute weights, or None. Under `mean` it bounds the strain of one layer to that
            value per field, or to twice that with the gate.
        gate: Whether a `StrainGate` scales the exponent.
    """

    fields: FieldSet
    action: str
    reduction: Reduction
    scale: float
    weight_limit: float | None
    gate: bool


class EdgeWeights(nn.Module):
    """Weights of the edge fields, w = W' silu(W [h_i || h_j || rbf(r)]) (equations 16 and 20)."""

    def __init__(self, features: int, radial: int, n_fields: int) -> None:
        super().__init__()
        self.edge = EdgeLinear(features, radial)
        self.weight = nn.Linear(features, n_fields, bias=False)

    def forward(self, atoms: Tensor, graph: Graph, radial: Tensor) -> Float[Tensor, "edges fields"]:
        """Invariant weights of the fields of each edge."""
        weights: Tensor = self.weight(silu(self.edge(atoms, graph, radial)))
        return weights


class TripletWeights(nn.Module):
    """Weights of the triplet fields, equations 17 and 21.

    w = W' silu(W [h_i || h_j || h_k || rbf(r) || rbf(r') || cos || sin]), without building the concatenation: all but
    the angle is projected on edges and gathered.
    """

    def __init__(self, features: int, radial: int, n_fields: int) -> None:
        super().__init__()
        self.first = EdgeLinear(features, radial)
        self.second = nn.Linear(features, features, bias=False)
        self.second_radial = nn.Linear(radial, features, bias=False)
        self.angle = nn.Linear(2, features, bias=False)
        self.weight = nn.Linear(features, n_fields, bias=False)

    def forward(
        self, atoms: Tensor, graph: Graph, triplets: Triplets, radial: Tensor, vectors: Tensor
    ) -> Float[Tensor, "triplets fields"]:
        """Invariant weights of the fields of each triplet; `vectors` are those of the edges, in angstrom."""
        first = self.first(atoms, graph, radial)
        second = self.second(atoms).index_select(0, graph.target).addmm_(radial, self.second_radial.weight.mT)
        hidden: Tensor = self.angle(cosine_and_sine(*triplets.vectors(vectors)))
        hidden = hidden + first.index_select(0, triplets.first) + second.index_select(0, triplets.second)
        weights: Tensor = self.weight(silu(hidden))
        return weights


class LatticeAction(nn.Module):
    """Deformation h of one layer: weigh the fields of edges and triplets, reduce per structure, act.

    h(Q M) = Q h(M) Q^T under O(3); invariant under translations, SL3(Z) and S_n, and with the mean reduction under the
    choice of a supercell.
    """

    def __init__(self, features: int, radial: int, settings: ActionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.act = ACTIONS[settings.action]
        fields = settings.fields
        self.edges = EdgeWeights(features, radial, len(fields.edges)) if fields.edges else None
        self.triplets = TripletWeights(features, radial, len(fields.triplets)) if fields.triplets else None
        self.gate = StrainGate(features) if settings.gate else None

    def forward(
        self,
        atoms: Float[Tensor, "atoms features"],
        geometry: LocalGeometry,
        strain: Float[Tensor, "structures 3 3"],
    ) -> tuple[Float[Tensor, "structures 3 3"], Float[Tensor, "structures 3 3"]]:
        """Deformation h of each structure, acting as `cell @ h.T`, and the sum of the exponents so far.

        Args:
            atoms: Atom features.
            geometry: The graph in the current lattice.
            strain: Sum of the exponents of the layers before, as they were before `limit_exponent`.
        """
        exponent = torch.zeros_like(strain)
        graph, vectors = geometry.graph, geometry.vectors
        if self.edges is not None:
            weights = self.edges(atoms, graph, geometry.radial)
            fields = [field(vectors) for field in self.settings.fields.edges]
            exponent = exponent + self._reduce(weights, fields, graph.batch, graph.n_structures)
        if self.triplets is not None and geometry.triplets is not None:
            triplets = geometry.triplets
            weights = self.triplets(atoms, graph, triplets, geometry.radial, vectors)
            fields = [field(*triplets.vectors(vectors)) for field in self.settings.fields.triplets]
            exponent = exponent + self._reduce(weights, fields, triplets.batch, graph.n_structures)
        if self.gate is not None:
            exponent = self.gate(exponent, strain + exponent, _mean_per_structure(atoms, graph))
        return self.act(exponent), strain + exponent

    def _reduce(self, weights: Tensor, fields: Sequence[Tensor], batch: Tensor, n_structures: int) -> Tensor:
        """Sum of weight times field over the edges or triplets of each structure, or its mean."""
        limit = self.settings.weight_limit
        if limit is not None:
            weights = limit * (2 * torch.sigmoid(weights) - 1)
        weighted = torch.stack([w[:, None, None] * f for w, f in zip(weights.unbind(1), fields, strict=True)]).sum(0)
        total: Tensor = weighted.new_zeros(n_structures, 3, 3).index_add(0, batch, weighted)
        if self.settings.reduction == "sum":
            return total * self.settings.scale
        count = torch.bincount(batch, minlength=n_structures).clamp_min(1)
        return total / count.to(total.dtype)[:, None, None]


def _mean_per_structure(atoms: Tensor, graph: Graph) -> Tensor:
    total = atoms.new_zeros(graph.n_structures, atoms.shape[1]).index_add(0, graph.atom_batch, atoms)
    sizes = torch.bincount(graph.atom_batch, minlength=graph.n_structures)
    return total / sizes.to(atoms.dtype).unsqueeze(-1)
