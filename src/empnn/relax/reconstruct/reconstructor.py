"""Reconstruction (Table 3): a network that was trained on cubes of 1 angstrom, then one that removes what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn import models
from empnn.corruption.cube import in_cube
from empnn.crystals import POSITIONS, CrystalBatch
from empnn.errors import ConfigError
from empnn.geometry import hencky_distance
from empnn.relax.passes import DEFAULT_BATCH_ATOMS, apply_passes, split
from empnn.relax.reconstruct.starts import CUBE, Start, bases, rebased, shaped, starts
from empnn.relax.relaxer import Relaxer
from empnn.relax.relaxer import load as load_relaxer
from empnn.relax.trust import predicted_errors

DEFAULT_PASSES = 8
"""Passes of the second network."""
NONE, RESIDUAL, ERRORS = "none", "residual", "errors"
RANKS = (NONE, RESIDUAL, ERRORS)
"""What the best of several starts is chosen by: the first one; the least strain of one more pass; the least error that
the second network predicts of its answer."""

Judge = Callable[[CrystalBatch], Float64[Tensor, " structures"]]
"""Says of crystals how bad they are, an energy per atom, say; infinite if nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Cells that several starts came to, all in the basis that was given.

    Attributes:
        cells: NaN where a start failed. (starts, structures, 3, 3), angstrom.
        residuals: Hencky strain of one more pass, infinite where a start failed. (starts, structures).
        errors: Mean error of the lattice vectors that the second network predicts, angstrom; NaN if it predicts none.
        chosen: The start of the answer, -1 if all failed. Per structure.
    """

    cells: Float64[Tensor, "starts structures 3 3"]
    residuals: Float64[Tensor, "starts structures"]
    errors: Float64[Tensor, "starts structures"]
    chosen: Tensor

    @property
    def cell(self) -> Float64[Tensor, "structures 3 3"]:
        """The answers; NaN where all starts failed."""
        index = self.chosen.clamp_min(0)[None, :, None, None].expand(1, -1, 3, 3)
        return torch.where((self.chosen < 0)[:, None, None], torch.nan, self.cells.gather(0, index)[0])


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
        n_starts: int = 1,
        passes: int = DEFAULT_PASSES,
        rank: str | Judge = ERRORS,
        seed: int = 0,
    ) -> Reconstruction:
        """Cells from several starts, and which one is best.

        Args:
            crystals: Crystals whose cells are not looked at.
            n_starts: Number of starts (`starts`).
            passes: Passes of the second network after each.
            rank: One of `RANKS`, or what judges crystals. A second network that predicts no errors is asked for the
                residual strain in their place.
            seed: Of the bases that are drawn.

        Raises:
            ConfigError: If there is no such rank.
            ValueError: If there is no start or no pass.
        """
        if isinstance(rank, str) and rank not in RANKS:
            raise ConfigError(f"rank {rank} does not exist; use one of {', '.join(RANKS)}, or an energy oracle")
        if n_starts < 1 or passes < 1:
            raise ValueError(f"starts ({n_starts}) and passes ({passes}) must be at least 1")
        parts = [crystals.select(index) for index in split(crystals.sizes.tolist(), DEFAULT_BATCH_ATOMS)]
        found = [self._reconstruct(part, n_starts, passes, rank, seed) for part in parts]
        return Reconstruction(
            cells=torch.cat([one.cells for one in found], dim=1),
            residuals=torch.cat([one.residuals for one in found], dim=1),
            errors=torch.cat([one.errors for one in found], dim=1),
            chosen=torch.cat([one.chosen for one in found]),
        )

    def _reconstruct(
        self, crystals: CrystalBatch, n_starts: int, passes: int, rank: str | Judge, seed: int
    ) -> Reconstruction:
        found: Reconstruction | None = None
        by_itself = rank if isinstance(rank, str) else ERRORS
        for index, start in enumerate(starts(n_starts)):
            best = in_cube(crystals).cell if found is None else _usable(found.cell)
            one = self._one_start(crystals, start, best, passes, index + seed)
            found = one if found is None else _joined(found, one)
            found = replace(found, chosen=_chosen(found, found_scores(found, by_itself)))
        if found is None:
            raise ValueError("there was no start")
        if isinstance(rank, str) or n_starts == 1:
            return found
        judged = [rank(crystals.with_cell(_usable(cells))) for cells in found.cells]
        return replace(found, chosen=_chosen(found, torch.stack(judged)))

    def _one_start(
        self, crystals: CrystalBatch, start: Start, best: Float64[Tensor, "structures 3 3"], passes: int, seed: int
    ) -> Reconstruction:
        basis = bases(start, best, seed)
        moved = rebased(crystals, basis)
        if start.shape == CUBE:
            first = moved.with_cell(_usable(self._from_cube(moved)))
        else:
            first = shaped(moved, start.shape, best)
        cells, residuals, errors = self._refined(first, passes)
        back = torch.linalg.inv(basis.to(torch.float64)).round() @ cells
        return Reconstruction(
            cells=back[None], residuals=residuals[None], errors=errors[None], chosen=torch.zeros(len(crystals)).long()
        )

    def _from_cube(self, crystals: CrystalBatch) -> Float64[Tensor, "structures 3 3"]:
        cube = in_cube(crystals)
        return apply_passes(self.first.network, cube, 1).relaxed(cube).cell

    def _refined(self, crystals: CrystalBatch, passes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cells after the passes of the second network, the strain of one more, and the errors it predicts then."""
        held = crystals.fixing(POSITIONS)
        cells = apply_passes(self.second.network, held, passes).relaxed(held).cell
        sound = torch.isfinite(cells).all(-1).all(-1)
        after = held.with_cell(torch.where(sound[:, None, None], cells, held.cell))
        again = apply_passes(self.second.network, after, 1)
        last = again.relaxed(after).cell
        sound &= torch.isfinite(last).all(-1).all(-1)
        step = hencky_distance(after.cell, torch.where(sound[:, None, None], last, after.cell))
        errors = torch.full((len(crystals),), torch.nan, dtype=torch.float64)
        if self.second.error_head is not None:
            predicted = predicted_errors(self.second.error_head, after, again)
            errors = torch.tensor([one.length or torch.nan for one in predicted], dtype=torch.float64)
        cells = torch.where(sound[:, None, None], cells, torch.nan)
        return cells, torch.where(sound, step, torch.inf), torch.where(sound, errors, torch.inf)


def found_scores(found: Reconstruction, rank: str) -> Float64[Tensor, "starts structures"]:
    """How bad each start is, by its residual strain or its predicted error."""
    if rank == NONE:
        return torch.arange(len(found.cells), dtype=torch.float64)[:, None].expand_as(found.residuals)
    return found.residuals if rank == RESIDUAL or bool(found.errors.isnan().any()) else found.errors


def _chosen(found: Reconstruction, scores: Float64[Tensor, "starts structures"]) -> Tensor:
    """The start with the lowest score of those that did not fail; -1 if all did."""
    failed = ~torch.isfinite(found.cells).all(-1).all(-1)
    scores = torch.where(failed, torch.inf, torch.where(scores.isfinite(), scores, torch.finfo(scores.dtype).max))
    return torch.where(failed.all(0), -1, scores.argmin(0))


def _joined(found: Reconstruction, more: Reconstruction) -> Reconstruction:
    return Reconstruction(
        cells=torch.cat([found.cells, more.cells]),
        residuals=torch.cat([found.residuals, more.residuals]),
        errors=torch.cat([found.errors, more.errors]),
        chosen=found.chosen,
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
