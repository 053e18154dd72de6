"""The denoising figures of the packaged models on all of `val`, beside doing nothing and the paper; also for the cards.

Of strongly strained crystals, most of which have a second pass, also those of one pass.
Usage: python -m benchmarks.quality.denoising [--out benchmarks/results/denoising.json]   (EMPNN_DATA names the data)
"""

import argparse
import json
from pathlib import Path
from typing import Any

import empnn
from benchmarks.pages import fill
from empnn.data.sets import locate
from empnn.evaluate import DEFAULT_POSITIONS, denoise, load_crystals
from empnn.files import replacing
from empnn.models import card_of, find, write_card
from empnn.reproduce.scoring import OnePass

MODELS = {"carbon-24": "carbon_24", "mp-20": "mp_20", "pbe": "mp_20", "perov-5": "perov_5"}
SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.3)
STRONG = 0.3
"""Strains from which on most crystals have a second pass."""
SEED = 0
PAPER = {"carbon_24": (0.107, 1.375), "mp_20": (0.124, 1.479), "perov_5": (0.303, 6.438)}
"""Best improvement in the paper's Table 2 (sigma 0.1, its own noise and splits), in angstrom and degrees."""


def measure() -> dict[str, Any]:
    """Evaluate every model at every sigma, those that move atoms with displaced atoms, too."""
    rows = []
    for model, name in MODELS.items():
        crystals = load_crystals(locate(None, name), "val")
        relaxer = empnn.load(model)
        for positions in (0.0, DEFAULT_POSITIONS) if relaxer.moves_atoms else (0.0,):
            for sigma in SIGMAS:
                for way in (relaxer, OnePass(relaxer)) if sigma >= STRONG else (relaxer,):
                    figures = denoise(way, crystals, sigma, SEED, positions).as_dict()
                    passes = {"passes": 1} if way is not relaxer else {}
                    rows.append({"data": name, "split": "val", "model": model, **passes, **figures})
                    print(markdown([rows[-1]]).splitlines()[-1], flush=True)
    return {
        "description": "Denoising of all of val, one fixed noise per structure; angstrom and degrees",
        "paper_best_improvement": PAPER,
        "rows": rows,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table of the rows."""
    lines = [
        "| model | set | sigma | do nothing errs by | relaxed errs by | removed | improvement | paper's best |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        paper = "{:.3f} / {:.3f}".format(*PAPER[r["data"]]) if r["sigma"] == 0.1 else ""
        removed = f"**{r['lengths_removed']:.3f} / {r['angles_removed']:.3f}**" if r["sigma"] else ""
        improvement = f"{r['lengths_improvement']:.3f} / {r['angles_improvement']:.3f}" if r["sigma"] else ""
        displaced = r.get("positions_sigma", 0.0) > 0
        one_pass = ", one pass" if "passes" in r else ""
        atoms = (f", {r['noise_positions']:.3f} Å", f", {r['positions_mae']:.3f} Å") if displaced else ("", "")
        lines.append(
            f"| {r['model']}{one_pass} | {r['data']} | {r['sigma']:g}{', atoms too' if displaced else ''} "
            f"| {r['noise_lengths']:.3f} Å / {r['noise_angles']:.2f}°{atoms[0]} "
            f"| {r['lengths_mae']:.3f} Å / {r['angles_mae']:.2f}°{atoms[1]} | {removed} | {improvement} | {paper} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result file and the cards, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/denoising.json"))
    parser.add_argument("--page", "--readme", type=Path, help="also put the table into this file")
    options = parser.parse_args()
    result = measure()
    with replacing(options.out) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    table = markdown(result["rows"])
    print(f"\n{table}\n\nwrote {options.out}")
    for model in MODELS:
        mine = [
            {k: v for k, v in r.items() if k not in ("data", "split", "model")}
            for r in result["rows"]
            if r["model"] == model and "passes" not in r
        ]
        write_card(find(model), {**card_of(model), "metrics": mine})
    if options.page:
        fill(options.page, "figures", table)


if __name__ == "__main__":
    main()
