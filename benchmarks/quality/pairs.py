"""Real unrelaxed structures against the cells and places that DFT gave them, relaxed.

`zintl_dev`: prototypes decorated with Zintl compositions, never trained on. `nbsrh_val`: Nb-Sr-H structures of a
genetic algorithm, by models as packaged and by those trained on the pairs of `nbsrh_train`. Beside: doing nothing, and
what the training pairs tell without any network, one scale for all and a volume linear in the composition.
Usage: python -m benchmarks.quality.pairs [MODEL...] [--trained RUN...]   (EMPNN_DATA names the folder with `pairs`;
fills a table of docs)
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import empnn
from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from benchmarks.quality.candidates import figures, real_pairs, scaled_by_dls, shown, write
from empnn.crystals import MAX_NUMBER, CrystalBatch
from empnn.geometry import volume

PAGE, OUT = ROOT / "docs" / "accuracy.md", RESULTS / "pairs.json"
WORDS = {
    "zintl_dev": {"nothing": "do nothing", "dls": "pymatgen's DLSVolumePredictor", "pbe": "`pbe`"},
    "nbsrh_val": {
        "nothing": "do nothing",
        "one scale": "one constant scale",
        "linear volumes": "volumes linear in the composition",
        "perfect volumes": "perfect volume",
        "pbe": "`pbe`",
        "nbsrh": "`pbe`, taught `nbsrh_train`",
    },
}
"""What the answers in the table are called."""


def scaled(crystals: CrystalBatch, volumes: Tensor) -> CrystalBatch:
    """The crystals with given volumes."""
    return crystals.with_cell(crystals.cell * (volumes / volume(crystals.cell)).pow(1 / 3)[:, None, None])


def amounts(crystals: CrystalBatch) -> Tensor:
    """Number of atoms of each element, (structures, elements)."""
    counts = torch.zeros(len(crystals), MAX_NUMBER + 1, dtype=torch.float64)
    return counts.index_put((crystals.batch, crystals.numbers), torch.tensor(1.0, dtype=torch.float64), accumulate=True)


def without_network(before: CrystalBatch, truth: CrystalBatch) -> dict[str, CrystalBatch]:
    """Answers for `nbsrh_val` that know the training pairs' volumes only, and one that knows its own."""
    raw, relaxed = real_pairs("nbsrh_train")
    growth = (volume(relaxed.cell) / volume(raw.cell)).median()
    per_element = torch.linalg.lstsq(amounts(relaxed), volume(relaxed.cell).unsqueeze(1), driver="gelsd").solution
    return {
        "one scale": scaled(before, volume(before.cell) * growth),
        "linear volumes": scaled(before, (amounts(before) @ per_element).squeeze(1)),
        "perfect volumes": scaled(before, volume(truth.cell)),
    }


def table(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Strains left and removed, the share of pairs made worse, and how far atoms are off."""
    lines = [
        "| pairs | answer | strain left, median / mean | removed | made worse | atoms off by, mean |",
        "|---|---|---|---|---|---|",
    ]
    for data, words in WORDS.items():
        for name, row in rows[data].items():
            if name in words:
                lines.append(
                    f"| {data} | {words[name]} | {row['strain_median']:.3f} / {row['strain_mean']:.3f} "
                    f"| {100 * row['strain_removed']:.0f} % | {100 * row['strain_worse']:.0f} % "
                    f"| {row['positions_mean']:.3f} Å |"
                )
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result file, print a line per relaxer and fill the table of docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["mp-20", "pbe"])
    parser.add_argument("--trained", nargs="*", default=[], metavar="RUN", help="trained on nbsrh_train")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for data in ("zintl_dev", "nbsrh_val"):
        before, truth = real_pairs(data)
        answers = {"nothing": before, "dls": scaled_by_dls(before)}
        if data == "nbsrh_val":
            answers |= without_network(before, truth)
        for model in options.models + (options.trained if data == "nbsrh_val" else []):
            answers[Path(model).name] = empnn.load(model).relax_batch(before).crystals
        results[data] = {name: figures(before, after, truth) for name, after in answers.items()}
        print(f"{data}, {len(truth)} pairs")
        for name, row in results[data].items():
            print(shown(f"  {name}", row), flush=True)
    write(options.out, __doc__, rows=results)
    if options.out == OUT and options.trained:
        fill(PAGE, "pairs", table(results))


if __name__ == "__main__":
    main()
