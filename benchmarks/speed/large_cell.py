"""One crystal of 100,000 atoms through `empnn relax`, extxyz in and out: seconds and peak memory, start-up included.

Usage: python -m benchmarks.speed.large_cell [--atoms 100000]   (Linux)
"""

import argparse
import json
import tempfile
from pathlib import Path

import ase.io

from benchmarks.bench import RESULTS
from benchmarks.speed.relax_files import RELAX, run
from benchmarks.speed.scaling import crystal_of_five_atoms
from empnn.checks.memory import BYTES_PER_ATOM
from empnn.files import replacing


def main() -> None:
    """Relax a supercell and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "large_cell.json")
    options = parser.parse_args()
    crystal = crystal_of_five_atoms()
    repeats = round((options.atoms / len(crystal)) ** (1 / 3))
    atoms = crystal.repeat((repeats, repeats, round(options.atoms / len(crystal) / repeats**2)))
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/large.extxyz", f"{folder}/out.extxyz"
        ase.io.write(source, atoms)
        seconds, peak = run(RELAX, "relax", source, "-o", target, "--quiet")
        relaxed = ase.io.read(target)
    result = {
        "description": "one supercell of a strained perovskite through empnn relax, start-up included",
        "atoms": len(atoms),
        "seconds": seconds,
        "peak_mib": peak,
        "estimated_mib": len(atoms) * BYTES_PER_ATOM / 2**20,
        "status": relaxed.info["empnn_status"],
        "volume_per_atom": [atoms.get_volume() / len(atoms), relaxed.get_volume() / len(relaxed)],
    }
    with replacing(options.out) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
