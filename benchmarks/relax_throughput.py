"""Crystals relaxed per second, files and graph excluded: ours against the forward pass of naive.py.

Batches of 256 strained MP-20 crystals, the paper's preset; and, for what users get, packaged models with their graphs:
pbe, which keeps symmetry to the digits of files, also on decorated candidates (candidates.py, symmetry_kept.py).
Usage: python benchmarks/relax_throughput.py   (EMPNN_DATA names the data)
"""

import torch
from bench import RADIAL, alternate, fast_process, paper_network, row, strained, with_all_threads, write
from candidates import decorated
from support.naive import NaiveEMPNN

import empnn
from empnn.geometry import polar_factor
from empnn.relax.passes import relax_batch

BATCH = 256


def main() -> None:
    """Measure."""
    fast_process()
    crystals = strained(BATCH)
    ours = paper_network("ketbra-e").eval()
    naive = NaiveEMPNN(ours).eval()
    graph = ours.rule(crystals)
    packaged, pbe = (empnn.load(name).network for name in ("mp-20", "pbe"))
    candidates = decorated(BATCH)[0]
    with torch.inference_mode():
        seconds = alternate(
            {
                "ours": lambda: crystals.cell @ polar_factor(ours(crystals, graph).action),
                "naive": with_all_threads(
                    lambda: crystals.cell @ polar_factor(naive(crystals, graph).to(torch.float64))
                ),
                "packaged, with graph": lambda: relax_batch(packaged, crystals),
                "pbe, strained": lambda: relax_batch(pbe, crystals),
                "pbe, decorated": lambda: relax_batch(pbe, candidates),
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
            f"{rates['packaged, with graph']:,.0f}/s",
            "",
        ),
        *(
            row(
                f"relaxing {kind} crystals with the packaged pbe (k = 16), graph included, files excluded",
                f"{rates[f'pbe, {kind}']:,.0f}/s",
                "",
            )
            for kind in ("strained", "decorated")
        ),
    ]
    write("relax_throughput", __doc__ or "", {"radial_functions": RADIAL, "per_second": rates, "rows": rows})


if __name__ == "__main__":
    main()
