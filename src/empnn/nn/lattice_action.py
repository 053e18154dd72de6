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
            value per field.
    """

    fields: FieldSet
    action: str
    reduction: Reduction
    scale: float
    weight_limit: float | None


class LatticeAction(nn.Module):
    """h of one layer: weigh each edge's field by an invariant function of its atoms and length, reduce, act.

    w = W' silu(W [h_i || h_j || rbf(r)]) (equations 16, 20). h(Q M) = Q h(M) Q^T under O(3); invariant under
    translations, SL3(Z) and S_n, and with the mean reduction under the choice of a supercell.
    """

    def __init__(self, features: int, radial: int, settings: ActionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.act = ACTIONS[settings.action]
        self.edge = EdgeLinear(features, radial)
        self.weight = nn.Linear(features, len(settings.fields.edges), bias=False)

    def forward(
        self,
        atoms: Float[Tensor, "atoms features"],
        graph: Graph,
        vectors: Float[Tensor, "edges 3"],
        radial: Float[Tensor, "edges radial"],
    ) -> Float[Tensor, "structures 3 3"]:
        """Deformation h of each structure, acting as `cell @ h.T`."""
        weights = self.weight(silu(self.edge(atoms, graph, radial)))
        limit = self.settings.weight_limit
        if limit is not None:
            weights = limit * (2 * torch.sigmoid(weights) - 1)
        fields = torch.stack([field(vectors) for field in self.settings.fields.edges], dim=1)
        weighted = (weights[..., None, None] * fields).sum(1)
        exponent = weighted.new_zeros(graph.n_structures, 3, 3).index_add(0, graph.batch, weighted)
        return self.act(exponent * self._scale(graph).to(exponent.dtype))

    def _scale(self, graph: Graph) -> Tensor:
        if self.settings.reduction == "sum":
            return torch.tensor(self.settings.scale, device=graph.batch.device)
        edges = torch.bincount(graph.batch, minlength=graph.n_structures).clamp_min(1)
        return (1 / edges)[:, None, None]
