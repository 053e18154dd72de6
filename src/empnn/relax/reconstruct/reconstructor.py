"""Reconstruction (Table 3): a network that was trained on cubes of 1 angstrom, then one that removes what it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from empnn import models
from empnn.corruption.cube import in_cube
from empnn.crystals import POSITIONS, CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import hencky_distance
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, split
from empnn.relax.reconstruct.bases import Basis, bases, rebased
from empnn.relax.relaxer import Relaxer
from empnn.relax.relaxer import load as load_relaxer
from empnn.relax.trust import predicted_errors

DEFAULT_PASSES = 8
"""Passes of the second network."""
DEFAULT_STARTS = 16
"""Starts that these passes are made for, of the bases that are looked at."""
AGREEMENT, RESIDUAL, ERRORS = "agreement", "residual", "errors"
RANKS = (AGREEMENT, RESIDUAL, ERRORS)
"""What the best of several starts is chosen by: the error that the second network predicts of the answer, times how far
the networks disagreed on the start; the strain of one more pass; that error alone."""
WORSE = math.e
"""How much better a start has to be for each elementary matrix between its basis and the given one."""

Judge = Callable[[CrystalBatch], Float64[Tensor, " structures"]]
"""Says of crystals how bad they are, an energy per atom, say; infinite if nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Cells that several starts came to, all in the basis that was given.

    Attributes:
        cells: NaN where a start failed. (starts, structures, 3, 3), angstrom.
        matrices: Elementary matrices between the given basis and that of the start. (starts, structures).
        disagreements: Hencky strain that the second pass of the second network made, infinite where a start failed.
            (starts, structures).
        residuals: Hencky strain of one more pass, infinite where a start failed. (starts, structures).
        errors: Mean error of the lattice vectors that the second network predicts, angstrom; NaN if it predicts none.
            (starts, structures).
        chosen: The start of the answer, -1 if all failed. Per structure.
    """

    cells: Float64[Tensor, "starts structures 3 3"]
    matrices: Int64[Tensor, "starts structures"]
    disagreements: Float64[Tensor, "starts structures"]
    residuals: Float64[Tensor, "starts structures"]
    errors: Float64[Tensor, "starts structures"]
    chosen: Int64[Tensor, " structures"]

    @property
    def cell(self) -> Float64[Tensor, "structures 3 3"]:
        """The answers; NaN where all starts failed."""
        answers = _taken(self.cells, self.chosen.clamp_min(0)[None])[0]
        return torch.where((self.chosen < 0)[:, None, None], torch.nan, answers)

    def ranked(self, rank: str) -> Reconstruction:
        """The same starts, of which one of `RANKS` chooses."""
        scores = self.residuals if rank == RESIDUAL or bool(self.errors.isnan().any()) else self.errors
        if rank == AGREEMENT:
            scores = scores * self.disagreements
        return replace(self, chosen=_lowest(self.cells, scores * WORSE**self.matrices))


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
        n_starts: int = DEFAULT_STARTS,
        passes: int = DEFAULT_PASSES,
        rank: str | Judge = AGREEMENT,
    ) -> Reconstruction:
        """Cells from several starts, and which one is best.

        From the cube in each of the bases the first network and one pass of the second lead to a cell. Those that a
        second pass changes least are the starts that all passes are made for, and the best of these is the answer. A
        nearer basis comes before one that is a little better: coordinates mostly are in a basis that suits them.

        Args:
            crystals: Crystals whose cells are not looked at.
            n_bases: Bases to look at, the given one and those nearest to it, at most `bases.MOST_BASES`.
            n_starts: Starts to go on from; no more than there are bases.
            passes: Passes of the second network for each of them.
            rank: One of `RANKS`, or what judges crystals. A second network that predicts no errors is asked for the
                residual strain in their place.

        Raises:
            ConfigError: If there is no such rank.
            ValueError: If there is no start or no pass, or there are not as many bases.
        """
        if isinstance(rank, str) and rank not in RANKS:
            raise ConfigError(f"rank {rank} does not exist; use one of {', '.join(RANKS)}, or an energy oracle")
        if n_starts < 1 or passes < 1:
            raise ValueError(f"starts ({n_starts}) and passes ({passes}) must be at least 1")
        some = bases(n_bases)
        parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), DEFAULT_BATCH_ATOMS)]
        found = [self._reconstruct(part, some, n_starts, passes, rank) for part in parts]
        return _joined(found)

    def _reconstruct(
        self, crystals: CrystalBatch, some: Sequence[Basis], n_starts: int, passes: int, rank: str | Judge
    ) -> Reconstruction:
        groups = split([crystals.n_atoms] * len(some), DEFAULT_BATCH_ATOMS)
        seen = [self._look(crystals, [some[index] for index in group]) for group in groups]
        starts, disagreements = (torch.cat(parts) for parts in zip(*seen, strict=True))
        matrices = torch.tensor([basis.matrices for basis in some])[:, None].expand_as(disagreements)
        kept = torch.argsort(disagreements * WORSE**matrices, dim=0, stable=True)[:n_starts]
        refined = [self._refined(crystals, cells, passes - 1) for cells in _taken(starts, kept)]
        cells, residuals, errors = (torch.stack(parts) for parts in zip(*refined, strict=True))
        found = Reconstruction(
            cells=cells,
            matrices=matrices.gather(0, kept),
            disagreements=disagreements.gather(0, kept),
            residuals=residuals,
            errors=errors,
            chosen=torch.zeros(len(crystals), dtype=torch.int64),
        )
        if isinstance(rank, str):
            return found.ranked(rank)
        judged = torch.stack([rank(crystals.with_cell(_usable(cells))) for cells in found.cells])
        return replace(found, chosen=_lowest(found.cells, judged))

    def _from_cube(self, crystals: CrystalBatch) -> Float64[Tensor, "structures 3 3"]:
        cube = in_cube(crystals)
        return apply_passes(self.first.network, cube, 1).relaxed(cube).cell

    def _look(self, crystals: CrystalBatch, some: Sequence[Basis]) -> tuple[Tensor, Tensor]:
        """Cells after the cube in each basis and one pass of the second network, and the strain of a second pass."""
        back = torch.linalg.inv(torch.from_numpy(np.stack([basis.rows for basis in some])).to(torch.float64)).round()
        cubes = self._from_cube(CrystalBatch.cat([rebased(crystals, basis.rows) for basis in some]))
        cells = back.repeat_interleave(len(crystals), 0) @ cubes
        held = CrystalBatch.cat([crystals] * len(some)).with_cell(_usable(cells)).fixing(POSITIONS)
        layers = apply_passes(self.second.network, held, 2).cells(held)
        first, second = layers[len(layers) // 2 - 1], layers[-1]
        sound = torch.isfinite(cells).all(-1).all(-1) & torch.isfinite(second).all(-1).all(-1)
        strains = hencky_distance(_usable(first), _usable(second))
        shape = (len(some), len(crystals))
        return (
            torch.where(sound[:, None, None], first, torch.nan).view(*shape, 3, 3),
            torch.where(sound, strains, torch.inf).view(shape),
        )

    def _refined(
        self, crystals: CrystalBatch, cells: Float64[Tensor, "structures 3 3"], passes: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cells after passes of the second network, the strain of one more, and the errors it predicts then."""
        sound = torch.isfinite(cells).all(-1).all(-1)
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
            errors = torch.tensor([one.length or torch.nan for one in predicted], dtype=torch.float64)
        strains = hencky_distance(held.cell, _usable(last))
        return (
            torch.where(sound[:, None, None], held.cell, torch.nan),
            torch.where(sound, strains, torch.inf),
            torch.where(sound, errors, torch.inf),
        )


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
        matrices=torch.cat([part.matrices for part in parts], dim=1),
        disagreements=torch.cat([part.disagreements for part in parts], dim=1),
        residuals=torch.cat([part.residuals for part in parts], dim=1),
        errors=torch.cat([part.errors for part in parts], dim=1),
        chosen=torch.cat([part.chosen for part in parts]),
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
