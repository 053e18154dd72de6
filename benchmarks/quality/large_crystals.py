"""Crystals of more than 20 atoms, where training ends: supercells of MP-20 val, relaxed, and real ones.

Each crystal is repeated along its shortest vectors until it has as many atoms as are drawn for it from 40 to 160.
`repeated`: the supercells of strained crystals (sigma 0.1, atoms 0.1 angstrom), which have the answers of the crystals
themselves. `displaced`: the supercell strained, every atom displaced on its own, so that nothing repeats. `decorated`:
supercells of decorated candidates (benchmarks/quality/decorated.py). `real`: the pairs of `nbsrh_val`
(benchmarks/quality/pairs.py), of the validation sets at hand the only one with more than 20 atoms in a cell, up to 25,
but for Carbon-24, which pbe is not for and whose own model was trained on as many. Each beside crystals of at most 20.
Usage: python -m benchmarks.quality.large_crystals [--model pbe] [--limit 300] [--only strained decorated real]
(EMPNN_DATA names the data; fills a table of docs; what is not measured anew stays as it is in the result file)
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import empnn
from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from benchmarks.quality.candidates import SEED, decorated, figures, real_pairs, shown, write
from empnn.corruption.source import BeforeAfter
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch, from_atoms, to_atoms
from empnn.data.sets import locate
from empnn.evaluate import load_crystals

PAGE, OUT = ROOT / "docs" / "accuracy.md", RESULTS / "large_crystals.json"
TRAINED_ATOMS, MOST_ATOMS = 20, 200
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


def strained_sets(limit: int) -> dict[str, BeforeAfter]:
    """Strained crystals and their supercells."""
    truth = load_crystals(locate(None, "mp_20"), "val").select(range(limit))
    noisy = unwrapped(with_fixed_noise(truth, SIGMA, SEED, DISPLACEMENT), truth)
    times = repeats(truth)
    large = supercells(truth, times)
    return {
        "as they are": (noisy, truth),
        "repeated": (supercells(noisy, times), large),
        "displaced": (with_fixed_noise(large, SIGMA, SEED, DISPLACEMENT), large),
    }


def decorated_sets(limit: int) -> dict[str, BeforeAfter]:
    """Decorated candidates and their supercells."""
    candidates, relaxed = decorated(limit)
    how = repeats(relaxed)
    return {
        "decorated, as they are": (candidates, relaxed),
        "decorated, repeated": (supercells(candidates, how), supercells(relaxed, how)),
    }


def real_sets(_: int) -> dict[str, BeforeAfter]:
    """Real pairs of as many atoms as in training, and of more."""
    before, relaxed = real_pairs("nbsrh_val")
    large = relaxed.sizes > TRAINED_ATOMS
    parts = {f"real, at most {TRAINED_ATOMS} atoms": ~large, f"real, more than {TRAINED_ATOMS} atoms": large}
    chosen = {name: part.nonzero().squeeze(-1) for name, part in parts.items()}
    return {name: (before.select(these), relaxed.select(these)) for name, these in chosen.items()}


KINDS = {"strained": strained_sets, "decorated": decorated_sets, "real": real_sets}
WORDS = {
    "as they are": "strained crystals",
    "repeated": "their supercells",
    "displaced": "the supercells strained, each atom displaced on its own",
    "decorated, as they are": "decorated candidates",
    "decorated, repeated": "their supercells",
    "real, at most 20 atoms": "real pairs of Nb-Sr-H, up to 20 atoms",
    "real, more than 20 atoms": "real pairs of Nb-Sr-H, over 20 atoms",
}
"""What the sets are called in the table."""


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What is left and what is removed in each set."""
    lines = [
        "| crystals | number | atoms | strain left, median / mean | removed | made worse | atoms off by, mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {WORDS[name]} | {row['n']} | {row['atoms'][0]}-{row['atoms'][1]} "
            f"| {row['strain_median']:.3f} / {row['strain_mean']:.3f} | {100 * row['strain_removed']:.0f} % "
            f"| {100 * row['strain_worse']:.0f} % | {row['positions_mean']:.3f} Å |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result file, print a line per set and fill the table of docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pbe")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    relaxer = empnn.load(options.model)
    how = {"model": options.model, "limit": options.limit, "seed": SEED}
    known = json.loads(options.out.read_text()) if options.out.is_file() and len(options.only) < len(KINDS) else {}
    rows: dict[str, Any] = known["rows"] if how.items() <= known.items() else {}
    for kind in options.only:
        for name, (before, after) in KINDS[kind](options.limit).items():
            fits = (after.sizes <= MOST_ATOMS).nonzero().squeeze(-1)
            before, after = before.select(fits), after.select(fits)
            rows[name] = figures(before, relaxer.relax_batch(before).crystals, after)
            rows[name]["atoms"] = [int(after.sizes.min()), int(after.sizes.max())]
            print(shown(name, rows[name]), rows[name]["atoms"], flush=True)
    write(options.out, __doc__, **how, rows=rows)
    if options.out == OUT and options.model == "pbe":
        fill(PAGE, "large-crystals", table(rows))


if __name__ == "__main__":
    main()
