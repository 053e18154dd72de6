"""Applying a network to crystals: several passes, each with a new graph, without stray rotations."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.checks.refusals import is_collapsed
from empnn.crystals import MAX_FRAC, CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import polar_factor, principal_strains
from empnn.graph import Graph
from empnn.nn import Deformation, Network
from empnn.nn.shrinkage import Shrinkage
from empnn.relax.signals import signals_of, sizes_of
from empnn.relax.symmetrize import keep_symmetry, made_symmetric
from empnn.relaxers import RelaxedBatch

DEFAULT_BATCH_ATOMS = 2048
MAX_PASSES = 1000
"""Each pass takes as long as the first, and answers stop changing after a few."""


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What all passes together do to crystals; NaN where the network fails.

    Attributes:
        stretches: P after each layer and pass, so that `cell @ stretches[-1]` is the relaxed cell.
        shift: What is added to the fractional coordinates; zero if the network moves cells only. Per atom.
        first: What the first pass found, on the CPU, before anything was taken off, and
        graph: the edges it saw: these tell of the errors of the answers. None if there was none.
    """

    stretches: Float64[Tensor, "steps structures 3 3"]
    shift: Float64[Tensor, "atoms 3"]
    first: Deformation | None = None
    graph: Graph | None = None

    def cells(self, crystals: CrystalBatch) -> Float64[Tensor, "steps structures 3 3"]:
        """The cells of the crystals they were made for after each layer and pass; fixed ones to the last bit."""
        cells = crystals.cell @ self.stretches
        if crystals.fixed_cell is None:
            return cells
        return torch.where(crystals.fixed_cell[:, None, None] & ~cells.isnan(), crystals.cell, cells)

    def relaxed(self, crystals: CrystalBatch) -> CrystalBatch:
        """The crystals they were made for, relaxed."""
        return crystals.with_cell(self.cells(crystals)[-1]).shifted(self.shift)

    def signals(self, crystals: CrystalBatch) -> Float64[Tensor, "structures signals"]:
        """What the first pass tells of the errors of the answers to the crystals they were made for."""
        if self.first is None or self.graph is None:
            raise ValueError("there was no pass")
        return signals_of(crystals, self.first, self.graph)


def check_passes(passes: int) -> None:
    """Refuse to apply a network not at all, or so often that it would never end.

    Raises:
        ConfigError: If it is.
    """
    if not 1 <= passes <= MAX_PASSES:
        raise ConfigError(f"`passes` {passes}: must lie between 1 and {MAX_PASSES}")


def apply_passes(network: Network, crystals: CrystalBatch, passes: int, shrinkage: Shrinkage | None = None) -> Passes:
    """Apply a network to crystals, with a new graph in each pass.

    Where atoms move, what they end in has the symmetry of what was given; see `keep_symmetry`.

    Args:
        network: Stays on its device and in its mode.
        crystals: Usable crystals, small enough to be one batch.
        passes: How often the network is applied.
        shrinkage: Says how much of what each pass finds is kept; all of it if None.
    """
    device = next(network.parameters()).device
    identity = torch.eye(3, dtype=torch.float64).expand(len(crystals), 3, 3)
    total, failed = identity, torch.zeros(len(crystals), dtype=torch.bool)
    shift = torch.zeros_like(crystals.frac)
    steps, graph = [], network.rule(crystals)
    first: Deformation | None = None
    with torch.inference_mode():
        for index in range(passes):
            moved = crystals.with_cell(crystals.cell @ total.mT).shifted(shift)
            deformation = network(moved.to(device), (network.rule(moved) if index else graph).to(device)).cpu()
            first = first or deformation
            if shrinkage is not None:
                deformation = _shrunk(shrinkage, moved, deformation)
            steps.append(deformation.steps @ total)
            if deformation.displacement is not None:
                shift = shift + moved.fractional(deformation.displacement)
                if crystals.fixed_frac is not None:
                    # Rounding is all there is of it.
                    shift = shift.masked_fill(crystals.fixed_frac, 0.0)
            finite = torch.isfinite(steps[-1]).all(-1).all(-1).all(0)
            failed = failed | ~finite | is_collapsed(crystals.cell @ steps[-1][-1].mT, crystals.sizes)
            failed = failed.index_fill(0, crystals.batch[~(shift.abs() < MAX_FRAC).all(-1)], True)
            # One failure must not spoil its batch: no decomposition and no graph survives such a crystal.
            steps[-1] = torch.where(failed[:, None, None], identity, steps[-1])
            shift = torch.where(failed[crystals.batch, None], 0.0, shift)
            total = steps[-1][-1]
        stretches = polar_factor(torch.cat(steps))
        if network.moves_atoms:
            last, shift = keep_symmetry(crystals, graph, stretches[-1], shift)
            stretches = torch.cat([stretches[:-1], last.unsqueeze(0)])
    return Passes(
        stretches=torch.where(failed[:, None, None], torch.nan, stretches),
        shift=torch.where(failed[crystals.batch, None], torch.nan, shift),
        first=first,
        graph=graph,
    )


def _shrunk(shrinkage: Shrinkage, crystals: CrystalBatch, found: Deformation) -> Deformation:
    """What is kept of what a pass found, without rotations; of failures, as it is.

    The strain after each layer is scaled by what is kept of all of it, so that the last one is the answer.
    """
    sound = torch.isfinite(found.steps).all(-1).all(-1).all(0)[:, None, None]
    strains, axes = principal_strains(torch.where(sound, found.steps, torch.eye(3, dtype=torch.float64)))
    factors = shrinkage(signals_of(crystals, found), sizes_of(crystals, found, strains[-1]))
    volumes = strains.mean(-1, keepdim=True)
    kept = factors[:, :1] * volumes + factors[:, 1:2] * (strains - volumes)
    steps = torch.where(sound, axes.mT @ (kept.exp().unsqueeze(-1) * axes), found.steps)
    displacement = found.displacement
    if displacement is not None:
        displacement = factors[crystals.batch, 2:] * displacement
    return replace(found, action=steps[-1], steps=steps, displacement=displacement)


def symmetrized(moved: Passes, crystals: CrystalBatch, tolerance: float) -> tuple[Passes, list[str | None]]:
    """What passes do to crystals and then `made_symmetric`, within a tolerance in angstrom.

    Returns:
        That, and the space group of each answer; None where it was left alone or the network fails.
    """
    sound = torch.nonzero(torch.isfinite(moved.stretches).all(-1).all(-1).all(0)).squeeze(-1)
    atoms = torch.isin(crystals.batch, sound)
    some = crystals.select(sound)
    stretch, shift, names = made_symmetric(some, moved.stretches[-1, sound], moved.shift[atoms], tolerance)
    stretches = moved.stretches.clone()
    stretches[-1, sound] = stretch
    found = dict(zip(sound.tolist(), names, strict=True))
    projected = replace(moved, stretches=stretches, shift=moved.shift.masked_scatter(atoms.unsqueeze(-1), shift))
    return projected, [found.get(index) for index in range(len(crystals))]


def relax_batch(
    network: Network,
    crystals: CrystalBatch,
    passes: int = 1,
    batch_atoms: int = DEFAULT_BATCH_ATOMS,
    shrinkage: Shrinkage | None = None,
) -> RelaxedBatch:
    """Relax usable crystals, however many: their cells become `cell @ P`."""
    started = time.perf_counter()
    parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), batch_atoms)]
    after = CrystalBatch.cat([apply_passes(network, p, passes, shrinkage).relaxed(p) for p in parts])
    failed = ~torch.isfinite(after.cell).all(-1).all(-1)
    after = replace(
        after,
        cell=torch.where(failed[:, None, None], crystals.cell, after.cell),
        frac=torch.where(failed[crystals.batch, None], crystals.frac, after.frac),
    )
    return RelaxedBatch(crystals=after, failed=failed, seconds=time.perf_counter() - started)


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
