"""Answers that have the symmetry of what was given, also where rounding would break it.

The network is equivariant: every operation of a crystal is one of its answer, up to rounding. Float32 rounds, and so
do files: a third that reads 0.333333 leaves equal edges unequal, and an answer may magnify that. To look for operations
takes as long as relaxing, in cubic crystals far longer. So they are looked for only where equal edges are not quite
equal, and there the answer is projected.

Where what was given was strained at random, the answer is symmetric but roughly. Who wants it exactly so has it
projected on the operations found within a tolerance of their own (`made_symmetric`).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from empnn.crystals import MAX_NUMBER, CrystalBatch, without_mean
from empnn.errors import ConfigError
from empnn.geometry import polar_factor
from empnn.graph import Graph
from empnn.space_groups import find_space_groups, group_names, symmetrise

KEPT = 1e-5
"""Distance in angstrom within which operations are found in what was given, and hold in the answer."""
MOST_ATOMS = 200
"""Larger crystals are left as the network has them: every operation is looked at for every pair of atoms."""
_UNEQUAL = 1e-6
"""Difference of equal edges as given, in angstrom, that no answer magnifies to `KEPT`; long digits leave less."""
_TORN, _APART = 3e-6, 1e-4
"""Differences in answers, in angstrom, of edges that were equal: beyond usual rounding, and no longer rounding."""
_WIDEST = 1.0
"""The largest tolerance in angstrom: beyond it, atoms are taken for their neighbours."""
_PARTS = (1.0, 0.9, 0.8, 0.65, 0.5)
"""Parts of a tolerance that are tried in turn, until there is an operation."""
_ROUNDS = 5
"""How often operations are looked for: a crystal that is more symmetric than before may show more of them."""


def keep_symmetry(
    crystals: CrystalBatch,
    graph: Graph,
    stretches: Float64[Tensor, "structures 3 3"],
    shift: Float64[Tensor, "atoms 3"],
) -> tuple[Float64[Tensor, "structures 3 3"], Float64[Tensor, "atoms 3"]]:
    """What is done to crystals, corrected where an operation found within `KEPT` might not hold within that.

    What they fix stays, and so does all of crystals that fix some of their coordinates and not others.

    Args:
        crystals: As given.
        graph: Their edges.
        stretches: P of `cell @ P`, symmetric.
        shift: What is added to the fractional coordinates.
    """
    chosen = rounded(crystals, graph, stretches, shift)
    chosen = chosen[~_partly_fixed(crystals)[chosen]]
    if not len(chosen):
        return stretches, shift
    atoms = torch.isin(crystals.batch, chosen).nonzero().squeeze(-1)
    before = crystals.select(chosen)
    after = before.with_cell(before.cell @ stretches[chosen]).shifted(shift[atoms])
    exact = symmetrized(after, before, KEPT)
    stretch = polar_factor(torch.linalg.solve(before.cell, exact.cell).mT)
    moved = exact.frac - after.frac
    moved = moved - moved.round()
    # Where places are rounded, so is the origin that operations are found about, by other readers of the same digits
    # another one: half the way there is near enough to all of them.
    moved = (moved + without_mean(before, moved)) / 2
    if before.fixed_cell is not None:
        stretch = torch.where(before.fixed_cell[:, None, None], stretches[chosen], stretch)
    if before.fixed_frac is not None:
        moved = moved.masked_fill(before.fixed_frac, 0.0)
    return stretches.index_copy(0, chosen, stretch), shift.index_add(0, atoms, moved)


def symmetrized(answers: CrystalBatch, given: CrystalBatch, tolerance: float) -> CrystalBatch:
    """Answers that all operations map onto themselves which spglib finds in what was given, within a tolerance in Å."""
    return symmetrise(answers, find_space_groups(given, tolerance))


def check_tolerance(tolerance: float | None) -> None:
    """Refuse a tolerance that is no distance within which operations can be looked for.

    Raises:
        ConfigError: If it is not above 0 and at most 1 angstrom; None is fine.
    """
    if tolerance is not None and not 0 < tolerance <= _WIDEST:
        raise ConfigError(f"`symmetrize` {tolerance:g}: give a distance above 0 and up to {_WIDEST:g} angstrom")


def made_symmetric(
    crystals: CrystalBatch,
    stretches: Float64[Tensor, "structures 3 3"],
    shift: Float64[Tensor, "atoms 3"],
    tolerance: float,
) -> tuple[Float64[Tensor, "structures 3 3"], Float64[Tensor, "atoms 3"], list[str | None]]:
    """What is done to crystals, such that the operations which spglib finds in the answers become exact.

    They are looked for and projected on until no more are found. What crystals fix stays, and so does all of crystals
    that fix some of their coordinates and not others.

    Args:
        crystals: As given.
        stretches: P of `cell @ P`, symmetric.
        shift: What is added to the fractional coordinates.
        tolerance: Distance in angstrom within which operations are looked for.

    Returns:
        P and shift, and the space group that each answer has then, as `P6_3/mmc (194)`; None where it was left alone.
    """
    answers = crystals.with_cell(crystals.cell @ stretches).shifted(shift)
    free = ~_partly_fixed(crystals)
    exact, left = answers, torch.nonzero(free).squeeze(-1)
    found = torch.zeros(len(crystals), dtype=torch.int64)
    for _ in range(_ROUNDS):
        some = exact.select(left)
        groups = find_space_groups(some, [tolerance * part for part in _PARTS])
        counts = torch.bincount(groups.batch, minlength=len(some))
        exact = _with(exact, left, _with_fixed(some, symmetrise(some, groups)))
        more = counts > found[left]
        found[left] = counts
        left = left[more]
        if not len(left):
            break
    stretch = polar_factor(torch.linalg.solve(crystals.cell, exact.cell).mT)
    moved = exact.frac - answers.frac
    moved = without_mean(crystals, moved - moved.round())
    names = zip(group_names(exact, KEPT), free.tolist(), strict=True)
    return stretch, shift + moved, [name if projected else None for name, projected in names]


def _with(crystals: CrystalBatch, index: Tensor, some: CrystalBatch) -> CrystalBatch:
    """The crystals with those at some positions (ascending) replaced."""
    atoms = torch.isin(crystals.batch, index)
    return replace(
        crystals,
        cell=crystals.cell.index_copy(0, index, some.cell),
        frac=crystals.frac.masked_scatter(atoms.unsqueeze(-1), some.frac),
    )


def _with_fixed(before: CrystalBatch, after: CrystalBatch) -> CrystalBatch:
    """The crystals after something was done to them, with what they fix as it was before."""
    if before.fixed_cell is not None:
        after = after.with_cell(torch.where(before.fixed_cell[:, None, None], before.cell, after.cell))
    if before.fixed_frac is not None:
        after = replace(after, frac=torch.where(before.fixed_frac, before.frac, after.frac))
    return after


def _partly_fixed(crystals: CrystalBatch) -> Bool[Tensor, " structures"]:
    """Which crystals fix some of their fractional coordinates and not others."""
    if crystals.fixed_frac is None:
        return torch.zeros(len(crystals), dtype=torch.bool)
    fixed = crystals.counted(crystals.fixed_frac.sum(1))
    return (fixed > 0) & (fixed < 3 * crystals.sizes)


def rounded(
    crystals: CrystalBatch,
    graph: Graph,
    stretches: Float64[Tensor, "structures 3 3"],
    shift: Float64[Tensor, "atoms 3"],
) -> Int64[Tensor, " chosen"]:
    """Positions of the crystals with edges that are nearly, but not quite, equally long, as given or in the answer.

    Most crystals without symmetry have none, nor have those whose coordinates are given with all digits.
    """
    if not len(graph):
        return torch.empty(0, dtype=torch.int64)
    moved = (shift.unsqueeze(1) @ crystals.cell[crystals.batch]).squeeze(1)
    vectors = graph.vectors + moved[graph.target] - moved[graph.source]
    given, relaxed = (
        torch.linalg.vector_norm(some, dim=1)
        for some in (graph.vectors, (vectors.unsqueeze(1) @ stretches[graph.batch]).squeeze(1))
    )
    kinds = 2 * MAX_NUMBER * graph.batch + crystals.numbers[graph.source] + crystals.numbers[graph.target]
    order = (given + kinds * (1 + given.max())).argsort()
    unequal, torn = given[order].diff(), relaxed[order].diff().abs()
    equal = (kinds[order].diff() == 0) & (unequal < 2 * KEPT)
    found = equal & ((unequal > _UNEQUAL) | ((torn > _TORN) & (torn < _APART)))
    count = torch.bincount(graph.batch[order][1:][found], minlength=len(crystals))
    return torch.nonzero((count > 0) & (crystals.sizes <= MOST_ATOMS)).squeeze(-1)
