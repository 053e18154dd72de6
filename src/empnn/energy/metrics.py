"""What a denoised cell gains in energy: equation 13 of the paper, the share that ends lower, and what is recovered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

_NOTHING = 1e-6
"""Strain energies in eV/atom below this are rounding; no fraction of them can be recovered."""


@dataclass(frozen=True)
class EnergyMetrics:
    """Energies of noisy (E~), denoised (E') and original (E) crystals, compared.

    Attributes:
        n: Number of crystals.
        energy: Equation 13, the mean of E' - E~, eV/atom: lower is better.
        energy_median: The median of E' - E~, eV/atom, which a few crystals with atoms on top of each other do not make.
        percent_lower: Percentage of the crystals with E' < E~.
        strain_energy: Mean of E~ - E, eV/atom, or None without originals.
        recovered: Fraction of the strain energy that is gone, (mean E~ - mean E') / (mean E~ - mean E), or None.
        recovered_median: Median over the crystals of their own (E~ - E') / (E~ - E), or None. One that the noise put
            below its original, by the judgement of the oracle, does not count.
    """

    n: int
    energy: float
    energy_median: float
    percent_lower: float
    strain_energy: float | None = None
    recovered: float | None = None
    recovered_median: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


def energy_metrics(
    noisy: Float64[np.ndarray, " n"],
    denoised: Float64[np.ndarray, " n"],
    original: Float64[np.ndarray, " n"] | None = None,
) -> EnergyMetrics:
    """Compare energies per atom (eV) of the same crystals, noisy, denoised and, where known, as they were.

    Raises:
        ValueError: If there is none, their numbers differ or an energy is not finite.
    """
    given = [values for values in (noisy, denoised, original) if values is not None]
    if len(noisy) == 0 or len({len(values) for values in given}) > 1:
        raise ValueError(f"one energy per crystal is needed; there are {', '.join(str(len(v)) for v in given)}")
    if not all(np.isfinite(values).all() for values in given):
        raise ValueError("an energy is not finite; leave the crystal out of all three")
    change = denoised - noisy
    metrics = EnergyMetrics(
        n=len(noisy),
        energy=float(change.mean()),
        energy_median=float(np.median(change)),
        percent_lower=float(100 * (change < 0).mean()),
    )
    if original is None:
        return metrics
    strain = noisy - original
    sound = strain > _NOTHING
    total = float(strain.mean())
    return replace(
        metrics,
        strain_energy=total,
        recovered=-metrics.energy / total if total > _NOTHING else None,
        recovered_median=float(np.median(-change[sound] / strain[sound])) if sound.any() else None,
    )
