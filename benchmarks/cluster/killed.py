"""Crystals through `empnn relax --cluster local` with a worker killed every so often: nothing lost, nothing twice.

What comes out is merged and compared record by record with what went in; the peak memory of the driver and of the
workers is told for a tenth of the crystals, too, for it must not grow with them.

Usage: python -m benchmarks.cluster.killed [--n 1000000] [--every 60] [--cores 2]
       (EMPNN_DATA names the data folder; needs about 8 GB of disk for a million)
"""

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bench import row, write
from benchmarks.speed.stream import check, finish, launch, make, peak_mib

WORKER = "_Working"
"""What is in the title of the process of a worker."""


def main() -> None:
    """Relax a tenth, then all, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--every", type=float, default=60.0, help="Seconds after which a worker is killed.")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs = [go(Path(temporary), n, options) for n in (options.n // 10, options.n)]
    rows = [
        row(
            f"{run['n']:,} crystals, {run['killed']} workers killed",
            f"{run['per_second']:,.0f}/s",
            f"peak {run['driver_mib']:,.0f} and {run['worker_mib']:,.0f} MiB",
        )
        for run in runs
    ]
    write("cluster_killed", str(__doc__).partition("\n")[0], {"runs": runs, "cores": options.cores, "rows": rows})


def go(folder: Path, n: int, options: argparse.Namespace) -> dict[str, Any]:
    """Relax n crystals, killing workers."""
    source, shards, merged = (
        folder / f"{name}-{n}{end}" for name, end in (("in", ".extxyz"), ("s", ""), ("m", ".extxyz"))
    )
    make(source, n)
    started = last = time.perf_counter()
    driver = launch("relax", str(source), "-o", f"{shards}/", "--cluster", f"local:{options.cores}", "--quiet")
    peaks = {"driver": 0.0, "worker": 0.0}
    killed = 0
    while driver.poll() is None:
        workers = [pid for pid in descendants(driver.pid) if WORKER in title(pid)]
        peaks["driver"] = max(peaks["driver"], peak_mib(driver.pid))
        peaks["worker"] = max([peaks["worker"], *map(peak_mib, workers)])
        if workers and time.perf_counter() - last > options.every:
            os.kill(workers[killed % len(workers)], signal.SIGKILL)
            killed, last = killed + 1, time.perf_counter()
        time.sleep(0.5)
    seconds = time.perf_counter() - started
    if driver.returncode:
        raise SystemExit(f"the run ended with status {driver.returncode}")
    finish("merge", str(shards), "-o", str(merged), "--quiet")
    figures = {"n": n, "killed": killed, "seconds": seconds, "per_second": n / seconds}
    return {**figures, **{f"{name}_mib": peak for name, peak in peaks.items()}, **check(source, merged, n)}


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, and those that they have."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        children = [int(word) for task in tasks.iterdir() for word in (task / "children").read_text().split()]
    except OSError:
        return []
    return [*children, *(one for child in children for one in descendants(child))]


def title(pid: int) -> str:
    """What a process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
