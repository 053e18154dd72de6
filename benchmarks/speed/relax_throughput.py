"""Crystals relaxed per second, files and graph excluded: ours against the forward pass of naive.py.

Batches of 256 strained MP-20 crystals, the paper's preset; and, for what users get, packaged models with their graphs,
one of them also with radial functions held however small they are, and on decorated candidates; it keeps symmetry.
Usage: python -m benchmarks.speed.relax_throughput   (EMPNN_DATA names the data)
"""

import math
from unittest.mock import patch

import torch
from support.naive import NaiveEMPNN

import empnn
from benchmarks.bench import RADIAL, alternate, fast_process, paper_network, row, strained, with_all_threads, write
from benchmarks.quality.candidates import decorated
from empnn.geometry import polar_factor
from empnn.nn import rbf

BATCH = 256


def main() -> None:
    """Measure."""
    fast_process()
    crystals = strained(BATCH)
    ours = paper_network("ketbra-e").eval()
    naive = NaiveEMPNN(ours).eval()
    graph = ours.rule(crystals)
    candidates = decorated(BATCH)[0]
    packaged = {name: empnn.load(name) for name in ("mp-20", "pbe")}

    def with_all_functions() -> None:
        with patch.multiple(rbf, NEGLIGIBLE=0.0, LEAST_EXPONENT=-math.inf):
            packaged["pbe"].relax_batch(crystals)

    with torch.inference_mode():
        seconds = alternate(
            {
                "ours": lambda: crystals.cell @ polar_factor(ours(crystals, graph).action),
                "naive": with_all_threads(
                    lambda: crystals.cell @ polar_factor(naive(crystals, graph).to(torch.float64))
                ),
                "mp-20": lambda: packaged["mp-20"].relax_batch(crystals),
                "pbe": lambda: packaged["pbe"].relax_batch(crystals),
                "pbe, decorated": lambda: packaged["pbe"].relax_batch(candidates),
                "pbe, all functions": with_all_functions,
            },
            15,
        )
    rates = {name: BATCH / value for name, value in seconds.items()}
    rows = [
        row(
            "relaxing MP-20 crystals, files and graph excluded",
            f"{rates['ours']:,.0f}/s",
            f"naive {rates['naive']:,.0f}/s",
            rates["ours"] / rates["naive"],
        ),
        row(
            "relaxing with the packaged mp-20 (k = 16), graph included, files excluded",
            f"{rates['mp-20']:,.0f}/s",
            "",
        ),
        row(
            "relaxing with the packaged pbe (k = 16, atoms too), graph included, files excluded",
            f"{rates['pbe']:,.0f}/s",
            f"subnormal radial functions {rates['pbe, all functions']:,.0f}/s",
            rates["pbe"] / rates["pbe, all functions"],
        ),
        row(
            "relaxing decorated candidates with the packaged pbe, graph included, files excluded",
            f"{rates['pbe, decorated']:,.0f}/s",
            "",
        ),
    ]
    write("relax_throughput", __doc__ or "", {"radial_functions": RADIAL, "per_second": rates, "rows": rows})


if __name__ == "__main__":
    main()
