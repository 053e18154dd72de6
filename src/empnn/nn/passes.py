"""Applying a network to crystals: several passes, each with a new graph, without stray rotations."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.checks import is_collapsed
from empnn.crystals import CrystalBatch
from empnn.geometry import polar_factor
from empnn.nn import Network

DEFAULT_BATCH_ATOMS = 2048


def relax_cells(network: Network, crystals: CrystalBatch, passes: int) -> Float64[Tensor, "steps structures 3 3"]:
    """Stretches P of all layers and passes, so that `cell @ P[-1]` is the relaxed cell; NaN where the network fails.

    Args:
        network: Stays on its device and in its mode.
        crystals: Usable crystals, small enough to be one batch.
        passes: How often the network is applied.
    """
    device = next(network.parameters()).device
    identity = torch.eye(3, dtype=torch.float64).expand(len(crystals), 3, 3)
    total, failed = identity, torch.zeros(len(crystals), dtype=torch.bool)
    steps = []
    with torch.inference_mode():
        for _ in range(passes):
            moved = crystals.with_cell(crystals.cell @ total.mT)
            deformation = network(moved.to(device), network.rule(moved).to(device))
            steps.append(deformation.steps.cpu() @ total)
            finite = torch.isfinite(steps[-1]).all(-1).all(-1).all(0)
            failed = failed | ~finite | is_collapsed(crystals.cell @ steps[-1][-1].mT, crystals.sizes)
            # One failure must not spoil its batch: no decomposition and no graph survives such a cell.
            steps[-1] = torch.where(failed[:, None, None], identity, steps[-1])
            total = steps[-1][-1]
        stretches = polar_factor(torch.cat(steps))
    return torch.where(failed[:, None, None], torch.nan, stretches)


def relax_batch(
    network: Network, crystals: CrystalBatch, passes: int = 1, batch_atoms: int = DEFAULT_BATCH_ATOMS
) -> CrystalBatch:
    """Relax usable crystals, however many: their cells become `cell @ P`, NaN where the network fails."""
    parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), batch_atoms)]
    return CrystalBatch.cat([p.with_cell(p.cell @ relax_cells(network, p, passes)[-1]) for p in parts])


def split(sizes: Sequence[int], batch_atoms: int) -> Iterator[list[int]]:
    """Split positions into runs of at most `batch_atoms` atoms, at least one structure each."""
    part: list[int] = []
    atoms = 0
    for index, size in enumerate(sizes):
        if part and atoms + size > batch_atoms:
            yield part
            part, atoms = [], 0
        part.append(index)
        atoms += size
    if part:
        yield part
