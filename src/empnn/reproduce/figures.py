"""Figures 4 and 5 of the paper, of packaged networks: a picture in two formats, and the numbers behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from empnn.files import replacing
from empnn.reproduce import figure4, figure5
from empnn.reproduce.denoised import LIMIT, SEED, SIGMA, Denoised, denoise_set
from empnn.viz.crystal_rows import crystal_rows
from empnn.viz.heat_maps import heat_maps

TITLES = {
    "figure4": "Figure 4: crystals original, deformed and relaxed",
    "figure5": "Figure 5: atomic density against what is left of the deformation",
}


def make(
    what: str,
    sets: Sequence[str],
    split: str,
    folder: Path,
    say: Callable[[str], None],
    limit: int = LIMIT,
) -> dict[str, Any]:
    """Draw a figure into a folder: as PNG and as PDF, with the numbers as JSON beside.

    Args:
        what: `figure4` or `figure5`.
        sets: Names of data sets that a packaged network is for.
        split: The split whose first crystals are relaxed.
        folder: An existing folder.
        say: Takes a line before something that takes long.
        limit: Crystals of each set at most.

    Returns:
        The numbers, what is to be said of them under `text`, and the `files`.

    Raises:
        ConfigError: If there is no such set, or no network for it.
        OSError: If a file cannot be written.
    """
    found = [denoise_set(data, split, say, limit) for data in sets]
    files = [folder / f"{what}.{ending}" for ending in ("png", "pdf", "json")]
    numbers, text = (_figure4 if what == "figure4" else _figure5)(found, split, files[:2])
    told = {"figure": what, "split": split, "sigma": SIGMA, "seed": SEED, **numbers}
    with replacing(files[-1]) as temporary:
        temporary.write_text(json.dumps(told) + "\n")
    return {**told, "text": f"**{TITLES[what]}**\n\n{text}\n", "files": [str(path) for path in files]}


def _figure4(found: list[Denoised], split: str, paths: list[Path]) -> tuple[dict[str, Any], str]:
    rule = figure4.rule(_count(found), split)
    crystal_rows(figure4.columns(found, split), rule, paths)
    numbers = {one.data: figure4.figures(one, split) for one in found}
    return {"rule": rule, "sets": numbers}, f"{figure4.markdown(numbers)}\n\n{rule}"


def _figure5(found: list[Denoised], split: str, paths: list[Path]) -> tuple[dict[str, Any], str]:
    note = figure5.note(_count(found), split)
    labels = [figure5.RATIOS[name] for _, name in figure5.PANELS]
    heat_maps(figure5.rows(found), (figure5.X_LABEL, labels), note, paths)
    numbers = {one.data: figure5.figures(one) for one in found}
    fail = {data: figure5.failing(row) for data, row in numbers.items()}
    text = f"{figure5.markdown(numbers)}\n\nIn bold where dense crystals fail: {figure5.RULE}."
    return {"note": note, "rule": figure5.RULE, "dense_crystals_fail": fail, "sets": numbers}, text


def _count(found: list[Denoised]) -> str:
    """How many crystals of a set were taken, in words where sets differ."""
    return " or ".join(f"{n:,}" for n in sorted({len(one) for one in found}))
