"""Reconstruction (Table 3): a network that was trained on cubes of 1 angstrom, then one that removes what it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from empnn import models
from empnn.corruption.cube import in_cube
from empnn.crystals import POSITIONS, CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import hencky_distance, volume
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, split
from empnn.relax.reconstruct.bases import Basis, bases, rebased
from empnn.relax.reconstruct.shapes import shapes
from empnn.relax.relaxer import Relaxer
from empnn.relax.relaxer import load as load_relaxer
from empnn.relax.trust import predicted_errors

DEFAULT_PASSES = 8
"""Passes of the second network."""
FEW_STARTS, MANY_STARTS = 4, 16
"""Starts that these passes are made for, in the given basis alone and in several."""
AGREEMENT, RESIDUAL, ERRORS, NONE = "agreement", "residual", "errors", "none"
RANKS = (AGREEMENT, RESIDUAL, ERRORS)
"""What the best of several starts is chosen by: the error that the second network predicts of the answer, times the
strain that its second pass still made; the strain of one more pass; that error alone. With the rank `NONE` there is
only one start, the cube in the given basis."""
WORSE = math.e
"""How many times better a start has to be for each step that it is away from the cube in the given basis."""
HIGHER = 1e-3
"""The same where a judge says how bad crystals are: eV per atom of an energy."""
_EQUAL, _SMALL = 1e-4, 1e-2
"""Relative difference of strains and volumes that counts as none, and what is added to strains before."""

Judge = Callable[[CrystalBatch], Float64[Tensor, " structures"]]
"""Says of crystals how bad they are, an energy per atom, say; infinite if nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Cells that several starts came to, all in the basis that was given.

    Attributes:
        cells: NaN where a start failed. (starts, structures, 3, 3), angstrom.
        steps: How far the start is from the cube in the given basis: the elementary matrices between that basis and its
            own, 1 if it is no cube. (starts, structures).
        second_strains: Hencky strain that the second pass of the second network made, infinite where a start failed.
            (starts, structures).
        residuals: Hencky strain of one more pass, infinite where a start failed. (starts, structures).
        errors: Mean error of the lattice vectors that the second network predicts, angstrom; NaN if it predicts none.
            (starts, structures).
        chosen: The start of the answer, -1 if all failed. Per structure.
        by_judge: Whether a judge chose it: not if none was asked, or it knew of no start. Per structure.
    """

    cells: Float64[Tensor, "starts structures 3 3"]
    steps: Int64[Tensor, "starts structures"]
    second_strains: Float64[Tensor, "starts structures"]
    residuals: Float64[Tensor, "starts structures"]
    errors: Float64[Tensor, "starts structures"]
    chosen: Int64[Tensor, " structures"]
    by_judge: Bool[Tensor, " structures"]

    @property
    def cell(self) -> Float64[Tensor, "structures 3 3"]:
        """The answers; NaN where all starts failed."""
        answers = _taken(self.cells, self.chosen.clamp_min(0)[None])[0]
        return torch.where((self.chosen < 0)[:, None, None], torch.nan, answers)

    def ranked(self, rank: str) -> Reconstruction:
        """The same starts, of which one of `RANKS` chooses."""
        predicted = self.errors.isfinite().any(0) & (rank != RESIDUAL)
        scores = torch.where(predicted, self.errors, self.residuals)
        if rank == AGREEMENT:
            scores = scores * self.second_strains
        return replace(self, chosen=_lowest(self.cells, scores * WORSE**self.steps))

    def judged(self, crystals: CrystalBatch, judge: Judge) -> Reconstruction:
        """The same starts of crystals, of which a judge chooses; what is chosen stays where it knows nothing."""
        scores = torch.full_like(self.residuals, torch.inf)
        for start, cells in enumerate(self.cells):
            sound = torch.isfinite(cells).all(-1).all(-1).nonzero().squeeze(-1)
            if len(sound):
                scores[start, sound] = judge(crystals.select(sound).with_cell(cells[sound]))
        lowest, knows = _lowest(self.cells, scores + HIGHER * self.steps), scores.isfinite().any(0)
        return replace(self, chosen=torch.where(knows, lowest, self.chosen), by_judge=knows)


class Reconstructor:
    """Finds cells for fractional coordinates and species.

    The first pass is the paper's: the cell is a cube of 1 angstrom, the graph is built on that cube. It depends on the
    basis in which fractional coordinates are given, and on nothing else but the crystal (Euc(3), S_n). The passes after
    it are those of a network that relaxes cells.

    Attributes:
        first: Trained on cubes (`noise.mix.cube`).
        second: Trained on strained crystals.
    """

    def __init__(self, first: Relaxer, second: Relaxer) -> None:
        if not first.from_cube:
            raise ConfigError(
                f"{first.name}: not trained to start from a cube (noise.mix.cube); choose a model that is"
            )
        if second.from_cube:
            raise ConfigError(f"{second.name}: trained to start from a cube, and relaxes nothing; choose another model")
        self.first = first
        self.second = second

    def protocol(self, crystals: CrystalBatch) -> Float64[Tensor, "structures 3 3"]:
        """The paper's one pass, in the given basis; NaN where the network fails."""
        parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), DEFAULT_BATCH_ATOMS)]
        return torch.cat([self._from_cube(part) for part in parts])

    def reconstruct(
        self,
        crystals: CrystalBatch,
        n_bases: int = 1,
        n_starts: int | None = None,
        passes: int = DEFAULT_PASSES,
        rank: str | Judge = AGREEMENT,
    ) -> Reconstruction:
        """Cells from several starts, and which one is best.

        From the cube in each of the bases the first network leads to a cell; other `shapes.shapes` are given the volume
        of that in the given basis. Of these, those that the second of two passes of the second network changes least
        are the starts that all passes are made for, and the best of them is the answer. One that is nearer to the cube
        in the given basis comes before one that is a little better: coordinates mostly are in a basis that suits them.
        Starts that lead to the same are one, of which that of the nearest basis is kept, else the first shape.

        Args:
            crystals: Crystals whose cells are not looked at.
            n_bases: Bases to look at, the given one and those nearest to it, at most `bases.MOST_BASES`.
            n_starts: Starts to go on from; `FEW_STARTS` if there is one basis and `MANY_STARTS` if there are several
                by default. Those that are the same as others fail.
            passes: Passes of the second network for each of them.
            rank: One of `RANKS`, or what judges crystals; where it knows of no start how bad it is, the default
                decides. A second network that predicts no errors is asked for the residual strain in their place.
                `NONE` goes on from the cube in the given basis alone.

        Raises:
            ConfigError: If there is no such rank.
            ValueError: If there is no start or no pass, or there are not as many bases, or no rank of several.
        """
        if isinstance(rank, str) and rank not in (*RANKS, NONE):
            raise ConfigError(
                f"rank {rank} does not exist; use one of {', '.join((*RANKS, NONE))}, or an energy oracle"
            )
        if rank == NONE and n_bases > 1:
            raise ValueError(f"without a rank there is one basis, not {n_bases}")
        if n_starts is None:
            n_starts = FEW_STARTS if n_bases == 1 else MANY_STARTS
        if n_starts < 1 or passes < 1:
            raise ValueError(f"starts ({n_starts}) and passes ({passes}) must be at least 1")
        some = bases(n_bases)
        crystals = replace(crystals, fixed_cell=None, fixed_frac=None)
        parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), DEFAULT_BATCH_ATOMS)]
        found = [self._reconstruct(part, some, n_starts, passes, rank) for part in parts]
        return _joined(found)

    def _reconstruct(
        self, crystals: CrystalBatch, some: Sequence[Basis], n_starts: int, passes: int, rank: str | Judge
    ) -> Reconstruction:
        steps = [basis.matrices for basis in some]
        begun = self._from_cubes(crystals, some)
        if rank != NONE:
            sides = volume(begun[0]) ** (1 / 3)
            begun = torch.cat([begun, sides[:, None, None] * shapes()[:, None]])
            steps += [1] * len(shapes())
        done = min(passes, 2)
        groups = split([crystals.n_atoms] * len(begun), DEFAULT_BATCH_ATOMS)
        seen = [self._look(crystals, begun[group], done) for group in groups]
        starts, second_strains = (torch.cat(parts) for parts in zip(*seen, strict=True))
        away = torch.tensor(steps)[:, None].expand_as(second_strains)
        distinct = _distinct(starts, second_strains)
        starts = torch.where(distinct[..., None, None], starts, torch.nan)
        second_strains = torch.where(distinct, second_strains, torch.inf)
        kept = torch.argsort(second_strains * WORSE**away, dim=0, stable=True)[:n_starts]
        refined = [self._refined(crystals, cells, passes - done) for cells in _taken(starts, kept)]
        cells, residuals, errors = (torch.stack(parts) for parts in zip(*refined, strict=True))
        found = Reconstruction(
            cells=cells,
            steps=away.gather(0, kept),
            second_strains=second_strains.gather(0, kept),
            residuals=residuals,
            errors=errors,
            chosen=torch.zeros(len(crystals), dtype=torch.int64),
            by_judge=torch.zeros(len(crystals), dtype=torch.bool),
        )
        if isinstance(rank, str):
            return found.ranked(rank)
        return found.ranked(AGREEMENT).judged(crystals, rank)

    def _from_cube(self, crystals: CrystalBatch) -> Float64[Tensor, "structures 3 3"]:
        cube = in_cube(crystals)
        return apply_passes(self.first.network, cube, 1).relaxed(cube).cell

    def _from_cubes(self, crystals: CrystalBatch, some: Sequence[Basis]) -> Float64[Tensor, "bases structures 3 3"]:
        """What the first network makes of the cube in each basis, in the given one."""
        found = []
        for group in split([crystals.n_atoms] * len(some), DEFAULT_BATCH_ATOMS):
            rows = [some[index].rows for index in group]
            back = torch.linalg.inv(torch.from_numpy(np.stack(rows)).to(torch.float64)).round()
            cubes = self._from_cube(CrystalBatch.cat([rebased(crystals, one) for one in rows]))
            found.append(back[:, None] @ cubes.view(len(rows), len(crystals), 3, 3))
        return torch.cat(found)

    def _look(
        self, crystals: CrystalBatch, starts: Float64[Tensor, "starts structures 3 3"], passes: int
    ) -> tuple[Tensor, Tensor]:
        """Cells after one or two passes of the second network from each start; the strain of the second."""
        cells = starts.flatten(0, 1)
        held = CrystalBatch.cat([crystals] * len(starts)).with_cell(_usable(cells)).fixing(POSITIONS)
        layers = apply_passes(self.second.network, held, 2).cells(held)
        first, second = layers[len(layers) // 2 - 1], layers[-1]
        sound = torch.isfinite(cells).all(-1).all(-1) & torch.isfinite(second).all(-1).all(-1)
        strains = hencky_distance(_usable(first), _usable(second))
        shape = starts.shape[:2]
        return (
            torch.where(sound[:, None, None], (first, second)[passes - 1], torch.nan).view(*shape, 3, 3),
            torch.where(sound, strains, torch.inf).view(shape),
        )

    def _refined(
        self, crystals: CrystalBatch, cells: Float64[Tensor, "structures 3 3"], passes: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cells after passes of the second network, the strain of one more, and the errors it predicts then."""
        sound = torch.isfinite(cells).all(-1).all(-1)
        if not sound.any():
            nothing = torch.full((len(crystals),), torch.inf, dtype=torch.float64)
            return cells, nothing, nothing
        held = crystals.with_cell(_usable(cells)).fixing(POSITIONS)
        if passes:
            held = held.with_cell(apply_passes(self.second.network, held, passes).relaxed(held).cell)
            sound &= torch.isfinite(held.cell).all(-1).all(-1)
            held = held.with_cell(_usable(held.cell))
        again = apply_passes(self.second.network, held, 1)
        last = again.relaxed(held).cell
        sound &= torch.isfinite(last).all(-1).all(-1)
        errors = torch.full((len(crystals),), torch.nan, dtype=torch.float64)
        if self.second.error_head is not None:
            predicted = predicted_errors(self.second.error_head, held, again)
            lengths = [torch.inf if one.length is None else one.length for one in predicted]
            errors = torch.tensor(lengths, dtype=torch.float64)
        strains = hencky_distance(held.cell, _usable(last))
        return (
            torch.where(sound[:, None, None], held.cell, torch.nan),
            torch.where(sound, strains, torch.inf),
            torch.where(sound, errors, torch.inf),
        )


def _distinct(
    cells: Float64[Tensor, "starts structures 3 3"], strains: Float64[Tensor, "starts structures"]
) -> Bool[Tensor, "starts structures"]:
    """Which starts led to what no earlier one did: the strains or the volumes differ. Failures are all the same."""
    order = strains.argsort(0)
    ascending, volumes = strains.gather(0, order), torch.linalg.det(cells).abs().gather(0, order)
    larger = ascending.diff(dim=0) > _EQUAL * (ascending[:-1] + _SMALL)
    apart = larger | (volumes.log().diff(dim=0).abs() > _EQUAL)
    groups = torch.cat([torch.zeros_like(order[:1]), apart.cumsum(0)])
    nearest = torch.full_like(order, len(order)).scatter_reduce(0, groups, order, "amin").gather(0, groups)
    return torch.zeros_like(order, dtype=torch.bool).scatter(0, order, nearest == order)


def _lowest(
    cells: Float64[Tensor, "starts structures 3 3"], scores: Float64[Tensor, "starts structures"]
) -> Int64[Tensor, " structures"]:
    """The start with the lowest score of those that did not fail; -1 if all did."""
    failed = ~torch.isfinite(cells).all(-1).all(-1)
    scores = torch.where(failed, torch.inf, torch.where(scores.isfinite(), scores, torch.finfo(scores.dtype).max))
    return torch.where(failed.all(0), -1, scores.argmin(0))


def _taken(cells: Float64[Tensor, "all structures 3 3"], index: Int64[Tensor, "starts structures"]) -> Tensor:
    return cells.gather(0, index[:, :, None, None].expand(-1, -1, 3, 3))


def _joined(parts: list[Reconstruction]) -> Reconstruction:
    return Reconstruction(
        cells=torch.cat([part.cells for part in parts], dim=1),
        steps=torch.cat([part.steps for part in parts], dim=1),
        second_strains=torch.cat([part.second_strains for part in parts], dim=1),
        residuals=torch.cat([part.residuals for part in parts], dim=1),
        errors=torch.cat([part.errors for part in parts], dim=1),
        chosen=torch.cat([part.chosen for part in parts]),
        by_judge=torch.cat([part.by_judge for part in parts]),
    )


def _usable(cells: Float64[Tensor, "structures 3 3"]) -> Float64[Tensor, "structures 3 3"]:
    """The cells, and cubes of 5 angstrom in place of those that are none."""
    cube = 5.0 * torch.eye(3, dtype=cells.dtype)
    return torch.where(torch.isfinite(cells).all(-1).all(-1)[:, None, None], cells, cube)


def load(name: str | Path, second: str | Path | None = None, device: str | torch.device | None = None) -> Reconstructor:
    """A packaged model for reconstruction by name, or one from a model folder or run directory.

    Args:
        name: Name or folder of the network that starts from cubes.
        second: The one that goes on from there; by default what the card of the first one names, else the default
            model.
        device: Where to compute.

    Raises:
        ConfigError: If there is no such model, or it does not do what it is to do.
    """
    first = load_relaxer(name, device)
    return Reconstructor(first, load_relaxer(second or first.card.get("goes_on_with", models.DEFAULT), device))
