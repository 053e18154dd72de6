"""Time of the processor that messages of triplets take: forward and backward, with them and without, on one thread.

The default network (6 + 4 layers, 128 features, `ketbra-e`, means) on 128 MP-20 crystals, strained beforehand, by time
of the process, in turns; finding the graph and its triplets is timed apart.
Usage: python -m benchmarks.speed.message_triplets [--repeats 9]   (EMPNN_DATA names the data)
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.bench import alternate, row, strained, write
from empnn.crystals import CrystalBatch
from empnn.nn import Network, build
from empnn.nn.runtime.cpu import exact_onednn, keep_freed_memory
from empnn.training.config import load_config

CRYSTALS, NEIGHBOURS = 128, (8, 16)


def network(k: int, triplets: bool) -> Network:
    """An untrained network."""
    torch.manual_seed(0)
    return build(load_config(None, [f"model.graph.k={k}", f"model.message_triplets={triplets}"]).model)


def measure(k: int, crystals: CrystalBatch, repeats: int) -> dict[str, Any]:
    """Numbers of edges and triplets, and median seconds with and without messages of triplets."""
    networks = {"edges": network(k, False), "triplets": network(k, True)}
    graphs = {name: one.rule(crystals) for name, one in networks.items()}

    def step(name: str) -> None:
        for parameter in networks[name].parameters():
            parameter.grad = None
        networks[name](crystals, graphs[name]).action.square().sum().backward()

    subjects: dict[str, Callable[[], Any]] = {}
    for name, one in networks.items():
        subjects |= {f"graph, {name}": partial(one.rule, crystals), f"step, {name}": partial(step, name)}
    seconds = alternate(subjects, repeats, time.process_time)
    return {"edges": len(graphs["edges"]), "triplets": len(graphs["triplets"].triplets or ()), "seconds": seconds}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    keep_freed_memory()
    crystals = strained(CRYSTALS)
    with exact_onednn():
        found = {k: measure(k, crystals, repeats) for k in NEIGHBOURS}
    rows = []
    for k, one in found.items():
        for what in ("step", "graph"):
            edges, both = (one["seconds"][f"{what}, {name}"] for name in ("edges", "triplets"))
            text = f"{what} with messages of triplets, k = {k}"
            rows.append(row(text, f"{both:.3f} s", f"edges alone {edges:.3f} s", both / edges))
    write("message_triplets", __doc__ or "", {"found": found, "rows": rows})


if __name__ == "__main__":
    main()
