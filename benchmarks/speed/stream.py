"""A million strained crystals through `empnn relax`: memory, rate, and a kill that loses and repeats nothing.

The crystals are those of the three benchmark sets, each strained anew as often as it takes. The process is killed
without warning when a share of the parts is written, and goes on with --resume; then the output is checked record by
record. With --train a few steps of training on the same file are measured instead: memory must not depend on its size.

Usage: python -m benchmarks.speed.stream [--n 1000000] [--format extxyz] [--train] [--folder DIR]
       (EMPNN_DATA names the data folder; needs about 4 GB of disk for a million)
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench import row, write
from empnn.bulk.resumable import RECORDS
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, to_atoms
from empnn.data.reading import read
from empnn.data.sets import BENCHMARKS, locate, split_file
from empnn.data.store import load_files
from empnn.data.writing import writer

RUN = "from empnn.cli import main; main()"
TRAINING = ("train.steps=20", "train.validate_every=20", "train.validate_structures=64", "model.features=32")
KILLED_AT = 0.4
"""Share of the output that is written when the process is killed."""
COMPARED = 2000
"""Crystals at the head of the output that are compared with a run that was never killed."""


def main() -> None:
    """Make the file, then relax it or train on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--format", choices=("parquet", "extxyz", "csv"), default="extxyz")
    parser.add_argument("--train", action="store_true", help="Train some steps on the file instead.")
    parser.add_argument("--folder", type=Path, help="Where the files go; they stay there.")
    parser.add_argument("--out", default="stream", help="Name of the result file of relaxing.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        source, target = (folder / f"{name}.{options.format}" for name in ("strained", "relaxed"))
        if not source.exists():
            make(source, options.n)
        if options.train:
            train(source, options.n)
        else:
            relax(source, target, options)


def relax(source: Path, target: Path, options: argparse.Namespace) -> None:
    """Relax with a kill in the middle, check and keep the figures."""
    n = options.n
    result = relax_with_a_kill(source, target, n)
    result |= {"bytes_in": source.stat().st_size, **check(source, target, n)}
    rate, peak = result["per_second"], max(result["peak_mib"])
    what = f"{n:,} strained crystals through empnn relax, {source.suffix[1:]} in and out, killed and resumed"
    result["rows"] = [row(what, f"{rate:,.0f}/s", f"peak {peak:,.0f} MiB")]
    write(options.out, str(__doc__).partition("\n")[0], result)


def train(source: Path, n: int) -> None:
    """Train some steps on the whole file and on its head, and keep the peak memory of both."""
    size = min(10_000, n)
    peaks, own = {}, {}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        few = Path(folder) / f"few{source.suffix}"
        writer(few)([r.atoms for r, _ in zip(read(source), range(size), strict=False) if r.atoms is not None])
        for path, count in ((few, size), (source, n)):
            process = launch("train", f"data={path}", *TRAINING, f"train.out={folder}/{count}", "--quiet")
            own[count] = 0.0
            while process.poll() is None:
                own[count] = max(own[count], of_status(process.pid, "RssAnon"))
                peaks[count] = max(peaks.get(count, 0.0), of_status(process.pid, "VmHWM"))
                time.sleep(0.2)
            if process.returncode:
                raise SystemExit(f"training failed with status {process.returncode}")
    rows = [
        row(
            f"training on {n:,} crystals in one file, without and with the pages of the mapped file",
            f"peak {own[n]:,.0f}, {peaks[n]:,.0f} MiB",
            f"{size:,}: {own[size]:,.0f}, {peaks[size]:,.0f}",
        )
    ]
    write(
        "stream_train",
        "Peak memory of training on a large file and on its head, first reading included",
        {"peak_mib": peaks, "peak_without_mapped_files_mib": own, "rows": rows},
    )


def make(path: Path, n: int) -> None:
    """Write n strained crystals, a part at a time."""
    real = load_files([split_file(locate(None, name), split) for name in BENCHMARKS for split in ("train", "val")])
    order = np.random.default_rng(0).permutation(len(real.ids))
    output = writer(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        parts = []
        for start in range(0, n, RECORDS):
            numbers = np.arange(start, min(start + RECORDS, n))
            crystals = with_fixed_noise(real.stored.select(order[numbers % len(order)]), 0.1, seed=start)
            parts.append(Path(folder) / f"{start:08d}{path.suffix}")
            output.part(parts[-1], [output.prepared(atoms) for atoms in named(crystals, numbers)])
            print(f"\rmaking {path.name}: {numbers[-1] + 1:,}/{n:,}", end="", flush=True)
        output.join(parts)
    print()


def named(crystals: CrystalBatch, numbers: np.ndarray) -> Iterator[Any]:
    """The crystals with the identifiers by which they are found again."""
    for atoms, number in zip(to_atoms(crystals), numbers, strict=True):
        atoms.info["material_id"] = f"s{number:07d}"
        yield atoms


def relax_with_a_kill(source: Path, target: Path, n: int) -> dict[str, Any]:
    """Kill a run when a share of its parts is there, resume it, and measure both."""
    command = ("relax", str(source), "-o", str(target), "--quiet")
    parts = target.parent / f".{target.name}.parts"
    wanted = max(1, int(KILLED_AT * n / RECORDS))
    started = time.perf_counter()
    first = launch(*command)
    while first.poll() is None and len(list(parts.glob("*.jsonl"))) < wanted:
        time.sleep(0.2)
    killed_after = time.perf_counter() - started
    if first.poll() is not None:
        raise SystemExit("the run ended before it could be killed; give a larger --n")
    peaks = [peak_mib(first.pid)]
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = len(list(parts.glob("*.jsonl"))) * RECORDS
    if target.exists():
        raise SystemExit("the output was there before everything was done")
    started = time.perf_counter()
    peaks.append(finish(*command, "--resume"))
    resumed = time.perf_counter() - started
    seconds = {"until_killed": killed_after, "resumed": resumed}
    return {"n": n, "kept": kept, "seconds": seconds, "per_second": (n - kept) / resumed, "peak_mib": peaks}


def check(source: Path, target: Path, n: int) -> dict[str, Any]:
    """Every crystal once, in order, and the first ones as a run that was never killed gives them."""
    statuses: dict[str, int] = {}
    head = []
    for number, record in enumerate(read(target)):
        if record.atoms is None or record.id != f"s{number:07d}":
            raise SystemExit(f"{record.label} stands at place {number}")
        if number < COMPARED:
            head.append(record.atoms)
        status = record.atoms.info["empnn_status"]
        statuses[status] = statuses.get(status, 0) + 1
    if sum(statuses.values()) != n:
        raise SystemExit(f"{sum(statuses.values()):,} crystals came out of {n:,}")
    with tempfile.TemporaryDirectory() as folder:
        few, again = Path(folder) / f"few{source.suffix}", Path(folder) / f"again{source.suffix}"
        writer(few)([r.atoms for r, _ in zip(read(source), range(len(head)), strict=False) if r.atoms is not None])
        finish("relax", str(few), "-o", str(again), "--quiet")
        cells = zip((r.atoms.cell.array for r in read(again) if r.atoms is not None), head, strict=True)
        largest = max(float(np.abs(cell - atoms.cell.array).max()) for cell, atoms in cells)
    return {"statuses": statuses, "largest_difference_to_a_run_not_killed": largest}


def launch(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", RUN, *arguments])


def finish(*arguments: str) -> float:
    """Peak memory in MiB of a command that must succeed."""
    process = launch(*arguments)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"empnn {' '.join(arguments)} failed with status {status}")
    return usage.ru_maxrss / 1024


def peak_mib(pid: int) -> float:
    """Peak memory of a process that still runs."""
    return of_status(pid, "VmHWM")


def of_status(pid: int, name: str) -> float:
    """A figure in MiB that the system keeps of a process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0) / 1024


if __name__ == "__main__":
    main()
