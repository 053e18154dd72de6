"""A training step and a relaxing pass on one GPU: milliseconds and peak memory; synchronisations are errors.

Batches of 256 strained MP-20 crystals, the paper's preset; graphs are built and moved beforehand. The median of runs
timed by events on the device, after a warm-up.
Usage: python -m benchmarks.speed.gpu [--fields ketbra-e] [--repeats 50]   (EMPNN_DATA names the data)
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks.bench import RADIAL, paper_network, row, strained, write
from empnn.losses import ParameterScale, param_mae

BATCH = 256


def milliseconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time of a run between two events, without any synchronisation in between."""
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    pairs = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        pairs.append((start, end))
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    return median(start.elapsed_time(end) for start, end in pairs)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", default="ketbra-e")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/speed/gpu.py: no CUDA device here; run it on a machine that has one")
    network = paper_network(options.fields).cuda()
    crystals = strained(BATCH)
    graph, scale = network.rule(crystals).to("cuda"), ParameterScale.of(crystals.cell).to("cuda")
    crystals = crystals.to("cuda")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        h = network(crystals, graph).action
        param_mae(crystals.cell @ h.mT, crystals.cell, scale).backward()
        optimizer.step()

    def relax() -> None:
        with torch.inference_mode():
            network(crystals, graph)

    torch.cuda.reset_peak_memory_stats()
    figures = {"step": milliseconds(step, options.repeats), "relax": milliseconds(relax, options.repeats)}
    peak = torch.cuda.max_memory_allocated() / 2**20
    name = torch.cuda.get_device_name()
    rows = [
        row(f"training step of 256, `{options.fields}`, {name}", f"{figures['step']:.1f} ms, {peak:.0f} MiB", ""),
        row(f"relaxing 256, `{options.fields}`, {name}", f"{figures['relax']:.1f} ms", ""),
    ]
    write("gpu", __doc__ or "", {"radial_functions": RADIAL, "milliseconds": figures, "rows": rows})


if __name__ == "__main__":
    main()
