"""From weighted edges and triplets to what a layer does to a crystal: equations 2, 10 and 18 of the paper."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from empnn.fields import FieldSet
from empnn.graph import Graph
from empnn.nn.field_sums import push_by_edges, push_by_triplets, sum_edge_fields, sum_triplet_fields
from empnn.nn.message_passing import LocalGeometry
from empnn.nn.strain_gate import StrainGate
from empnn.nn.weights import EdgeWeights, TripletWeights

Reduction = Literal["mean", "sum"]

EXPONENT_LIMIT = 0.5
"""Frobenius norm that the exponent of a layer stays below, unless a configuration says otherwise."""
SUM_START = 1e-2
"""Factor on the first weights of the fields if they are summed."""
DISPLACEMENT_LIMIT = 0.5
"""Distance in angstrom that a layer moves an atom at most, before the mean of the structure is taken off."""


def limit_norm(value: Tensor, limit: float, dim: int | tuple[int, ...]) -> Tensor:
    """Scale vectors or matrices over `dim` so that their norm n stays below a limit L: n -> L tanh(n / L).

    A function of invariants only, so the direction and with it the equivariance is kept; an element-wise limit would
    break rotation equivariance.
    """
    squared = value.square().sum(dim, keepdim=True)
    ratio = (squared + torch.finfo(value.dtype).tiny).sqrt() / limit
    return value * (torch.tanh(ratio) / ratio)


def limit_exponent(
    exponent: Float[Tensor, "structures 3 3"], limit: float = EXPONENT_LIMIT
) -> Float[Tensor, "structures 3 3"]:
    """Limit the Frobenius norm of an exponent."""
    return limit_norm(exponent, limit, (-2, -1))


def exponential(
    exponent: Float[Tensor, "structures 3 3"], limit: float = EXPONENT_LIMIT
) -> Float[Tensor, "structures 3 3"]:
    """The action h = exp(S) with the limited exponent (equation 10): det h > 0 always."""
    return _matrix_exp(limit_exponent(exponent, limit), limit)


def _matrix_exp(exponent: Float[Tensor, "structures 3 3"], limit: float) -> Float[Tensor, "structures 3 3"]:
    """exp(S) of matrices whose norm is below a limit, to rounding in float64.

    exp(S / 2^n)^(2^n) with the first terms of the series, the same number for all, and n such that the norm of S / 2^n
    is at most 1/8: `torch.linalg.matrix_exp` chooses them by a norm that is not invariant under rotations, and errs by
    1e-10 where it chooses few.
    """
    identity = torch.eye(3, dtype=exponent.dtype, device=exponent.device)
    halvings = max(0, math.ceil(math.log2(8 * limit)))
    part = exponent / 2**halvings
    result: Tensor = identity + part / _SERIES_ORDER
    for order in range(_SERIES_ORDER - 1, 0, -1):
        result = identity + _products(part, result) / order
    for _ in range(halvings):
        result = _products(result, result)
    return result


def _products(first: Float[Tensor, "structures 3 3"], second: Float[Tensor, "structures 3 3"]) -> Tensor:
    """Product of two matrices of each structure, written out: a library prepares one for each number of them."""
    return (first.unsqueeze(-1) * second.unsqueeze(-3)).sum(-2)


def first_order(
    exponent: Float[Tensor, "structures 3 3"], limit: float = EXPONENT_LIMIT
) -> Float[Tensor, "structures 3 3"]:
    """The action h = I + S (equation 18), which knows no limit: det h > 0 holds only for small S."""
    return torch.eye(3, dtype=exponent.dtype, device=exponent.device) + exponent


_SERIES_ORDER = 11
"""(1 / 8)^12 / 12! is 3e-20."""

ACTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {"exp": exponential, "first_order": first_order}
"""Maps from gl(3) to GL3(R) by the names used in `model.action`."""


@dataclass(frozen=True, kw_only=True)
class ActionSettings:
    """How weighted fields become one deformation of each crystal.

    Attributes:
        fields: The vector fields.
        action: A key of `ACTIONS`.
        reduction: `mean` over the edges and over the triplets of a structure (equation 10), or `sum` times `scale`
            (equation 18).
        scale: k of equation 18.
        weight_limit: Bound on the absolute weights, or None. Under `mean` it bounds the strain of one layer to that
            value per field, or to twice that with the gate.
        exponent_limit: Frobenius norm that the exponent of a layer stays below; `first_order` has no limit.
        gate: Whether a `StrainGate` scales the exponent.
        moves_atoms: Whether atoms move within the cell too (equation 2).
    """

    fields: FieldSet
    action: str
    reduction: Reduction
    scale: float
    weight_limit: float | None
    gate: bool
    exponent_limit: float = EXPONENT_LIMIT
    moves_atoms: bool = False


@dataclass(frozen=True, kw_only=True)
class LayerAction:
    """What one layer does to the crystals: atoms move, then the lattice deforms and takes them along.

    Attributes:
        lattice: h, acting as `cell @ h.T`. Per structure.
        strain: Sum of the exponents so far, as they were before `limit_exponent`. Per structure.
        displacement: Cartesian, angstrom, zero on average over each structure unless atoms of it are fixed; None if
            atoms stay. Per atom.
    """

    lattice: Float[Tensor, "structures 3 3"]
    strain: Float[Tensor, "structures 3 3"]
    displacement: Float[Tensor, "atoms 3"] | None


class CrystalAction(nn.Module):
    """The action of one layer: weigh the fields of edges and triplets, reduce per structure, act.

    Lattice: h(Q M) = Q h(M) Q^T under O(3). Atoms: one more weight w per edge, two per triplet, and atom i is moved by
    the reduction of w u over the edges and triplets around it, u = v / r; d(Q M) = Q d(M). Both are invariant under
    translations, SL3(Z) and S_n, and with the mean reduction under the choice of a supercell.
    """

    def __init__(self, features: int, radial: int, settings: ActionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.act = ACTIONS[settings.action]
        fields, moves = settings.fields, int(settings.moves_atoms)
        self.edges = EdgeWeights(features, radial, len(fields.edges) + moves) if fields.edges else None
        self.triplets = TripletWeights(features, radial, len(fields.triplets) + 2 * moves) if fields.triplets else None
        self.gate = StrainGate(features) if settings.gate else None
        if settings.reduction == "sum":
            self._start_small()

    def forward(
        self,
        atoms: Float[Tensor, "atoms features"],
        geometry: LocalGeometry,
        strain: Float[Tensor, "structures 3 3"],
    ) -> LayerAction:
        """What the layer does to each structure.

        Args:
            atoms: Atom features.
            geometry: The graph in the current lattice.
            strain: Sum of the exponents of the layers before, as they were before `limit_exponent`.
        """
        graph = geometry.graph
        fields, moves = self.settings.fields, self.settings.moves_atoms
        exponent = torch.zeros_like(strain)
        push = geometry.vectors.new_zeros(graph.n_atoms, 3)
        if self.edges is not None:
            weights = self._limited(self.edges(atoms, graph, geometry.radial))
            total = sum_edge_fields(fields.edges, weights[:, : len(fields.edges)], geometry)
            exponent = exponent + self._scaled(total, graph.batch)
            if moves:
                push = push + self._scaled(push_by_edges(weights[:, -1], geometry), graph.source)
        if self.triplets is not None and graph.triplets is not None:
            triplets, angles = graph.triplets, geometry.angles
            weights = self._limited(self.triplets(atoms, graph, triplets, geometry.radial, angles))
            n = len(fields.triplets)
            total = sum_triplet_fields(fields.triplets, weights[:, :n], geometry, triplets, angles)
            exponent = exponent + self._scaled(total, triplets.batch)
            if moves:
                # Both legs point away from the source of the second, in a fan and in a chain.
                centre = graph.source.index_select(0, triplets.second)
                push = push + self._scaled(push_by_triplets(weights[:, n:], geometry, triplets), centre)
        if self.gate is not None:
            exponent = self.gate(exponent, strain + exponent, mean_per_structure(atoms, graph))
        displacement = None
        if self.settings.moves_atoms:
            displacement = limit_norm(push, DISPLACEMENT_LIMIT, -1)
            displacement = displacement - mean_per_structure(displacement, graph).index_select(0, graph.atom_batch)
        return LayerAction(
            lattice=self.act(exponent, self.settings.exponent_limit),
            strain=strain + exponent,
            displacement=displacement,
        )

    def _start_small(self) -> None:
        """Scale the first weights down, for a sum grows with the number of triplets.

        Otherwise an untrained network with several fields turns crystals inside out, and the first gradient is none.
        """
        with torch.no_grad():
            for part in (self.edges, self.triplets):
                if part is not None:
                    part.weight.weight.mul_(SUM_START)

    def _limited(self, weights: Tensor) -> Tensor:
        limit = self.settings.weight_limit
        return weights if limit is None else limit * (2 * torch.sigmoid(weights) - 1)

    def _scaled(self, total: Tensor, index: Tensor) -> Tensor:
        """The mean, or the scaled sum, from the sum of what belongs to each structure or atom."""
        if self.settings.reduction == "sum":
            return total * self.settings.scale
        count = _counts(index, len(total), total.dtype).clamp_min(1)
        return total / count.view(-1, *[1] * (total.dim() - 1))


def mean_per_structure(values: Float[Tensor, "atoms n"], graph: Graph) -> Float[Tensor, "structures n"]:
    """Mean over the atoms of each structure."""
    total = values.new_zeros(graph.n_structures, values.shape[1]).index_add(0, graph.atom_batch, values)
    return total / _counts(graph.atom_batch, graph.n_structures, values.dtype).unsqueeze(-1)


def _counts(index: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """How often each of n numbers occurs; `torch.bincount` would make the host wait for a GPU."""
    ones = torch.ones_like(index, dtype=dtype)
    return torch.zeros(n, dtype=dtype, device=index.device).index_add(0, index, ones)
