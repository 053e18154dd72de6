"""What a pass of a network tells about how hard its crystals are, beside the deformation that it found."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.crystals import MAX_NUMBER, CrystalBatch
from empnn.graph import Graph
from empnn.nn import Deformation
from empnn.nn.error_head import signals

_EQUAL = 1e-2
"""Difference in length, angstrom, of edges that are equal."""


def signals_of(
    crystals: CrystalBatch, found: Deformation, graph: Graph | None = None
) -> Float64[Tensor, "structures signals"]:
    """What tells of the errors of the answers to crystals; of failures, what their neighbours in a batch do not see.

    Args:
        crystals: What the network was given.
        found: What it made of them, on the CPU.
        graph: The edges it saw; without them the share of equal edges is left out, and the rest is continuous.
    """
    equal = None if graph is None else _equal_edges(crystals, graph)
    return signals(found, mean_displacement(crystals, found), equal)


def sizes_of(
    crystals: CrystalBatch, found: Deformation, strains: Float64[Tensor, "structures 3"]
) -> Float64[Tensor, "structures parts"]:
    """The sizes that `Shrinkage` reads: of both parts of the principal strains, and of displacements."""
    volumes = strains.mean(-1, keepdim=True)
    sizes = [volumes[:, 0].abs() * 3**0.5, torch.linalg.vector_norm(strains - volumes, dim=-1)]
    if found.displacement is not None:
        sizes.append(mean_displacement(crystals, found))
    return torch.stack(sizes, dim=1)


def mean_displacement(crystals: CrystalBatch, found: Deformation) -> Float64[Tensor, " structures"]:
    """How far the atoms move on average, angstrom."""
    total = torch.zeros(len(crystals), dtype=torch.float64)
    if found.displacement is None:
        return total
    total.index_add_(0, crystals.batch, torch.linalg.vector_norm(found.displacement, dim=-1))
    return total / crystals.sizes


def _equal_edges(crystals: CrystalBatch, graph: Graph) -> Float64[Tensor, " structures"]:
    """Share of the edges as long as another one from the same atom to the same species.

    Nearly all in crystals of high symmetry, nearly none in those without. Invariant under the choice of a supercell.
    """
    kinds = (MAX_NUMBER + 1) * graph.source + crystals.numbers[graph.target]
    lengths = torch.linalg.vector_norm(graph.vectors, dim=1)
    order = torch.argsort(lengths + kinds * (1 + lengths.max())) if len(lengths) else kinds
    equal = (kinds[order].diff() == 0) & (lengths[order].diff() < _EQUAL)
    nothing = equal.new_zeros(1)
    either = torch.cat([nothing, equal]) | torch.cat([equal, nothing])
    count = torch.bincount(graph.batch[order], weights=either.to(torch.float64), minlength=len(crystals))
    return count / torch.bincount(graph.batch, minlength=len(crystals)).clamp_min(1)
