"""Two workers of a cluster against one, and against the two threads of one command, start-up excluded.

Each relaxes strained crystals of the benchmark sets from one file, a small part of them first: what the rest takes
longer is what is counted. Beside it the same spans in this process, without Ray, on one thread: what one worker takes
longer per crystal is what Ray costs.

Usage: python -m benchmarks.cluster.workers [--spans 25]       (EMPNN_DATA names the data folder; a quiet machine)
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.bench import row, write
from benchmarks.speed.stream import finish, make
from empnn.bulk.pipeline import run_of
from empnn.bulk.shards import Shard, Span
from empnn.bulk.spans import RECORDS, SpanWorker, grouped, spans_of
from empnn.nn.runtime.cpu import tuned
from empnn.relax import load
from empnn.relax.files import Relaxing

FEW = 2
"""Spans of the small part."""


def main() -> None:
    """Measure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=25)
    spans = parser.parse_args().spans
    # The command takes all cores, whatever this process was told.
    os.environ.pop("OMP_NUM_THREADS", None)
    ways = {
        "one worker": ("--cluster", "local:1"),
        "two workers": ("--cluster", "local:2"),
        "one command, two threads": (),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sources = {n: folder / f"{n}.extxyz" for n in (FEW * RECORDS, spans * RECORDS)}
        for n, source in sources.items():
            make(source, n)
        rates = {what: _rate(folder / what.replace(" ", "-"), sources, how) for what, how in ways.items()}
        alone = _alone(folder / "alone", sources[FEW * RECORDS])
    one, two, command = rates.values()
    figures = {
        "n": spans * RECORDS,
        "per_second": {**rates, "one process without Ray, one thread": alone},
        "two_workers_over_one": two / one,
        "two_workers_over_command": two / command,
        "ray_milliseconds_per_crystal": 1_000 * (1 / one - 1 / alone),
    }
    rows = [
        row("two workers against one", f"{two:,.0f}/s", f"{one:,.0f}/s", two / one),
        row("two workers against the command's two threads", f"{two:,.0f}/s", f"{command:,.0f}/s", two / command),
        row("one worker against one process without Ray", f"{one:,.0f}/s", f"{alone:,.0f}/s", one / alone),
    ]
    write("cluster_workers", str(__doc__).partition("\n")[0], {**figures, "rows": rows})


def _rate(output: Path, sources: dict[int, Path], how: tuple[str, ...]) -> float:
    """Crystals per second, start-up excluded."""
    seconds = []
    for n, source in sources.items():
        target = f"{output}-{n}/" if how else f"{output}-{n}.extxyz"
        started = time.perf_counter()
        finish("relax", str(source), "-o", target, "--quiet", *how)
        seconds.append(time.perf_counter() - started)
    few, many = sources
    rate = (many - few) / (seconds[1] - seconds[0])
    print(f"{' '.join(how) or 'no cluster'}: {rate:,.0f}/s")
    return rate


def _alone(output: Path, source: Path) -> float:
    """Crystals per second of this process on one thread; the second span counts, the first warms up."""
    torch.set_num_threads(1)
    work = Relaxing(load("pbe", "cpu"))
    worker = SpanWorker(work, run_of([source], work), output, "extxyz")
    Shard(output, "extxyz", Span(0, 1, 0, True)).make_place()
    (group,) = grouped([source])
    seconds = 0.0
    with tuned():
        for span, content, _ in spans_of(group, (), RECORDS):
            started = time.perf_counter()
            worker(span, content)
            seconds = time.perf_counter() - started
    return RECORDS / seconds


if __name__ == "__main__":
    main()
