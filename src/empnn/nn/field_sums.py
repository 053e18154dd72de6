"""Weighted sums of vector fields over the edges and triplets of structures: the sums of equations 10 and 18.

Fields that are made of directions u alone are summed before they become matrices: a triplet adds to the coefficient of
u u^T of both its edges and, for cross terms, u' to a vector y of its first edge, whose u y^T is taken once per edge.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from empnn.fields import AlongEdge, Coefficients, EdgeField, Frame, InPlane, TripletField
from empnn.graph import Triplets
from empnn.nn.kernels.edge_sums import sum_left, sum_right, take_right
from empnn.nn.message_passing import LocalGeometry


def sum_edge_fields(
    fields: Sequence[EdgeField], weights: Float[Tensor, "edges fields"], geometry: LocalGeometry
) -> Float[Tensor, "structures 3 3"]:
    """Sum over the edges of each structure of weight times field."""
    along, rest = torch.zeros_like(geometry.lengths), []
    for field, weight in zip(fields, weights.unbind(1), strict=True):
        if isinstance(field, AlongEdge):
            along = along + weight * field.coefficient(geometry.lengths)
        else:
            rest.append(weight[:, None, None] * field(geometry.vectors))
    total = _sum_of_products(along.unsqueeze(-1) * geometry.units, geometry.units, geometry)
    return total + _per_structure(rest, geometry.graph.batch, geometry) if rest else total


def sum_triplet_fields(
    fields: Sequence[TripletField],
    weights: Float[Tensor, "triplets fields"],
    geometry: LocalGeometry,
    triplets: Triplets,
    angles: Float[Tensor, "triplets 2"],
) -> Float[Tensor, "structures 3 3"]:
    """Sum over the triplets of each structure of weight times field; `angles` are cosine and squared sine."""
    pairs, units = triplets.pairs, geometry.units
    lengths = [geometry.lengths.index_select(0, side) for side in (pairs.left, pairs.right)]
    frame = Frame(lengths[0], lengths[1], angles[:, 0], angles[:, 1])
    sums: dict[str, Tensor] = {}
    rest = []
    for field, weight in zip(fields, weights.unbind(1), strict=True):
        if isinstance(field, InPlane):
            for name, coefficient in zip(Coefficients._fields, field.coefficients(frame), strict=True):
                if isinstance(coefficient, Tensor) or coefficient != 0:
                    sums[name] = sums.get(name, 0.0) + weight * coefficient
        else:
            rest.append(weight[:, None, None] * field(*triplets.vectors(geometry.vectors)))
    total = geometry.vectors.new_zeros(geometry.graph.n_structures, 3, 3)
    along = [s(sums[n].unsqueeze(-1), pairs) for n, s in (("first", sum_left), ("second", sum_right)) if n in sums]
    if along:
        total = total + _sum_of_products(torch.stack(along).sum(0) * units, units, geometry)
    crossed = [name for name in ("symmetric", "antisymmetric") if name in sums]
    if crossed:
        legs = take_right(-units if triplets.flip_first else units, pairs)
        gathered = sum_left(torch.cat([sums[name].unsqueeze(-1) * legs for name in crossed], dim=1), pairs)
        for name, other in zip(crossed, gathered.chunk(len(crossed), dim=1), strict=True):
            cross = _sum_of_products(units, other, geometry) / 2
            total = total + (cross + cross.mT if name == "symmetric" else cross - cross.mT)
    return total + _per_structure(rest, triplets.batch, geometry) if rest else total


def push_by_edges(weights: Float[Tensor, " edges"], geometry: LocalGeometry) -> Float[Tensor, "atoms 3"]:
    """For each atom the sum of w u over the edges that start at it."""
    return sum_left(weights.unsqueeze(-1) * geometry.units, geometry.graph.pairs)


def push_by_triplets(
    weights: Float[Tensor, "triplets 2"], geometry: LocalGeometry, triplets: Triplets
) -> Float[Tensor, "atoms 3"]:
    """For each atom the sum of w u + w' u' over the triplets whose common point it is."""
    edges, units = geometry.graph.pairs, geometry.units
    first = sum_left(weights[:, :1], triplets.pairs) * units
    second = sum_right(weights[:, 1:], triplets.pairs) * units
    if triplets.flip_first:
        return sum_left(second, edges) - sum_right(first, edges)
    return sum_left(first + second, edges)


def _sum_of_products(
    first: Float[Tensor, "edges 3"], second: Float[Tensor, "edges 3"], geometry: LocalGeometry
) -> Float[Tensor, "structures 3 3"]:
    """Sum of |first><second| over the edges of each structure, component by component: edges are contiguous there."""
    columns = first.mT.contiguous().unsqueeze(1) * second.mT.contiguous()
    total = first.new_zeros(9, geometry.graph.n_structures).index_add(1, geometry.graph.batch, columns.flatten(0, 1))
    return total.mT.reshape(-1, 3, 3)


def _per_structure(matrices: Sequence[Tensor], batch: Tensor, geometry: LocalGeometry) -> Tensor:
    """Sum of several matrices of each edge or triplet over those of each structure."""
    total = geometry.vectors.new_zeros(geometry.graph.n_structures, 3, 3)
    return total.index_add(0, batch, torch.stack(list(matrices)).sum(0))
