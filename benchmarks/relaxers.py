"""Equations 11 and 12, fractions removed and seconds per crystal, of everything that relaxes cells.

EMPNN beside doing nothing, the feed-forward baseline, and relaxing the cell by the stress of an MLIP or DFT (fractional
coordinates held), on the same crystals of val strained at sigma = 0.1.

Usage: python benchmarks/relaxers.py [--sets mp_20] [--limit 64] [--oracles chgnet sevennet] [--ff mp_20=RUN]
       python benchmarks/relaxers.py --oracles gpaw --small --limit 6      (EMPNN_DATA names the data folder)
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from energy_sets import MODELS, Triple, dft_settings, judged, merge, parser, triple

import empnn
from empnn.crystals import CrystalBatch
from empnn.energy.oracle import OracleRelaxation
from empnn.evaluate import relaxed_batch
from empnn.metrics import denoising_metrics
from empnn.nn.runtime.cpu import tuned

KEYS = ("data", "crystals", "relaxer", "cutoff", "kpoint_density")


def row(chosen: Triple, relaxer: str, after: CrystalBatch, seconds: float, **more: Any) -> dict[str, Any]:
    """One line of the comparison."""
    metrics = denoising_metrics(chosen.states["noisy"], after, chosen.states["original"]).as_dict()
    named = {"data": chosen.data, "crystals": chosen.which, "relaxer": relaxer}
    return {**named, **metrics, "seconds_per_crystal": seconds / len(after), **more}


def by_network(chosen: Triple, name: str, model: str) -> dict[str, Any]:
    """A network on all crystals together, and the median time of one alone."""
    network = empnn.load(model)
    noisy = chosen.states["noisy"]
    with tuned():
        network.relax_batch(noisy)
        started = time.perf_counter()
        after = network.relax_batch(noisy)
        seconds = time.perf_counter() - started
        alone = []
        for place in range(len(noisy)):
            started = time.perf_counter()
            network.relax_batch(noisy.select([place]))
            alone.append(time.perf_counter() - started)
    threads = torch.get_num_threads()
    return row(chosen, name, after, seconds, seconds_alone=float(np.median(alone)), threads=threads)


def by_oracle(chosen: Triple, oracle: str, options: argparse.Namespace) -> dict[str, Any]:
    """The cell relaxed until the virial is below 0.02 eV per atom."""
    found = judged(chosen, ["noisy"], oracle, OracleRelaxation(mode="cell", steps=options.steps), options)["noisy"]
    results = [one.result for one in found if one.result is not None]
    return row(
        chosen,
        oracle,
        relaxed_batch(chosen.states["noisy"], found),
        float(sum(one.seconds or 0.0 for one in found)),
        converged=sum(result.converged for result in results),
        failed=len(found) - len(results),
        steps=float(np.median([result.steps for result in results])) if results else None,
        **{"threads": 1, **dft_settings(oracle, options)},
    )


def main() -> None:
    """Measure, and write the result file after every row."""
    made = parser(__doc__, 64, ["chgnet", "sevennet"])
    made.add_argument("--ff", nargs="*", default=[], metavar="SET=RUN", help="trained feed-forward baselines")
    made.add_argument("--steps", type=int, default=200)
    options = made.parse_args()
    baselines = dict(given.split("=", 1) for given in options.ff)
    for data in options.sets:
        chosen = triple(data, options.limit, options.small)
        rows = [row(chosen, "nothing", chosen.states["noisy"], 0.0), by_network(chosen, "empnn", MODELS[data])]
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
