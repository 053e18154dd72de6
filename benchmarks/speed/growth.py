"""Whether the memory of a command grows with its input: rate and peak at two sizes, and bytes per further crystal.

The crystals are strained ones, as those of `stream.py`. Memory is that of the command's own process without the pages
of mapped files, which the system takes back when it needs them. What is kept for good (`energy` each result, `stats`
the parsed file) is kept anew for each run. Energies are Lennard-Jones ones, which cost little more than to be kept.

Usage: python -m benchmarks.speed.growth [--only NAME ...] [--times N] [--folder DIR]
       (EMPNN_DATA names the data folder; `--times 10` takes ten times as many crystals, and hours)
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bench import RESULTS, row, write
from benchmarks.speed.stream import launch, make, of_status

MIB = 1 << 20
LENNARD_JONES = "ase.calculators.lj:LennardJones"
COMMANDS: dict[str, tuple[str, tuple[int, int], tuple[str, ...]]] = {
    "relax, CIF": ("cif", (5_000, 30_000), ("relax", "IN", "-o", "OUT/out.extxyz")),
    "relax, JSON": ("json", (5_000, 30_000), ("relax", "IN", "-o", "OUT/out.extxyz")),
    "energy": ("extxyz", (3_000, 15_000), ("energy", "IN", "-o", "OUT/out.extxyz", "--oracle", LENNARD_JONES)),
    "data dedupe": ("extxyz", (3_000, 15_000), ("data", "dedupe", "IN", "-o", "OUT/out.extxyz", "--workers", "1")),
    "data split": ("extxyz", (10_000, 100_000), ("data", "split", "IN", "-o", "OUT/splits", "--format", "extxyz")),
    "data stats": ("extxyz", (10_000, 100_000), ("data", "stats", "IN")),
}
"""The format, both numbers of crystals, and the arguments of each command."""


def main() -> None:
    """Run each command at both sizes and keep what it took; what is not asked for keeps its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--times", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, help="Where the inputs go; they stay there.")
    options = parser.parse_args()
    known = RESULTS / "growth.json"
    result = json.loads(known.read_text()) if known.exists() else {}
    found = {name: result[name] for name in COMMANDS if name in result}
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.only:
            found[name] = grown(name, options.times, options.folder or Path(temporary))
            rows = [told(command, figures) for command, figures in found.items()]
            write("growth", str(__doc__).partition("\n")[0], {**found, "rows": rows})


def grown(name: str, times: float, folder: Path) -> list[dict[str, Any]]:
    """What a command takes at both sizes."""
    ending, sizes, arguments = COMMANDS[name]
    return [measured(arguments, ending, round(times * size), folder) for size in sizes]


def measured(arguments: tuple[str, ...], ending: str, n: int, folder: Path) -> dict[str, Any]:
    """Seconds, rate and peak memory of a command on so many crystals."""
    source = folder / f"strained-{n}.{ending}"
    if not source.exists():
        make(source, n)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        os.environ["EMPNN_CACHE"] = f"{out}/cache"
        places = {"IN": str(source)}
        words = [places.get(word, word.replace("OUT", out)) for word in arguments]
        began, peak = time.perf_counter(), 0.0
        process = launch(*words, "--quiet")
        while process.poll() is None:
            peak = max(peak, of_status(process.pid, "RssAnon"))
            time.sleep(0.1)
        # A structure that is refused makes the status 1; a mistake would leave nothing to be measured.
        if process.returncode not in (0, 1):
            raise SystemExit(f"empnn {' '.join(words)} failed with status {process.returncode}")
        seconds = time.perf_counter() - began
    return {"n": n, "bytes_in": source.stat().st_size, "seconds": seconds, "per_second": n / seconds, "peak_mib": peak}


def told(name: str, figures: list[dict[str, Any]]) -> dict[str, str]:
    """A row of the table in docs/data.md."""
    few, many = figures
    growth = (many["peak_mib"] - few["peak_mib"]) * MIB / (many["n"] - few["n"])
    peaks = f"peak {few['peak_mib']:,.0f}, {many['peak_mib']:,.0f} MiB ({growth:,.0f} bytes each)"
    return row(f"{name}: {few['n']:,} and {many['n']:,} crystals", f"{many['per_second']:,.0f}/s", peaks)


if __name__ == "__main__":
    main()
