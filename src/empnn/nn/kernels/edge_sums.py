"""The costly part of every layer: silu(a_i + b_j + W f) for each pair (i, j), summed over j or projected to weights.

A linear map of a concatenation [h_i || h_j || f] is the sum of three: the first two are projected once per row and
gathered here. Nothing as large as pairs x features is kept, but for what triplets need of their edges: both directions
go through the pairs in chunks that stay in the caches, and the way back computes the hidden values again. Sums run over
contiguous pairs, so nothing is scattered. On the way back a chunk holds whole structures: a very large one is a chunk
of its own. There are no second derivatives.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from empnn.graph import Pairs
from empnn.graph.grouping import Bags, Chunk


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


def sum_of_sides(
    table: Float[Tensor, "rows two_features"],
    features: Float[Tensor, "pairs n"],
    weight: Float[Tensor, "features n"],
    pairs: Pairs,
) -> Float[Tensor, "pairs features"]:
    """For each pair a_i + b_j + W f_ij; arguments as in `sum_over_right`."""
    result: Tensor = _SumOfSides.apply(table, features, weight, pairs)  # type: ignore[no-untyped-call]
    return result


class _SumOfSides(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
        hidden_of = _Hidden(table, features, weight)
        result = table.new_empty(len(pairs), weight.shape[0])
        for chunk in pairs.row_chunks:
            result[chunk.window] = hidden_of(chunk)
        ctx.save_for_backward(table, features, weight)
        ctx.pairs = pairs
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, features, weight = ctx.saved_tensors
        pairs, (outer,) = ctx.pairs, gradients
        grads = _Gradients(table, features, weight, ctx.needs_input_grad[1])
        for chunk in pairs.structure_chunks:
            grads.add(_only(outer[chunk.window].clone(), chunk), chunk)
        return grads.table, grads.features, grads.weight, None


class _SumOverRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
        hidden_of = _Hidden(table, features, weight)
        total = table.new_empty(pairs.n_rows, weight.shape[0])
        for chunk in pairs.row_chunks:
            hidden = torch.nn.functional.silu(hidden_of(chunk), inplace=True)
            total[chunk.rows] = _sums(hidden[chunk.inside], chunk.left)
        ctx.save_for_backward(table, features, weight)
        ctx.pairs = pairs
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, features, weight = ctx.saved_tensors
        pairs, (outer,) = ctx.pairs, gradients
        hidden_of = _Hidden(table, features, weight)
        grads = _Gradients(table, features, weight, ctx.needs_input_grad[1])
        for chunk in pairs.structure_chunks:
            above = _only(outer.index_select(0, pairs.left[chunk.window]), chunk)
            grads.add(_silu_backward_(above, hidden_of(chunk)), chunk)
        return grads.table, grads.features, grads.weight, None


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, features: Tensor, weight: Tensor, projection: Tensor, pairs: Pairs) -> Tensor:
        hidden_of = _Hidden(table, features, weight)
        result = table.new_empty(len(pairs), projection.shape[0])
        for chunk in pairs.row_chunks:
            hidden = torch.nn.functional.silu(hidden_of(chunk), inplace=True)
            torch.mm(hidden, projection.mT, out=result[chunk.window])
        ctx.save_for_backward(table, features, weight, projection)
        ctx.pairs = pairs
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        table, features, weight, projection = ctx.saved_tensors
        pairs, (outer,) = ctx.pairs, gradients
        hidden_of = _Hidden(table, features, weight)
        grads = _Gradients(table, features, weight, ctx.needs_input_grad[1])
        to_projection = torch.zeros_like(projection)
        for chunk in pairs.structure_chunks:
            hidden = hidden_of(chunk)
            above = _only(outer[chunk.window].clone(), chunk)
            to_projection.addmm_(above.mT, torch.nn.functional.silu(hidden))
            grads.add(_silu_backward_(above @ projection, hidden), chunk)
        return grads.table, grads.features, grads.weight, to_projection, None


class _SumLeft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return _sums(values, pairs.of_left)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0].index_select(0, ctx.pairs.left), None


class _SumRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return _sums(values, pairs.of_right)

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
        return _sums(gradients[0], ctx.pairs.of_right), None


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
        return _sums(to_first, pairs.of_left).add_(_sums(to_second, pairs.of_right)), None


class _Hidden:
    """a_i + b_j + W f of the pairs of a chunk's window."""

    def __init__(self, table: Tensor, features: Tensor, weight: Tensor) -> None:
        self._halves = table.detach().reshape(2 * table.shape[0], weight.shape[0])
        self._features, self._weight = features, weight.mT.contiguous()

    def __call__(self, chunk: Chunk) -> Tensor:
        return _sums(self._halves, chunk.sides).addmm_(self._features[chunk.window], self._weight)


class _Gradients:
    """Gradients of what the hidden values are made of, gathered chunk by chunk."""

    def __init__(self, table: Tensor, features: Tensor, weight: Tensor, with_features: bool) -> None:
        self.table = torch.empty_like(table)
        self.features = torch.empty_like(features) if with_features else None
        self._given = features, weight
        self._transposed = weight.new_zeros(weight.shape[1], weight.shape[0])

    @property
    def weight(self) -> Tensor:
        """Gradient of the weight, which is gathered as its transpose: that way round products are faster."""
        return self._transposed.mT

    def add(self, hidden: Tensor, chunk: Chunk) -> None:
        """Take in the gradient of the hidden values of a window: zero outside its chunk, which splits no structure."""
        features, weight = self._given
        width = hidden.shape[1]
        own = hidden[chunk.inside]
        self.table[chunk.rows, :width] = _sums(own, chunk.left)
        self.table[chunk.rows, width:] = _sums(own, chunk.right)
        self._transposed.addmm_(features[chunk.window].mT, hidden)
        if self.features is not None:
            self.features[chunk.pairs] = (hidden @ weight)[chunk.inside]


def _silu_backward_(above: Tensor, hidden: Tensor) -> Tensor:
    """From the gradient of silu(hidden) to that of hidden, in place."""
    torch.ops.aten.silu_backward.grad_input(above, hidden, grad_input=above)
    return above


def _only(values: Tensor, chunk: Chunk) -> Tensor:
    """Values of a window, with zeros outside its chunk."""
    values[: chunk.inside.start] = 0
    values[chunk.inside.stop :] = 0
    return values


def _sums(values: Tensor, bags: Bags) -> Tensor:
    """Sums of rows of `values`."""
    return torch.embedding_bag(values, bags.order, bags.starts)[0]
