"""Equations 11 and 12, fractions removed and seconds per crystal, of everything that relaxes cells.

EMPNN beside doing nothing, the feed-forward baseline, and relaxing the cell by the stress of an MLIP or DFT (fractional
coordinates held), on the same crystals of val strained at sigma = 0.1.

Usage: python -m benchmarks.energy.relaxers [--sets mp_20] [--limit 64] [--oracles chgnet sevennet] [--ff mp_20=RUN]
       python -m benchmarks.energy.relaxers --oracles gpaw --small --limit 6      (EMPNN_DATA names the data folder)
"""

import argparse
from typing import Any

import numpy as np
import torch

import empnn
from benchmarks.energy.energy_sets import MODELS, Triple, dft_settings, judged, merge, parser, triple
from empnn.crystals import CrystalBatch
from empnn.energy.oracle import OracleRelaxation
from empnn.energy.relaxer import relaxed_batch
from empnn.metrics import denoising_metrics
from empnn.nn.runtime.cpu import tuned
from empnn.relaxers import RelaxedBatch

KEYS = ("data", "crystals", "relaxer", "cutoff", "kpoint_density")


def row(chosen: Triple, relaxer: str, relaxed: RelaxedBatch, **more: Any) -> dict[str, Any]:
    """One line of the comparison."""
    metrics = denoising_metrics(chosen.states["noisy"], relaxed.crystals, chosen.states["original"]).as_dict()
    named = {"data": chosen.data, "crystals": chosen.which, "relaxer": relaxer}
    return {**named, **metrics, "seconds_per_crystal": relaxed.seconds / len(relaxed.crystals), **more}


def untouched(crystals: CrystalBatch) -> RelaxedBatch:
    """What doing nothing makes of crystals."""
    return RelaxedBatch(crystals=crystals, failed=torch.zeros(len(crystals), dtype=torch.bool), seconds=0.0)


def by_network(chosen: Triple, name: str, model: str) -> dict[str, Any]:
    """A network on all crystals together, and the median time of one alone."""
    network = empnn.load(model)
    noisy = chosen.states["noisy"]
    with tuned():
        network.relax_batch(noisy)
        relaxed = network.relax_batch(noisy)
        alone = [network.relax_batch(noisy.select([place])).seconds for place in range(len(noisy))]
    threads = torch.get_num_threads()
    return row(chosen, name, relaxed, seconds_alone=float(np.median(alone)), threads=threads)


def by_oracle(chosen: Triple, oracle: str, options: argparse.Namespace) -> dict[str, Any]:
    """The cell relaxed until the virial is below 0.02 eV per atom."""
    found = judged(chosen, ["noisy"], oracle, OracleRelaxation(mode="cell", steps=options.steps), options)["noisy"]
    relaxed = relaxed_batch(chosen.states["noisy"], found)
    steps = [one.result.steps for one in found if one.result is not None]
    figures = {**relaxed.report, "steps": float(np.median(steps)) if steps else None, "threads": 1}
    return row(chosen, oracle, relaxed, **figures, **dft_settings(oracle, options))


def main() -> None:
    """Measure, and write the result file after every row."""
    made = parser(__doc__, 64, ["chgnet", "sevennet"])
    made.add_argument("--ff", nargs="*", default=[], metavar="SET=RUN", help="trained feed-forward baselines")
    made.add_argument("--steps", type=int, default=200)
    options = made.parse_args()
    baselines = dict(given.split("=", 1) for given in options.ff)
    for data in options.sets:
        chosen = triple(data, options.limit, options.small)
        rows = [row(chosen, "nothing", untouched(chosen.states["noisy"])), by_network(chosen, "empnn", MODELS[data])]
        if data in baselines:
            rows.append(by_network(chosen, "ff", baselines[data]))
        else:
            print(f"{data}: no feed-forward baseline given (--ff {data}=RUN), left out")
        merge(options.results / "relaxers.json", str(__doc__), rows, KEYS)
        for oracle in options.oracles:
            rows.append(by_oracle(chosen, oracle, options))
            merge(options.results / "relaxers.json", str(__doc__), rows, KEYS)
        for one in rows:
            figures = ("lengths_mae", "angles_mae", "lengths_removed", "angles_removed", "seconds_per_crystal")
            print(f"{data:<10} {one['relaxer']:<20} " + "  ".join(f"{one[name]:.4f}" for name in figures))


if __name__ == "__main__":
    main()
