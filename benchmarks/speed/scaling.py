"""Time and memory per atom to relax one crystal as supercells of 10 to 10,000 atoms with the packaged mp-20.

Memory is the peak above the idle process; each size has its own processes, of which the median counts.
Usage: python -m benchmarks.speed.scaling   (Linux)
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from ase import Atoms

from benchmarks.bench import row, write

SIZES = {"10": (1, 1, 2), "100": (2, 2, 5), "1000": (5, 5, 8), "10000": (10, 10, 20)}
PROCESSES = 3


def crystal_of_five_atoms() -> Atoms:
    """A strained perovskite."""
    scaled = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms("SrTiO3", scaled_positions=scaled, cell=[3.9, 4.1, 4.0, 88, 91, 93], pbc=True)


def measure(name: str) -> None:
    """Print seconds and bytes per atom."""
    import empnn
    from benchmarks.bench import alternate, fast_process
    from benchmarks.speed.memory import status
    from empnn.crystals import from_atoms
    from empnn.relax.passes import relax_batch

    fast_process()
    network = empnn.load("mp-20").network
    crystal = crystal_of_five_atoms()
    batch = from_atoms(crystal.repeat(SIZES[name]))
    relax_batch(network, from_atoms(crystal))
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    repeats = max(3, min(50, 20_000 // batch.n_atoms))
    seconds = alternate({"relax": lambda: relax_batch(network, batch)}, repeats)["relax"]
    peak = status("VmHWM") - before
    print(json.dumps({"atoms": batch.n_atoms, "seconds": seconds, "bytes": peak}))


def main() -> None:
    """Measure all sizes."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    found = []
    for name in SIZES:
        command = [sys.executable, "-m", "benchmarks.speed.scaling", name]
        runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(PROCESSES)]
        figures = [json.loads(run) for run in runs]
        found.append({key: median(each[key] for each in figures) for key in figures[0]})
    rows = []
    for one in found:
        per_atom = f"{one['seconds'] / one['atoms'] * 1e6:.0f} us, {one['bytes'] / one['atoms'] / 1024:.0f} KiB"
        rows.append(row(f"relaxing a supercell of {one['atoms']:,} atoms, per atom", per_atom, ""))
    write("scaling", __doc__ or "", {"sizes": found, "rows": rows})


if __name__ == "__main__":
    main()
