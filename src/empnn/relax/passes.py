"""Applying a network to crystals: several passes, each with a new graph, without stray rotations."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from empnn.checks.refusals import is_collapsed
from empnn.crystals import MAX_FRAC, MAX_NUMBER, CrystalBatch
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
FAR = (0.4, 0.6)
"""Changes of a cell, as norms of the Hencky strain, that begin to call for a second pass, and wholly do: the crystal
that a first pass ends in has other neighbours than those that it saw."""


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What all passes together do to crystals; NaN where the network fails.

    Attributes:
        stretches: P after each layer of each pass that all crystals have; the last one is of a further pass, too, where
            there is one, so that `cell @ stretches[-1]` is the relaxed cell.
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


def made_of(crystals: CrystalBatch, elements: Collection[int]) -> Bool[Tensor, " structures"]:
    """Whether each crystal is made of these elements alone; whether there are none of them, for all."""
    others = [bool(elements) and number not in elements for number in range(MAX_NUMBER + 1)]
    return crystals.counted(torch.tensor(others)[crystals.numbers]) == 0


def check_passes(passes: int) -> None:
    """Refuse to apply a network not at all, or so often that it would never end.

    Raises:
        ConfigError: If it is.
    """
    if not 1 <= passes <= MAX_PASSES:
        raise ConfigError(f"`passes` {passes}: must lie between 1 and {MAX_PASSES}")


def apply_passes(
    network: Network,
    crystals: CrystalBatch,
    passes: int,
    shrinkage: Shrinkage | None = None,
    may_repeat: Bool[Tensor, " structures"] | None = None,
) -> Passes:
    """Apply a network to crystals, with a new graph in each pass.

    Where atoms move, what they end in has the symmetry of what was given; see `keep_symmetry`.

    Args:
        network: Stays on its device and in its mode.
        crystals: Usable crystals, small enough to be one batch.
        passes: How often the network is applied.
        shrinkage: Says how much of what each pass finds is kept; all of it if None.
        may_repeat: Which crystals have one more pass if they are `FAR`, which their last step is then after; none of
            them if None.
    """
    so_far, steps, graph = _nothing(crystals), [], network.rule(crystals)
    first: Deformation | None = None
    with torch.inference_mode():
        for index in range(passes):
            found, after, so_far = _pass(network, crystals, so_far, None if index else graph, shrinkage)
            first = first or found
            steps.append(after)
        if may_repeat is not None:
            so_far = _one_more(network, crystals, so_far, shrinkage, may_repeat)
            steps[-1] = torch.cat([steps[-1][:-1], so_far.total.unsqueeze(0)])
        failed, shift = so_far.failed, so_far.shift
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


class _SoFar(NamedTuple):
    """What the passes until now do to crystals.

    Attributes:
        total: The product of their actions, the identity where they fail. (structures, 3, 3)
        shift: What is added to the fractional coordinates, 0 where they fail. (atoms, 3)
        failed: Where they do. (structures,)
    """

    total: Tensor
    shift: Tensor
    failed: Tensor

    def chosen(self, index: Tensor, atoms: Tensor) -> "_SoFar":
        """Of some structures and their atoms."""
        return _SoFar(self.total[index], self.shift[atoms], self.failed[index])

    def replaced(self, index: Tensor, atoms: Tensor, other: "_SoFar") -> "_SoFar":
        """With some structures, and their atoms, as in another."""
        return _SoFar(
            self.total.index_copy(0, index, other.total),
            self.shift.index_copy(0, atoms, other.shift),
            self.failed.index_copy(0, index, other.failed),
        )


def _nothing(crystals: CrystalBatch) -> _SoFar:
    """No pass was made yet."""
    identity = torch.eye(3, dtype=torch.float64).expand(len(crystals), 3, 3)
    return _SoFar(identity, torch.zeros_like(crystals.frac), torch.zeros(len(crystals), dtype=torch.bool))


def _pass(
    network: Network,
    crystals: CrystalBatch,
    before: _SoFar,
    graph: Graph | None,
    shrinkage: Shrinkage | None,
    share: Float64[Tensor, " structures"] | None = None,
) -> tuple[Deformation, Float64[Tensor, "layers structures 3 3"], _SoFar]:
    """One pass, of which a share is taken: what it finds, the action of all passes after each layer, and all of it."""
    device = next(network.parameters()).device
    moved = crystals.with_cell(crystals.cell @ before.total.mT).shifted(before.shift)
    graph = network.rule(moved) if graph is None else graph
    found = network(moved.to(device), graph.to(device)).cpu()
    kept = _kept(moved, found, shrinkage, share)
    steps, shift = kept.steps @ before.total, before.shift
    if kept.displacement is not None:
        shift = shift + moved.fractional(kept.displacement)
        if crystals.fixed_frac is not None:
            # Rounding is all there is of it.
            shift = shift.masked_fill(crystals.fixed_frac, 0.0)
    finite = torch.isfinite(steps).all(-1).all(-1).all(0)
    failed = before.failed | ~finite | is_collapsed(crystals.cell @ steps[-1].mT, crystals.sizes)
    failed = failed.index_fill(0, crystals.batch[~(shift.abs() < MAX_FRAC).all(-1)], True)
    # One failure must not spoil its batch: no decomposition and no graph survives such a crystal.
    steps = torch.where(failed[:, None, None], torch.eye(3, dtype=torch.float64), steps)
    shift = torch.where(failed[crystals.batch, None], 0.0, shift)
    return found, steps, _SoFar(steps[-1], shift, failed)


def _one_more(
    network: Network,
    crystals: CrystalBatch,
    before: _SoFar,
    shrinkage: Shrinkage | None,
    may_repeat: Bool[Tensor, " structures"],
) -> _SoFar:
    """One more pass for those of the crystals that are `FAR`, where it succeeds; it comes in by and by."""
    size = torch.linalg.vector_norm(principal_strains(before.total)[0], dim=-1)
    share = ((size - FAR[0]) / (FAR[1] - FAR[0])).clamp(0.0, 1.0) * may_repeat
    index = torch.nonzero(share).squeeze(-1)
    if not len(index):
        return before
    atoms = torch.nonzero(torch.isin(crystals.batch, index)).squeeze(-1)
    some, chosen = crystals.select(index), before.chosen(index, atoms)
    _, _, after = _pass(network, some, chosen, None, shrinkage, share[index])
    sound = ~after.failed
    kept = after.chosen(sound, sound[some.batch])
    return before.replaced(index[sound], atoms[sound[some.batch]], kept)


def _kept(crystals: CrystalBatch, found: Deformation, shrinkage: Shrinkage | None, share: Tensor | None) -> Deformation:
    """What is kept of what a pass found, without rotations; of failures, as it is.

    The strain after each layer is scaled by what is kept of all of it, so that the last one is the answer.
    """
    if shrinkage is None and share is None:
        return found
    sound = torch.isfinite(found.steps).all(-1).all(-1).all(0)[:, None, None]
    strains, axes = principal_strains(torch.where(sound, found.steps, torch.eye(3, dtype=torch.float64)))
    factors = strains.new_ones(len(crystals), 3)
    if shrinkage is not None:
        factors = shrinkage(signals_of(crystals, found), sizes_of(crystals, found, strains[-1]))
    if share is not None:
        factors = factors * share.unsqueeze(-1)
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
    may_repeat: Bool[Tensor, " structures"] | None = None,
) -> RelaxedBatch:
    """Relax usable crystals, however many: their cells become `cell @ P`; see `apply_passes`."""
    started = time.perf_counter()
    after = []
    for index in split(crystals.sizes.tolist(), batch_atoms):
        part = crystals.select(index)
        found = apply_passes(network, part, passes, shrinkage, None if may_repeat is None else may_repeat[index])
        after.append(found.relaxed(part))
    relaxed = CrystalBatch.cat(after)
    failed = ~torch.isfinite(relaxed.cell).all(-1).all(-1)
    relaxed = replace(
        relaxed,
        cell=torch.where(failed[:, None, None], crystals.cell, relaxed.cell),
        frac=torch.where(failed[crystals.batch, None], crystals.frac, relaxed.frac),
    )
    return RelaxedBatch(crystals=relaxed, failed=failed, seconds=time.perf_counter() - started)


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
