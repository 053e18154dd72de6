"""From edges to a deformation of the lattice: equations 10, 16, 18 and 20 of the paper."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from empnn.fields import FieldSet
from empnn.graph import Graph
from empnn.nn.message_passing import EdgeLinear

Reduction = Literal["mean", "sum"]

EXPONENT_LIMIT = 0.5
GATE_SIZES = (0.003, 0.01, 0.03, 0.06, 0.1, 0.2)


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
        reduction: `mean` over the edges of a structure (equation 10), or `sum` times `scale` (equation 18).
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


class StrainGate(nn.Module):
    """Scales the isotropic and the deviatoric part of an exponent by functions of invariants.

    How far a crystal is from equilibrium shows in its shape before it shows in its volume: equal bonds have become
    unequal. The gate reads the size of both parts of the strain found so far, and the mean atom features, and learns
    how much of each to believe. A crystal whose shape is right then keeps its volume. The parts are scaled as a whole,
    so the equivariance of the exponent is kept; supercells give the same.
    """

    sizes: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("sizes", torch.tensor(GATE_SIZES), persistent=False)
        self.hidden = nn.Linear(features + 2 * len(GATE_SIZES), features)
        self.factors = nn.Linear(features, 2)

    def forward(
        self,
        exponent: Float[Tensor, "structures 3 3"],
        strain: Float[Tensor, "structures 3 3"],
        mean_features: Float[Tensor, "structures features"],
    ) -> Float[Tensor, "structures 3 3"]:
        """The scaled exponent of a layer.

        Args:
            exponent: What the layer's edges ask for.
            strain: Sum of the exponents so far, this one included.
            mean_features: Mean atom features.
        """
        invariants = [self._levels(part) for part in _split(strain)]
        factors = 2 * torch.sigmoid(self.factors(silu(self.hidden(torch.cat([mean_features, *invariants], dim=-1)))))
        isotropic, deviatoric = _split(exponent)
        return factors[:, 0, None, None] * isotropic + factors[:, 1, None, None] * deviatoric

    def _levels(self, part: Float[Tensor, "structures 3 3"]) -> Float[Tensor, "structures levels"]:
        """Squared Frobenius norm n^2 as n^2 / (n^2 + s^2) for several sizes s: bounded, smooth at 0."""
        squared = part.square().sum((-2, -1)).unsqueeze(-1)
        return squared / (squared + self.sizes.square())


class LatticeAction(nn.Module):
    """Deformation h of one layer: weigh each edge's field by its atoms and length, reduce over edges, act.

    w = W' silu(W [h_i || h_j || rbf(r)]) (equations 16, 20). h(Q M) = Q h(M) Q^T under O(3); invariant under
    translations, SL3(Z) and S_n, and with the mean reduction under the choice of a supercell.
    """

    def __init__(self, features: int, radial: int, settings: ActionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.act = ACTIONS[settings.action]
        self.edge = EdgeLinear(features, radial)
        self.weight = nn.Linear(features, len(settings.fields.edges), bias=False)
        self.gate = StrainGate(features) if settings.gate else None

    def forward(
        self,
        atoms: Float[Tensor, "atoms features"],
        graph: Graph,
        vectors: Float[Tensor, "edges 3"],
        radial: Float[Tensor, "edges radial"],
        strain: Float[Tensor, "structures 3 3"],
    ) -> tuple[Float[Tensor, "structures 3 3"], Float[Tensor, "structures 3 3"]]:
        """Deformation h of each structure, acting as `cell @ h.T`, and the sum of the exponents so far.

        Args:
            atoms: Atom features.
            graph: Neighbour graph.
            vectors: Edge vectors in the current lattice, angstrom.
            radial: Radial basis of their lengths.
            strain: Sum of the exponents of the layers before.
        """
        exponent = self._exponent(atoms, graph, vectors, radial)
        if self.gate is not None:
            exponent = self.gate(exponent, strain + exponent, _mean_per_structure(atoms, graph))
        return self.act(exponent), strain + exponent

    def _exponent(self, atoms: Tensor, graph: Graph, vectors: Tensor, radial: Tensor) -> Tensor:
        weights = self.weight(silu(self.edge(atoms, graph, radial)))
        limit = self.settings.weight_limit
        if limit is not None:
            weights = limit * (2 * torch.sigmoid(weights) - 1)
        fields = torch.stack([field(vectors) for field in self.settings.fields.edges], dim=1)
        weighted = (weights[..., None, None] * fields).sum(1)
        exponent: Tensor = weighted.new_zeros(graph.n_structures, 3, 3).index_add(0, graph.batch, weighted)
        if self.settings.reduction == "sum":
            return exponent * self.settings.scale
        edges = torch.bincount(graph.batch, minlength=graph.n_structures).clamp_min(1)
        return exponent / edges.to(exponent.dtype)[:, None, None]


def _split(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Isotropic part (tr / 3) I and the rest, of matrices (structures, 3, 3)."""
    third = matrix.diagonal(dim1=-2, dim2=-1).mean(-1)
    isotropic = third[:, None, None] * torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    return isotropic, matrix - isotropic


def _mean_per_structure(atoms: Tensor, graph: Graph) -> Tensor:
    total = atoms.new_zeros(graph.n_structures, atoms.shape[1]).index_add(0, graph.atom_batch, atoms)
    sizes = torch.bincount(graph.atom_batch, minlength=graph.n_structures)
    return total / sizes.to(atoms.dtype).unsqueeze(-1)
