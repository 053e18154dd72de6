"""Seconds of a training step, graph included: ours against the paper's equations written literally (naive.py).

The paper's preset on batches of 256 MP-20 crystals, strained beforehand: graph, forward, backward, clipping and Adam,
in one process; both networks are given our graph. The other two figures are constants: the authors' public code (pegnn
cc27c22) took 2.1 s with edges and 12.2 s with triplets on such a machine, without building the graph.
Usage: python -m benchmarks.speed.train_step [--repeats 7]   (EMPNN_DATA names the data)
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from support.naive import NaiveEMPNN
from torch import Tensor, nn

from benchmarks.bench import RADIAL, alternate, fast_process, paper_network, row, strained, with_all_threads, write
from empnn.crystals import CrystalBatch
from empnn.losses import ParameterScale, param_mae

BATCH = 256
AUTHORS = {"ketbra-e": 2.1, "ketbra-e-tsym": 12.2}


def stepper(
    network: nn.Module, action: Callable[..., Tensor], rule: Callable[..., Any], batches: list[CrystalBatch]
) -> Callable[[], None]:
    """A function that trains for one step on the next batch."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    scale = ParameterScale.of(batches[0].cell)
    turn = iter(range(10**9))

    def step() -> None:
        crystals = batches[next(turn) % len(batches)]
        graph = rule(crystals)
        optimizer.zero_grad()
        h = action(network(crystals, graph))
        param_mae(crystals.cell @ h.mT.to(torch.float64), crystals.cell, scale).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    """Measure both rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    fast_process()
    # No batch comes twice, as in training.
    crystals = strained((repeats + 1) * BATCH)
    batches = [crystals.select(range(i * BATCH, (i + 1) * BATCH)) for i in range(repeats + 1)]
    rows, seconds = [], {}
    for fields, authors in AUTHORS.items():
        ours = paper_network(fields)
        naive = NaiveEMPNN(ours)
        runs = {
            "ours": stepper(ours, lambda deformation: deformation.action, ours.rule, batches),
            "naive": with_all_threads(stepper(naive, lambda h: h, ours.rule, batches)),
        }
        seconds[fields] = alternate(runs, repeats)
        own = seconds[fields]["ours"]
        what = f"training step, 256 MP-20 crystals, `{fields}`, graph included"
        rows.append(
            row(what, f"{own:.3f} s", f"naive {seconds[fields]['naive']:.2f} s", seconds[fields]["naive"] / own)
        )
        rows.append(row(what, f"{own:.3f} s", f"pegnn {authors} s", authors / own))
    write("train_step", __doc__ or "", {"radial_functions": RADIAL, "seconds": seconds, "rows": rows})


if __name__ == "__main__":
    main()
