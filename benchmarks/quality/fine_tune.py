"""What fine-tuning by one command teaches the default model, and what it forgets.

`sample` was taught the 481 crystals of the sample set's train split and is scored on the 119 of its val split, strained
by sigma = 0.1, atoms displaced by 0.1 A: mean errors of lengths (A), angles (degrees) and positions (A). Those of MP-20
the packaged model had been taught, too, those of the other sets not. `pairs` was taught the 539 pairs of `nbsrh_train`
and is scored on the 232 of `nbsrh_val`, and on their relaxed crystals, which are to stay; both on decorated candidates,
which none was taught: mean Hencky strains, and displacements (A).
Usage: empnn train fine-tune data=sample train.out=runs/sample
       empnn train fine-tune data.pairs=$EMPNN_DATA/pairs/nbsrh_train.json.gz train.out=runs/pairs
       python -m benchmarks.quality.fine_tune runs/sample runs/pairs   (EMPNN_DATA names the data; writes into docs)
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import empnn
from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from benchmarks.quality.candidates import decorated, figures, real_pairs, write
from empnn.corruption.source import BeforeAfter
from empnn.data.sets import origins
from empnn.evaluate import denoise, load_crystals
from empnn.relax import Relaxer
from empnn.training.checkpoint import load_run

OUT = RESULTS / "fine_tune.json"
PAGE = ROOT / "docs" / "training.md"
CANDIDATES = 300
ERRORS = ("lengths", "angles", "positions")
Row = dict[str, Any]


def strained(packaged: Relaxer, tuned: Relaxer) -> Iterator[Row]:
    """Crystals of the sample set, by the set that they come from."""
    crystals, sets = load_crystals("sample", "val"), origins("sample", "val")
    found = [denoise(relaxer, crystals, 0.1, origins=sets).as_dict()["sets"] for relaxer in (packaged, tuned)]
    for name, before in found[0].items():
        answers = {
            key: [of[name][f"{error}_mae"] for error in ERRORS] for key, of in zip(("pbe", "tuned"), found, strict=True)
        }
        nothing = [before[f"noise_{error}"] for error in ERRORS]
        yield {"crystals": f"strained, {name}", "taught": "sample", "n": before["n"], "nothing": nothing, **answers}


def unrelaxed(what: str, taught: str, given: BeforeAfter, packaged: Relaxer, tuned: Relaxer) -> Row:
    """Crystals that are to become others."""
    before, truth = given
    answers = {"nothing": before} | {
        key: relaxer.relax_batch(before).crystals for key, relaxer in (("pbe", packaged), ("tuned", tuned))
    }
    found = {key: figures(before, after, truth) for key, after in answers.items()}
    errors = {key: [of["strain_mean"], of["positions_mean"]] for key, of in found.items()}
    return {"crystals": what, "taught": taught, "n": len(before), **errors}


def main() -> None:
    """Score, write the result file and the table of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", type=Path)
    parser.add_argument("pairs", type=Path)
    options = parser.parse_args()
    packaged, sample, pairs = empnn.load(), empnn.load(options.sample), empnn.load(options.pairs)
    raw, relaxed = real_pairs("nbsrh_val")
    candidates = decorated(CANDIDATES)
    rows = [
        *strained(packaged, sample),
        unrelaxed("unrelaxed, Nb-Sr-H", "pairs", (raw, relaxed), packaged, pairs),
        unrelaxed("relaxed, Nb-Sr-H", "pairs", (relaxed, relaxed), packaged, pairs),
        unrelaxed("decorated, MP-20", "sample", candidates, packaged, sample),
        unrelaxed("decorated, MP-20", "pairs", candidates, packaged, pairs),
    ]
    minutes = {run.name: load_run(run / "last")[2].seconds / 60 for run in (options.sample, options.pairs)}
    write(OUT, __doc__, minutes=minutes, rows=rows)
    fill(PAGE, "fine-tuned", table(json.loads(OUT.read_text())))


def table(result: dict[str, Any]) -> str:
    """What each leaves."""
    lines = ["| crystals it was not taught | taught | do nothing | `pbe` | fine-tuned |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        units = ("Å", "°", "Å") if len(row["nothing"]) == len(ERRORS) else ("", "Å")
        cells = [
            " / ".join(
                f"{value:.{2 if unit == '°' else 3}f} {unit}".strip()
                for value, unit in zip(row[key], units, strict=True)
            )
            for key in ("nothing", "pbe", "tuned")
        ]
        lines.append(f"| {row['n']} {row['crystals']} | {row['taught']} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
