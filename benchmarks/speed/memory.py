"""Peak memory of a training step with triplets above the loaded process: ours against tests/support/naive.py.

Each in a process of its own.

Usage: python -m benchmarks.speed.memory   (EMPNN_DATA names the data; Linux)
"""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.bench import row, write

FIELDS = "ketbra-e-tsym"


def status(name: str) -> int:
    """A figure of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def measure(subject: str) -> None:
    """Print the peak above what the process holds before the first step."""
    from support.naive import NaiveEMPNN

    from benchmarks.bench import fast_process, paper_network, strained
    from benchmarks.speed.train_step import BATCH, stepper

    fast_process()
    ours = paper_network(FIELDS)
    batches = [strained(BATCH)]
    ours.rule(batches[0])
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    if subject == "ours":
        step = stepper(ours, lambda deformation: deformation.action, ours.rule, batches)
    else:
        step = stepper(NaiveEMPNN(ours), lambda h: h, ours.rule, batches)
    for _ in range(2):
        step()
    print(json.dumps(status("VmHWM") - before))


def main() -> None:
    """Measure both."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    peaks = {}
    for subject in ("ours", "naive"):
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.memory", subject], check=True, capture_output=True, text=True
        )
        peaks[subject] = json.loads(run.stdout)
    ours, naive = (peaks[s] / 2**20 for s in ("ours", "naive"))
    what = f"peak memory of a training step, `{FIELDS}`, above the loaded process"
    write(
        "memory",
        __doc__ or "",
        {"bytes": peaks, "rows": [row(what, f"{ours:.0f} MiB", f"naive {naive:.0f} MiB", naive / ours)]},
    )


if __name__ == "__main__":
    main()
