"""Do denoised cells lie lower? Equation 13 and the share of crystals that end lower, by an energy oracle; eV/atom.

Crystals of val strained at sigma = 0.1 and relaxed by the packaged model of their set; also the fraction of the strain
energy that is recovered.

Usage: python -m benchmarks.energy.energies [--sets mp_20] [--limit 64] [--oracles sevennet]
       python -m benchmarks.energy.energies --oracles gpaw --small --limit 6      (EMPNN_DATA names the data folder)
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.energy.energy_sets import ROW, dft_settings, judged, merge, options_of, parser, triple
from empnn.energy.metrics import energy_metrics
from empnn.energy.oracle import OracleRelaxation, about
from empnn.energy.oracles.registry import load_oracle

STATES = ("noisy", "denoised", "original")


def measure(data: str, oracle: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row: the energies of the three states, and what they say."""
    chosen = triple(data, options.limit, options.small)
    found = judged(chosen, STATES, oracle, OracleRelaxation(), options)
    results = list(zip(*(found[state] for state in STATES), strict=True))
    sound = [place for place, three in enumerate(results) if all(one.result is not None for one in three)]
    energies = {
        state: [one.result.energy_per_atom for one in (found[state][place] for place in sound) if one.result]
        for state in STATES
    }
    metrics = energy_metrics(*(np.array(energies[state]) for state in STATES)).as_dict() if sound else {"n": 0}
    seconds = [one.result.seconds for three in results for one in three if one.result is not None]
    used = options_of(chosen, oracle, options)
    left_out = [
        {"index": chosen.indices[place], "message": next(one.message for one in results[place] if one.result is None)}
        for place in range(len(results))
        if place not in sound
    ]
    return {
        "data": data,
        "crystals": chosen.which,
        "oracle": oracle,
        **dft_settings(oracle, options),
        **metrics,
        "seconds_per_energy": float(np.median(seconds)) if seconds else None,
        "indices": [chosen.indices[place] for place in sound],
        "energies": energies,
        "left_out": left_out,
        "about": described(oracle, used),
        "options": [used[place] for place in sound],
    }


def described(oracle: str, used: list[dict[str, Any]]) -> dict[str, Any]:
    """What the oracle is, without those of its settings that differ from crystal to crystal: they are in `options`."""
    found = about(load_oracle(oracle, used[0]))
    varied = {name for one in used for name in one if any(other.get(name) != one[name] for other in used)}
    return {**found, "settings": {key: value for key, value in found["settings"].items() if key not in varied}}


def main() -> None:
    """Measure, and write the result file after every row."""
    options = parser(__doc__, 64, ["sevennet"]).parse_args()
    for oracle in options.oracles:
        for data in options.sets:
            row = measure(data, oracle, options)
            merge(options.results / "energies.json", str(__doc__), [row], ROW)
            print({key: row.get(key) for key in ("data", "oracle", "n", "energy", "percent_lower", "recovered")})


if __name__ == "__main__":
    main()
