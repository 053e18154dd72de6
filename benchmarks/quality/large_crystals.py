"""Crystals of 40 to 200 atoms, though training ends at 20: supercells of MP-20 val, relaxed.

Each crystal is repeated along its shortest vectors until it has as many atoms as are drawn for it from 40 to 160.
`repeated`: the supercells of strained crystals (sigma 0.1, atoms 0.1 angstrom), which have the answers of the crystals
themselves. `displaced`: the supercell strained, every atom displaced on its own, so that nothing repeats. `decorated`:
supercells of decorated candidates (benchmarks/quality/decorated.py). Each beside the same crystals as they are, of at
most 20 atoms.
Usage: python -m benchmarks.quality.large_crystals [--model pbe] [--limit 300]   (EMPNN_DATA names the data)
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import empnn
from benchmarks.bench import RESULTS
from benchmarks.quality.candidates import SEED, decorated, figures, shown, write
from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, from_atoms, to_atoms
from empnn.data.sets import locate
from empnn.evaluate import load_crystals

MOST_ATOMS = 200
WANTED = (40, 160)
SIGMA, DISPLACEMENT = 0.1, 0.1


def repeats(crystals: CrystalBatch) -> list[tuple[int, int, int]]:
    """How often each crystal is repeated along its vectors: the shortest one first, until it has enough atoms."""
    found = []
    for index, atoms in enumerate(to_atoms(crystals)):
        times, wanted = [1, 1, 1], np.random.default_rng([SEED, index]).integers(*WANTED)
        while len(atoms) * np.prod(times) < wanted:
            shortest = int(np.argmin(atoms.cell.lengths() * times))
            times[shortest] += 1
        found.append((times[0], times[1], times[2]))
    return found


def supercells(crystals: CrystalBatch, times: list[tuple[int, int, int]]) -> CrystalBatch:
    """Each crystal repeated."""
    repeated = [from_atoms(atoms.repeat(by)) for atoms, by in zip(to_atoms(crystals), times, strict=True)]
    return CrystalBatch.cat(repeated)


def unwrapped(noisy: CrystalBatch, truth: CrystalBatch) -> CrystalBatch:
    """Each atom in the cell where its true place is, so that supercells have the same order."""
    shift = noisy.frac - truth.frac
    return replace(noisy, frac=truth.frac + shift - shift.round())


def main() -> None:
    """Measure, write the result file and print a line per kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pbe")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULTS / "large_crystals.json")
    options = parser.parse_args()
    relaxer = empnn.load(options.model)
    truth = load_crystals(locate(None, "mp_20"), "val").select(range(options.limit))
    noisy = unwrapped(with_fixed_noise(truth, SIGMA, SEED, DISPLACEMENT), truth)
    times = repeats(truth)
    large = supercells(truth, times)
    candidates, relaxed = decorated(options.limit)
    how = repeats(relaxed)
    sets: dict[str, BeforeAfter] = {
        "as they are": (noisy, truth),
        "repeated": (supercells(noisy, times), large),
        "displaced": (with_fixed_noise(large, SIGMA, SEED, DISPLACEMENT), large),
        "decorated, as they are": (candidates, relaxed),
        "decorated, repeated": (supercells(candidates, how), supercells(relaxed, how)),
    }
    rows: dict[str, Any] = {}
    for name, (before, after) in sets.items():
        fits = (after.sizes <= MOST_ATOMS).nonzero().squeeze(-1)
        before, after = before.select(fits), after.select(fits)
        rows[name] = figures(before, relaxer.relax_batch(before).crystals, after)
        rows[name]["atoms"] = [int(after.sizes.min()), int(after.sizes.max())]
        print(shown(name, rows[name]), rows[name]["atoms"], flush=True)
    write(options.out, __doc__, model=options.model, seed=SEED, rows=rows)


if __name__ == "__main__":
    main()
