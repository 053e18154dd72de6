"""What sharing work out costs per crystal, in seconds of one core and bytes, and what it makes of a plan for many.

Reading spans, parsing them, relaxing, writing shards and merging them are measured apart, as time of the processor, so
that whatever else runs on the machine counts little. How far answers differ between batches is measured, too.

Usage: python -m benchmarks.cluster.rates [--n 2000]       (EMPNN_DATA names the data folder)
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench import row, write
from benchmarks.speed.stream import make
from empnn.bulk.merge import merge
from empnn.bulk.pipeline import Conversion, run_of
from empnn.bulk.shards import MANIFESTS, Shard, Span, manifests
from empnn.bulk.spans import SpanWorker, grouped, spans_of, unpacked
from empnn.nn.runtime.cpu import tuned
from empnn.relax import load
from empnn.relax.files import Relaxing

ALONE = 64
"""Crystals that are relaxed alone, to compare them."""


def main() -> None:
    """Measure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2_000)
    n = parser.parse_args().n
    with tempfile.TemporaryDirectory() as temporary, tuned():
        found = measured(Path(temporary), n)
    rates = found["per_second_of_one_core"]
    rows = [row(f"{name}, extxyz", f"{rate:,.0f}/s", "one core") for name, rate in rates.items()]
    write("cluster_rates", str(__doc__).partition("\n")[0], {"n": n, **found, "rows": rows})


def measured(folder: Path, n: int) -> dict[str, Any]:
    """Rates, bytes and differences."""
    source, shards = folder / "in.extxyz", folder / "shards"
    make(source, n)
    relaxing = Relaxing(load("pbe", "cpu"))
    seconds: dict[str, float] = {}

    def timed(name: str, do: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = do()
        seconds[name] = time.process_time() - started
        return result

    (group,) = grouped([source])
    packed = timed("read", lambda: list(spans_of(group, (), 4_096)))
    records = timed("parsed", lambda: [record for _, content, _ in packed for record in unpacked(content)])
    timed("relaxed", lambda: [list(relaxing(records[start : start + 256])) for start in range(0, n, 256)])
    Shard(shards, "extxyz", Span(0, 1, 0, True)).make_place()
    converting = SpanWorker(Conversion(), run_of([source], Conversion()), shards, "extxyz")
    timed("parsed and written", lambda: [converting(span, content) for span, content, _ in packed])
    timed("merged", lambda: merge(manifests([shards]), folder / "merged.extxyz", lambda outcome: None))
    (shards / MANIFESTS).rename(folder / "converted")
    Shard(shards, "extxyz", Span(0, 1, 0, True)).make_place()
    worker = SpanWorker(relaxing, run_of([source], relaxing), shards, "extxyz")
    timed("parsed, relaxed and written", lambda: [worker(span, content) for span, content, _ in packed])
    sizes = {"in": source, "out": next(shards.glob("*.extxyz")), "manifest": next((shards / MANIFESTS).glob("*.jsonl"))}
    return {
        "per_second_of_one_core": {name: n / value for name, value in seconds.items()},
        "bytes_per_crystal": {name: path.stat().st_size / n for name, path in sizes.items()},
        "bytes_per_crystal_sent": sum(len(content) for _, content, _ in packed) / n,
        "differences_between_batches_in_angstrom": differences(relaxing, records[:ALONE]),
    }


def differences(relaxing: Relaxing, records: list[Any]) -> dict[str, float]:
    """The largest difference of a cell between one batch of all and others."""

    def cells(parts: list[list[Any]]) -> np.ndarray:
        done = [atoms.cell.array for part in parts for _, atoms in relaxing(part) if atoms is not None]
        return np.array(done)

    together = cells([records])
    fours = cells([records[start::4] for start in range(4)])
    order = [index for start in range(4) for index in range(start, len(records), 4)]
    return {
        "every fourth": float(np.abs(fours - together[order]).max()),
        "alone": float(np.abs(cells([[record] for record in records]) - together).max()),
    }


if __name__ == "__main__":
    main()
