"""The costly part of every layer: silu(a_i + b_j + W f) for each pair (i, j), summed over j or projected to weights.

A linear map of a concatenation [h_i || h_j || f] is the sum of three: the first two are projected once per row and
gathered here. Nothing as large as pairs x features is kept: both directions go through the pairs in chunks that stay in
the caches, and the way back computes the hidden values again. Sums run over contiguous pairs, so nothing is scattered.
On the way back a chunk holds whole structures: a very large one is a chunk of its own. There are no second derivatives.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from empnn.graph import Pairs
from empnn.graph.pairs import Chunk


def sum_over_right(
    table: Float[Tensor, "rows two_features"],
    features: Float[Tensor, "pairs n"],
    weight: Float[Tensor, "features n"],
    pairs: Pairs,
) -> Float[Tensor, "rows features"]:
    """For each row i the sum of silu(a_i + b_j + W f_ij) over its pairs.

    Args:
        table: a and b of each row, side by side.
        features: f of each pair.
        weight: W.
        pairs: The pairs.
    """
    result: Tensor = _SumOverRight.apply(table, features, weight, pairs)  # type: ignore[no-untyped-call]
    return result


def project(
    table: Float[Tensor, "rows two_features"],
    features: Float[Tensor, "pairs n"],
    weight: Float[Tensor, "features n"],
    projection: Float[Tensor, "weights features"],
    pairs: Pairs,
) -> Float[Tensor, "pairs weights"]:
    """For each pair W' silu(a_i + b_j + W f_ij); arguments as in `sum_over_right`, and the projection W'."""
    result: Tensor = _Project.apply(table, features, weight, projection, pairs)  # type: ignore[no-untyped-call]
    return result


def sum_left(values: Float[Tensor, "pairs n"], pairs: Pairs) -> Float[Tensor, "rows n"]:
    """For each row the sum over the pairs it is on the left of."""
    result: Tensor = _SumLeft.apply(values, pairs)  # type: ignore[no-untyped-call]
    return result


def sum_right(values: Float[Tensor, "pairs n"], pairs: Pairs) -> Float[Tensor, "rows n"]:
    """For each row the sum over the pairs it is on the right of."""
    result: Tensor = _SumRight.apply(values, pairs)  # type: ignore[no-untyped-call]
    return result


def take_right(rows: Float[Tensor, "rows n"], pairs: Pairs) -> Float[Tensor, "pairs n"]:
    """For each pair the row on its right."""
    result: Tensor = _TakeRight.apply(rows, pairs)  # type: ignore[no-untyped-call]
    return result


def angles_between(units: Float[Tensor, "rows 3"], pairs: Pairs) -> Float[Tensor, "pairs 2"]:
    """For each pair of unit vectors the cosine and the squared sine of their angle."""
    result: Tensor = _Angles.apply(units, pairs)  # type: ignore[no-untyped-call]
    return result


def sum_of_sides(table: Float[Tensor, "rows two_features"], pairs: Pairs) -> Float[Tensor, "pairs features"]:
    """For each pair a_i + b_j; arguments as in `sum_over_right`."""
    result: Tensor = _SumOfSides.apply(table, pairs)  # type: ignore[no-untyped-call]
    return result


class _SumOfSides(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return _bags(table.reshape(2 * table.shape[0], table.shape[1] // 2), pairs.sides)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        pairs, (outer,) = ctx.pairs, gradients
        whole = _whole(pairs)
        return torch.cat([_sum_left(outer, pairs, whole), _sum_right(outer, pairs, whole)], dim=1), None


class _SumOverRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
        total = table.new_empty(pairs.n_rows, weight.shape[0])
        for chunk in pairs.row_chunks:
            r0, r1, p0, p1 = chunk
            w0, w1 = pairs.window(chunk)
            hidden = _hidden(table, features, weight, pairs, (w0, w1))
            torch.nn.functional.silu(hidden, inplace=True)
            total[r0:r1] = _sum_left(hidden[p0 - w0 : p1 - w0], pairs, chunk)
        ctx.save_for_backward(table, features, weight)
        ctx.pairs = pairs
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, features, weight = ctx.saved_tensors
        pairs, (outer,) = ctx.pairs, gradients
        grads = _Gradients(table, features, weight, pairs, ctx.needs_input_grad[1])
        for chunk in pairs.structure_chunks:
            window = pairs.window(chunk)
            hidden = _hidden(table, features, weight, pairs, window)
            above = _only(outer.index_select(0, pairs.left[slice(*window)]), window, chunk)
            grads.add(torch.ops.aten.silu_backward(above, hidden), window, chunk)
        return grads.table, grads.features, grads.weight, None


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, features: Tensor, weight: Tensor, projection: Tensor, pairs: Pairs) -> Tensor:
        result = table.new_empty(len(pairs), projection.shape[0])
        for chunk in pairs.row_chunks:
            window = pairs.window(chunk)
            hidden = _hidden(table, features, weight, pairs, window)
            torch.nn.functional.silu(hidden, inplace=True)
            torch.mm(hidden, projection.mT, out=result[slice(*window)])
        ctx.save_for_backward(table, features, weight, projection)
        ctx.pairs = pairs
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, features, weight, projection = ctx.saved_tensors
        pairs, (outer,) = ctx.pairs, gradients
        grads = _Gradients(table, features, weight, pairs, ctx.needs_input_grad[1])
        to_projection = torch.zeros_like(projection)
        for chunk in pairs.structure_chunks:
            window = pairs.window(chunk)
            hidden = _hidden(table, features, weight, pairs, window)
            own = _only(outer[slice(*window)].clone(), window, chunk)
            to_projection.addmm_(own.mT, torch.nn.functional.silu(hidden))
            grads.add(torch.ops.aten.silu_backward(own @ projection, hidden), window, chunk)
        return grads.table, grads.features, grads.weight, to_projection, None


class _SumLeft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return _sum_left(values, pairs, _whole(pairs))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0].index_select(0, ctx.pairs.left), None


class _SumRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return _sum_right(values, pairs, _whole(pairs))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0].index_select(0, ctx.pairs.right), None


class _TakeRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return rows.index_select(0, pairs.right)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _sum_right(gradients[0], ctx.pairs, _whole(ctx.pairs)), None


class _Angles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, units: Tensor, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(units)
        ctx.pairs = pairs
        first, second = units.index_select(0, pairs.left), units.index_select(0, pairs.right)
        cross = torch.linalg.cross(first, second)
        return torch.stack([first.mul_(second).sum(-1), cross.square_().sum(-1)], dim=-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (units,), pairs, (outer,) = ctx.saved_tensors, ctx.pairs, gradients
        first, second = units.index_select(0, pairs.left), units.index_select(0, pairs.right)
        # d |u x w|^2 = 2 (w x (u x w)) . du + 2 ((u x w) x u) . dw
        cross = torch.linalg.cross(first, second).mul_(2 * outer[:, 1:])
        to_first = torch.linalg.cross(second, cross).addcmul_(second, outer[:, :1])
        to_second = torch.linalg.cross(cross, first).addcmul_(first, outer[:, :1])
        whole = _whole(pairs)
        return _sum_left(to_first, pairs, whole).add_(_sum_right(to_second, pairs, whole)), None


class _Gradients:
    """Gradients of what the hidden values are made of, gathered chunk by chunk."""

    def __init__(self, table: Tensor, features: Tensor, weight: Tensor, pairs: Pairs, with_features: bool) -> None:
        self.table = torch.empty_like(table)
        self.features = torch.empty_like(features) if with_features else None
        self.weight = torch.zeros_like(weight)
        self._given = features, weight, pairs

    def add(self, hidden: Tensor, window: tuple[int, int], chunk: Chunk) -> None:
        """Take in the gradient of the hidden values of a window: zero outside its chunk, which splits no structure."""
        (r0, r1, p0, p1), (w0, w1) = chunk, window
        features, weight, pairs = self._given
        width = hidden.shape[1]
        own = slice(p0 - w0, p1 - w0)
        self.table[r0:r1, :width] = _sum_left(hidden[own], pairs, chunk)
        self.table[r0:r1, width:] = _sum_right(hidden[own], pairs, chunk)
        self.weight.addmm_(hidden.mT, features[w0:w1])
        if self.features is not None:
            self.features[p0:p1] = (hidden @ weight)[own]


def _hidden(table: Tensor, features: Tensor, weight: Tensor, pairs: Pairs, window: tuple[int, int]) -> Tensor:
    """a_i + b_j + W f of the pairs of a window."""
    halves = table.reshape(2 * table.shape[0], weight.shape[0])
    return _bags(halves, pairs.sides[slice(*window)]).addmm_(features[slice(*window)], weight.mT)


def _only(values: Tensor, window: tuple[int, int], chunk: Chunk) -> Tensor:
    """Values of a window, with zeros outside its chunk."""
    values[: chunk[2] - window[0]] = 0
    values[chunk[3] - window[0] :] = 0
    return values


def _whole(pairs: Pairs) -> Chunk:
    return 0, pairs.n_rows, 0, len(pairs)


def _sum_left(values: Tensor, pairs: Pairs, chunk: Chunk) -> Tensor:
    """Sum over the pairs of each row on the left."""
    r0, r1, p0, p1 = chunk
    order = torch.arange(p1 - p0, device=values.device)
    return _bags(values, order, pairs.left_starts[r0:r1] - p0)


def _sum_right(values: Tensor, pairs: Pairs, chunk: Chunk) -> Tensor:
    """Sum over the pairs of each row on the right."""
    r0, r1, p0, p1 = chunk
    return _bags(values, pairs.by_right[p0:p1] - p0, pairs.right_starts[r0:r1] - p0)


def _bags(values: Tensor, index: Tensor, starts: Tensor | None = None) -> Tensor:
    """Sums of the rows that `index` (bags, n) names, or of those from each start to the next."""
    total: Tensor = torch.nn.functional.embedding_bag(index, values, starts, mode="sum")
    return total
