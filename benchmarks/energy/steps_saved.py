"""Steps and seconds that an MLIP or DFT needs to relax the cell, from the strained one and from EMPNN's.

Fractional coordinates are held, the virial ends below 0.02 eV per atom. Also whether both end at the same energy.
Medians over the crystals that converge from both, and over those that end at the same energy.

Usage: python -m benchmarks.energy.steps_saved [--sets mp_20] [--limit 64] [--oracles chgnet sevennet]
       python -m benchmarks.energy.steps_saved --oracles gpaw --small --limit 6      (EMPNN_DATA names the data folder)
"""

import argparse
from statistics import median
from typing import Any

from benchmarks.energy.energy_sets import ROW, dft_settings, judged, merge, parser, triple
from empnn.energy.oracle import OracleRelaxation

STATES = ("noisy", "denoised")
SAME = 1e-3
"""Energies per atom (eV) closer than this are the same minimum."""


def measure(data: str, oracle: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row: the two starts compared."""
    chosen = triple(data, options.limit, options.small)
    found = judged(chosen, STATES, oracle, OracleRelaxation(mode="cell", steps=options.steps), options)
    crystals = []
    for index, raw, ours in zip(chosen.indices, *(found[state] for state in STATES), strict=True):
        one = {"index": index}
        for state, answer in zip(STATES, (raw, ours), strict=True):
            result = answer.result
            one[state] = (
                {"status": answer.status, "message": answer.message}
                if result is None
                else {
                    "status": "converged" if result.converged else answer.status,
                    "steps": result.steps,
                    "seconds": result.seconds,
                    "energy_per_atom": result.energy_per_atom,
                }
            )
        crystals.append(one)
    named = {"data": data, "crystals": chosen.which, "oracle": oracle, **dft_settings(oracle, options)}
    return {**named, "n": len(crystals), **summary(crystals), "per_crystal": crystals}


def summary(crystals: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the crystals that converge from both starts, and over those of them that end at the same energy."""
    both = [one for one in crystals if all(one[state]["status"] == "converged" for state in STATES)]
    figures: dict[str, Any] = {"converged_from_both": len(both)}
    for state in STATES:
        figures[f"converged_from_{state}"] = sum(one[state]["status"] == "converged" for one in crystals)
        for name in ("steps", "seconds"):
            figures[f"{name}_from_{state}"] = median(one[state][name] for one in both) if both else None
    if both:
        figures["steps_saved"] = median(one["noisy"]["steps"] - one["denoised"]["steps"] for one in both)
        figures["seconds_saved"] = median(one["noisy"]["seconds"] - one["denoised"]["seconds"] for one in both)
    ends = [one["denoised"]["energy_per_atom"] - one["noisy"]["energy_per_atom"] for one in both]
    same = [one for one, difference in zip(both, ends, strict=True) if abs(difference) <= SAME]
    for state in STATES:
        figures[f"steps_from_{state}_same_energy"] = median(one[state]["steps"] for one in same) if same else None
    figures["same_energy"] = sum(abs(difference) <= SAME for difference in ends)
    figures["lower_from_denoised"] = sum(difference < -SAME for difference in ends)
    figures["lower_from_noisy"] = sum(difference > SAME for difference in ends)
    figures["largest_difference"] = max(map(abs, ends), default=None)
    return figures


def main() -> None:
    """Measure, and write the result file after every row."""
    made = parser(__doc__, 64, ["chgnet", "sevennet"])
    made.add_argument("--steps", type=int, default=200)
    options = made.parse_args()
    for oracle in options.oracles:
        for data in options.sets:
            row = measure(data, oracle, options)
            merge(options.results / "steps_saved.json", str(__doc__), [row], ROW)
            print({key: value for key, value in row.items() if key != "per_crystal"}, flush=True)


if __name__ == "__main__":
    main()
