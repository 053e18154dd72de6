"""Figure 4: crystals original, deformed and relaxed, of which some come back and some do not; chosen by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from empnn.crystals import to_atoms
from empnn.geometry import lattice_parameters, turned, volume
from empnn.reproduce.denoised import SEED, SIGMA, Denoised
from empnn.reproduce.tables import NAMES
from empnn.viz.crystal_rows import CrystalRow
from empnn.viz.style import formula

SUCCESS, FAILURE = 0.1, 1.0
"""Ratios d(relaxed, original) / d(deformed, original) below which a crystal is relaxed, as in the paper, and from which
on it is no nearer to the original than before."""
ELONGATED, SHARP = "elongated", "sharp"
RULE = (
    "d is the Hencky distance to the original cell (dashed), ratio d(relaxed) / d(deformed). Successes: ratio below "
    "{success:g}; sorted by d(deformed), those at one and two thirds. Failures: ratio of {failure:g} or more, in the "
    "tenth of all deformed cells with the largest longest / shortest length (elongated) or the smallest of all angles "
    "and 180° - angle (sharp); of each the one of median ratio. From the first {n} crystals of {split} of each set, "
    "sigma {sigma:g}, seed {seed}. Fractional coordinates stay."
)


@dataclass(frozen=True)
class Choice:
    """A crystal that is shown.

    Attributes:
        kind: `success`, `elongated` or `sharp`.
        index: Its position in the split.
    """

    kind: str
    index: int


def rule(n: str, split: str) -> str:
    """How the crystals that are shown were chosen."""
    return RULE.format(success=SUCCESS, failure=FAILURE, n=n, split=split, sigma=SIGMA, seed=SEED)


def shapes(found: Denoised) -> dict[str, np.ndarray]:
    """Which crystals were deformed to the tenth of cells that is most `elongated`, and `sharp`."""
    parameters = lattice_parameters(found.deformed.cell).numpy()
    lengths, angles = parameters[:, :3], parameters[:, 3:]
    badness = {
        ELONGATED: lengths.max(1) / lengths.min(1),
        SHARP: -np.minimum(angles, 180 - angles).min(1),
    }
    masks = {}
    for name, values in badness.items():
        masks[name] = np.zeros(len(found), dtype=bool)
        masks[name][np.argsort(-values, kind="stable")[: len(found) // 10]] = True
    return masks


def choose(found: Denoised) -> list[Choice]:
    """Two successes, and a failure of each shape, as far as there are any: see `RULE`."""
    ratio, noise = found.ratio(), found.noise()
    good = np.flatnonzero(ratio < SUCCESS)
    good = good[np.argsort(noise[good], kind="stable")]
    places = dict.fromkeys((k * len(good)) // 3 for k in (1, 2)) if len(good) else {}
    chosen = [Choice("success", int(good[place])) for place in places]
    for kind, mask in shapes(found).items():
        taken = [one.index for one in chosen]
        bad = np.setdiff1d(np.flatnonzero((ratio >= FAILURE) & mask), taken)
        if len(bad):
            bad = bad[np.argsort(ratio[bad], kind="stable")]
            chosen.append(Choice(kind, int(bad[(len(bad) - 1) // 2])))
    return chosen


def figures(found: Denoised, split: str) -> dict[str, Any]:
    """How many crystals come back, which fail, and which are shown."""
    ratio, noise = found.ratio(), found.noise()
    bad = ratio >= FAILURE
    kept = volume(found.relaxed.cell).numpy() / volume(found.original.cell).numpy()
    return {
        **found.about(),
        "ratio_mean": float(ratio.mean()),
        "ratio_median": float(np.median(ratio)),
        "successes": int((ratio < SUCCESS).sum()),
        "failures": int(bad.sum()),
        "failures_per_tenth": {
            **{kind: float(bad[mask].mean()) for kind, mask in shapes(found).items()},
            "largest_noise": float(bad[np.argsort(-noise, kind="stable")[: len(found) // 10]].mean()),
            "all": float(bad.mean()),
        },
        "volume_of_failures": float(np.median(kept[bad])) if bad.any() else None,
        "shown": [
            {
                "kind": one.kind,
                "crystal": f"{split}[{one.index}]",
                "formula": _formula(found, one.index),
                "distance_deformed": float(noise[one.index]),
                "ratio": float(ratio[one.index]),
                "parameters": {
                    name: lattice_parameters(state.cell[[one.index]])[0].tolist()
                    for name, state in found.states().items()
                },
            }
            for one in choose(found)
        ],
    }


def columns(sets: Sequence[Denoised], split: str) -> list[tuple[str, list[CrystalRow]]]:
    """Successes and failures as they are drawn."""
    titles = (f"(a) successes: ratio below {SUCCESS:g}", f"(b) failures: ratio of {FAILURE:g} or more")
    rows: tuple[list[CrystalRow], list[CrystalRow]] = ([], [])
    for found in sets:
        for one in choose(found):
            rows[one.kind != "success"].append(_row(found, one, split))
    return list(zip(titles, rows, strict=True))


def markdown(sets: dict[str, dict[str, Any]]) -> str:
    """How many crystals come back, and whether what is elongated or sharp fails more often."""
    lines = [
        "| set | crystals | successes | failures | of the elongated | of the sharp | of the most deformed "
        "| volume of failures |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for data, row in sets.items():
        shares = row["failures_per_tenth"]
        tenths = [f"{100 * shares[kind]:.1f} %" for kind in ("all", ELONGATED, SHARP, "largest_noise")]
        kept = "-" if row["volume_of_failures"] is None else f"{row['volume_of_failures']:.2f}"
        good = f"{100 * row['successes'] / row['n']:.1f} %"
        lines.append(f"| {NAMES[data]} | {row['n']:,} | {good} | {' | '.join(tenths)} | {kept} |")
    return "\n".join(lines)


def _row(found: Denoised, one: Choice, split: str) -> CrystalRow:
    states = [state.select([one.index]) for state in found.states().values()]
    cells = [state.cell for state in states]
    aligned = [turned(cell, onto=cells[0])[0].numpy() for cell in cells]
    noise, ratio = found.noise()[one.index], found.ratio()[one.index]
    kind = "" if one.kind == "success" else f"{one.kind}, "
    return CrystalRow(
        title=f"{NAMES[found.data]} {split}[{one.index}], {_formula(found, one.index)}: {kind}ratio {ratio:.2f}",
        cells=np.stack(aligned),
        frac=states[0].frac.numpy(),
        numbers=states[0].numbers.numpy(),
        said=("", f", d {noise:.2f}", f", d {ratio * noise:.2f}"),
    )


def _formula(found: Denoised, index: int) -> str:
    return formula(to_atoms(found.original.select([index]))[0].get_chemical_formula("metal"))
