"""Denoising metrics: equations 11 and 12 of the paper and their like for positions, beside doing nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from empnn.crystals import CrystalBatch, without_mean
from empnn.geometry import hencky_distance, lattice_parameters, volume
from empnn.graph.reduction import minimum_images

_NOTHING = 1e-6
"""Errors in angstrom or degrees, and strains, below this are rounding: none of them can be removed or made worse."""


@dataclass(frozen=True)
class PositionMetrics:
    """Cartesian distances in angstrom of atoms to their true positions, over all atoms.

    Minimum image in the true cell, the mean translation of each structure removed.

    Attributes:
        noise_positions: Mean distance before, that is of doing nothing.
        noise_positions_rms: Root mean square of the same.
        positions_mae: Mean distance after.
        positions_rms: Root mean square of the same.
        n_atoms: Number of atoms.
    """

    noise_positions: float
    noise_positions_rms: float
    positions_mae: float
    positions_rms: float
    n_atoms: int

    @property
    def positions_removed(self) -> float:
        """Fraction of the mean distance that is gone, 1 - after / before; 0 where there was none."""
        return _removed(self.noise_positions, self.positions_mae)

    def as_dict(self) -> dict[str, float | int]:
        """All figures under the names of the JSON interface."""
        names = (
            "noise_positions",
            "noise_positions_rms",
            "positions_mae",
            "positions_rms",
            "positions_removed",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class DenoisingMetrics:
    """Errors of lattice parameters, averaged over structures and the three lengths or angles.

    Attributes:
        n: Number of structures.
        noise_lengths: Mean absolute error of (a, b, c) before, that is of doing nothing, in angstrom.
        noise_angles: The same of (alpha, beta, gamma), in degrees.
        lengths_mae: Mean absolute error of (a, b, c) after, in angstrom.
        angles_mae: The same of (alpha, beta, gamma), in degrees.
        positions: Distances of the atoms to their true positions, or None if they were not asked for.
    """

    n: int
    noise_lengths: float
    noise_angles: float
    lengths_mae: float
    angles_mae: float
    positions: PositionMetrics | None = None

    @property
    def lengths_improvement(self) -> float:
        """Equation 11, in angstrom: higher is better."""
        return self.noise_lengths - self.lengths_mae

    @property
    def angles_improvement(self) -> float:
        """Equation 12, in degrees: higher is better."""
        return self.noise_angles - self.angles_mae

    @property
    def lengths_removed(self) -> float:
        """Fraction of the length noise that is gone, 1 - after / before; 0 where there was no noise."""
        return _removed(self.noise_lengths, self.lengths_mae)

    @property
    def angles_removed(self) -> float:
        """Fraction of the angle noise that is gone, 1 - after / before; 0 where there was no noise."""
        return _removed(self.noise_angles, self.angles_mae)

    def as_dict(self) -> dict[str, float | int]:
        """All figures under the names of the JSON interface; those of the positions only if there are any."""
        names = (
            "n",
            "noise_lengths",
            "noise_angles",
            "lengths_mae",
            "angles_mae",
            "lengths_improvement",
            "angles_improvement",
            "lengths_removed",
            "angles_removed",
        )
        return {name: getattr(self, name) for name in names} | (self.positions.as_dict() if self.positions else {})


@dataclass(frozen=True)
class RelaxationMetrics:
    """How far crystals are from the true ones, before and after they were relaxed.

    Attributes:
        n: Number of structures.
        before: Figures of doing nothing.
        after: Figures of the answers. Both hold `strain_mean` and `strain_median`, norms of the Hencky strain to the
            true cell; `volume_median`, |V / V_true - 1| in per cent; `lengths_mae` (angstrom) and `angles_mae`
            (degrees); `positions_mean` and `positions_median`, over crystals, of the mean distance of the atoms to
            their places, in angstrom.
        strain_worse: Share of the structures whose strain grew.
    """

    n: int
    before: dict[str, float]
    after: dict[str, float]
    strain_worse: float

    def left(self, name: str) -> float:
        """A figure after over the same before; 1 if there was nothing to remove."""
        return self.after[name] / self.before[name] if self.before[name] > _NOTHING else 1.0

    def as_dict(self) -> dict[str, object]:
        """All figures."""
        return {"n": self.n, "before": self.before, "after": self.after, "strain_worse": self.strain_worse}


def relaxation_metrics(before: CrystalBatch, after: CrystalBatch, truth: CrystalBatch) -> RelaxationMetrics:
    """Compare crystals before and after relaxation with the true ones, all given in the same basis and order.

    Invariant under O(3) acting on any of the cells, and under translations.

    Raises:
        ValueError: If there is no structure.
    """
    if len(truth) == 0:
        raise ValueError("no structures to compare")
    strains = [hencky_distance(crystals.cell, truth.cell) for crystals in (before, after)]
    return RelaxationMetrics(
        n=len(truth),
        before=_figures(before, strains[0], truth),
        after=_figures(after, strains[1], truth),
        strain_worse=float((strains[1] > strains[0] + _NOTHING).to(torch.float64).mean()),
    )


def _figures(crystals: CrystalBatch, strain: Tensor, truth: CrystalBatch) -> dict[str, float]:
    errors = (lattice_parameters(crystals.cell) - lattice_parameters(truth.cell)).abs().mean(0)
    moved = mean_displacements(crystals, truth)
    found = {
        "strain_mean": strain.mean(),
        "strain_median": strain.quantile(0.5),
        "volume_median": 100 * (volume(crystals.cell) / volume(truth.cell) - 1).abs().quantile(0.5),
        "lengths_mae": errors[:3].mean(),
        "angles_mae": errors[3:].mean(),
        "positions_mean": moved.mean(),
        "positions_median": moved.quantile(0.5),
    }
    return {name: float(value) for name, value in found.items()}


def denoising_metrics(
    before: CrystalBatch, after: CrystalBatch, truth: CrystalBatch, positions: bool = False
) -> DenoisingMetrics:
    """Compare crystals before and after relaxation with the true ones, all given in the same basis and order.

    Invariant under O(3) acting on any of the cells, and under translations.

    Raises:
        ValueError: If there is no structure.
    """
    if len(truth) == 0:
        raise ValueError("no structures to compare")
    true = lattice_parameters(truth.cell)
    errors = torch.stack([(lattice_parameters(c.cell) - true).abs() for c in (before, after)])
    means = torch.stack([errors[..., :3].mean((1, 2)), errors[..., 3:].mean((1, 2))], dim=-1)
    (noise_lengths, noise_angles), (lengths_mae, angles_mae) = means.tolist()
    moved = _position_metrics(before, after, truth) if positions else None
    return DenoisingMetrics(len(truth), noise_lengths, noise_angles, lengths_mae, angles_mae, moved)


def pooled(parts: Sequence[DenoisingMetrics]) -> DenoisingMetrics:
    """The metrics of all structures from those of parts of them, to rounding.

    Raises:
        ValueError: If there is no part, or positions were compared in some only.
    """
    total = sum(part.n for part in parts)
    names = ("noise_lengths", "noise_angles", "lengths_mae", "angles_mae")
    means = {name: sum(part.n * getattr(part, name) for part in parts) / total for name in names}
    positions = [part.positions for part in parts if part.positions is not None]
    if positions and len(positions) < len(parts):
        raise ValueError("positions were compared in some parts only")
    return DenoisingMetrics(n=total, **means, positions=_pooled_positions(positions) if positions else None)


def _pooled_positions(parts: Sequence[PositionMetrics]) -> PositionMetrics:
    n_atoms = sum(part.n_atoms for part in parts)

    def mean(name: str, power: int = 1) -> float:
        total: float = sum(part.n_atoms * getattr(part, name) ** power for part in parts)
        return float((total / n_atoms) ** (1 / power))

    return PositionMetrics(
        noise_positions=mean("noise_positions"),
        noise_positions_rms=mean("noise_positions_rms", 2),
        positions_mae=mean("positions_mae"),
        positions_rms=mean("positions_rms", 2),
        n_atoms=n_atoms,
    )


def displacements(crystals: CrystalBatch, truth: CrystalBatch) -> Float64[Tensor, "atoms 3"]:
    """Vectors in angstrom, in the true cell, from the true positions to where the atoms are, in the minimum image.

    The mean over each structure is zero: the origin of a crystal has no meaning. It is first taken to be where it puts
    the first atom, then where it puts the mean, which is the same for any order of the atoms as long as they are closer
    to their own places than to the images of others'.
    """
    shift = crystals.frac - truth.frac
    shift = shift - shift[truth.starts[:-1]][truth.batch]
    for _ in range(2):
        images = minimum_images(shift.numpy(), truth.cell.numpy(), truth.batch.numpy())
        centred = without_mean(truth, torch.from_numpy(images))
        shift = truth.fractional(centred)
    return centred


def mean_displacements(crystals: CrystalBatch, truth: CrystalBatch) -> Float64[Tensor, " structures"]:
    """Mean length of `displacements` over the atoms of each structure, in angstrom."""
    distances = torch.linalg.vector_norm(displacements(crystals, truth), dim=-1)
    mean: Tensor = distances.new_zeros(len(truth)).index_add(0, truth.batch, distances) / truth.sizes
    return mean


def _position_metrics(before: CrystalBatch, after: CrystalBatch, truth: CrystalBatch) -> PositionMetrics:
    distances = [torch.linalg.vector_norm(displacements(c, truth), dim=-1) for c in (before, after)]
    (noise, noise_rms), (left, left_rms) = [(float(d.mean()), float(d.square().mean().sqrt())) for d in distances]
    return PositionMetrics(noise, noise_rms, left, left_rms, truth.n_atoms)


def _removed(before: float, after: float) -> float:
    return 1 - after / before if before > _NOTHING else 0.0
