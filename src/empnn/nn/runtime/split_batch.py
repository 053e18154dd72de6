"""A batch in parts, each in a thread of its own: values and gradients are joined again."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from empnn.crystals import CrystalBatch
from empnn.graph import Graph
from empnn.nn.runtime.threads import available, share

FEWEST_ATOMS = 256
"""Atoms that a part is worth while for."""
UNEVEN = 1.5
"""Where a part is larger than the mean by more than this, all threads share all operations instead."""

Found = tuple[Tensor, Tensor, Tensor | None]
"""Steps, (layers, structures, 3, 3), features, (structures, features), and displacements, (atoms, 3) or None."""
_STRUCTURES_OR_ATOMS = (1, 0, 0)
"""The dimension of each that parts are joined along."""

Deform = Callable[[CrystalBatch, Graph], Found]
"""What is found of crystals and their graph."""

Part = tuple[CrystalBatch, Graph]
"""Some of the crystals, and their graph."""


def side_by_side(deform: Deform, crystals: CrystalBatch, graph: Graph, parameters: Iterable[Tensor]) -> Found:
    """What `deform` finds, part by part in threads if the process has some, with gradients of `parameters`."""
    if not available() or graph.vectors.device.type != "cpu" or graph.vectors.requires_grad:
        return deform(crystals, graph)
    parts = _parts(crystals, graph)
    learning = [parameter for parameter in parameters if parameter.requires_grad] if torch.is_grad_enabled() else []
    if learning:
        found: Found = _SideBySide.apply(deform, parts, *learning)  # type: ignore[no-untyped-call]
        return found
    inference = torch.is_inference_mode_enabled()

    def one(part: Part) -> Found:
        with torch.no_grad(), torch.inference_mode(inference):
            return deform(*part)

    return _joined(share(one, parts))


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, deform: Deform, parts: list[Part], *parameters: Tensor) -> Any:
        def one(part: Part) -> Found:
            with torch.enable_grad():
                return deform(*part)

        ctx.set_materialize_grads(False)
        ctx.parameters, ctx.found = parameters, share(one, parts)
        return _joined([(s.detach(), f, None if m is None else m.detach()) for s, f, m in ctx.found])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        def one(part: list[tuple[Tensor, Tensor]]) -> tuple[Tensor | None, ...]:
            outputs, above = zip(*part, strict=True)
            found: tuple[Tensor | None, ...] = torch.autograd.grad(outputs, ctx.parameters, above, allow_unused=True)
            return found

        if ctx.found is None:
            raise RuntimeError("structures that went through threads have one way back: do not retain their graph")
        if all(gradient is None for gradient in gradients):
            return None, None, *(None for _ in ctx.parameters)
        parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in ctx.found]
        for outputs, gradient, dim in zip(zip(*ctx.found, strict=True), gradients, _STRUCTURES_OR_ATOMS, strict=True):
            if gradient is not None:
                shares = torch.split(gradient, [o.shape[dim] for o in outputs], dim)
                for part, output, above in zip(parts, outputs, shares, strict=True):
                    part.append((output, above))
        ctx.found = None
        return None, None, *map(_added, *share(one, parts))


def _added(*gradients: Tensor | None) -> Tensor | None:
    """Sum of the gradients of one parameter."""
    there = [gradient for gradient in gradients if gradient is not None]
    return reduce(torch.add, there) if there else None


def _joined(found: Sequence[Found]) -> Found:
    """What was found of all parts."""
    steps, features, moved = zip(*found, strict=True)
    return torch.cat(steps, dim=1), torch.cat(features), torch.cat(moved) if moved[0] is not None else None


def _parts(crystals: CrystalBatch, graph: Graph) -> list[Part]:
    """The batch cut between structures into parts with about as many edges."""
    count = min(available(), graph.n_structures, graph.n_atoms // FEWEST_ATOMS)
    if count < 2:
        return [(crystals, graph)]
    edges = graph.pairs.left_starts[graph.pairs.structures]
    wanted = torch.arange(1, count) * len(graph) // count
    cuts = [0, *torch.searchsorted(edges, wanted).tolist(), graph.n_structures]
    largest = int(edges[cuts].diff().max())
    if largest * count > UNEVEN * len(graph):
        return [(crystals, graph)]
    return [(crystals.select(range(*ends)), graph.part(*ends)) for ends in pairwise(cuts)]
