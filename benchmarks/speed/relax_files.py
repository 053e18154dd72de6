"""Time and memory of `empnn relax` on 1,000 strained MP-20 crystals in one extxyz file, start-up included.

The yardstick is a process that only reads and writes the same file with ASE; the ratio is what relaxing costs on top.
Usage: python -m benchmarks.speed.relax_files [--n 1000] [--repeats 3]   (EMPNN_DATA names the data folder)
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ase.io
import torch

from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import to_atoms
from empnn.data.sets import load_split, locate
from empnn.files import replacing

COPY = "import sys, ase.io; ase.io.write(sys.argv[2], ase.io.read(sys.argv[1], ':'), format='extxyz')"
RELAX = "from empnn.cli import main; main()"


def run(*arguments: str) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a Python process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the benchmarked command failed with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Alternate the two processes and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/relax_files.json"))
    options = parser.parse_args()
    crystals = load_split(locate(None, "mp_20"), "val").crystals.select(range(options.n))
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/strained.extxyz", f"{folder}/out.extxyz"
        ase.io.write(source, to_atoms(with_fixed_noise(crystals, 0.1, 0)))
        copies, relaxations, imports = [], [], []
        for _ in range(options.repeats):
            copies.append(run(COPY, source, target))
            relaxations.append(run(RELAX, "relax", source, "-o", target, "--quiet"))
            imports.append(run("import empnn"))
    seconds, copy_seconds = (statistics.median(s for s, _ in runs) for runs in (relaxations, copies))
    result = {
        "description": f"empnn relax of {options.n} strained MP-20 val crystals in one extxyz, start-up included",
        "seconds": seconds,
        "peak_mib": max(m for _, m in relaxations),
        "ase_read_write_seconds": copy_seconds,
        "ratio_to_ase_read_write": seconds / copy_seconds,
        "import_empnn_seconds": statistics.median(s for s, _ in imports),
        "repeats": options.repeats,
        "threads": torch.get_num_threads(),
    }
    with replacing(options.out) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
