"""The demonstration: relaxed crystals in a file, closer to the true ones, and a picture that shows them."""

import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from matplotlib.image import imread

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, REPOSITORY / "examples" / "demo.py", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return out, done.stdout


def test_the_file_holds_the_true_cells_but_for_a_small_part_of_the_strain(demo: tuple[Path, str]) -> None:
    out, _ = demo
    relaxed = ase.io.read(out / "relaxed.extxyz", index=":")
    samples = REPOSITORY / "src" / "empnn" / "data" / "samples"
    strained, true = (ase.io.read(samples / f"{name}.extxyz", index=":") for name in ("strained", "relaxed"))
    assert len(relaxed) == len(true) == 12
    before, after = (
        np.mean([np.abs(a.cell.lengths() - b.cell.lengths()) for a, b in zip(given, true, strict=True)])
        for given in (strained, relaxed)
    )
    assert after < 0.3 * before


def test_what_is_printed_says_what_was_gained_and_where_it_is(demo: tuple[Path, str]) -> None:
    out, printed = demo
    error = next(line for line in printed.splitlines() if line.startswith("mean error:"))
    before, after = (float(length) for length in re.findall(r"([\d.]+) Å", error))
    assert after < 0.3 * before
    assert "before_after.png" in printed.replace("\n", "")
    assert (out / "before_after.png").is_file()


def test_what_is_printed_fits_80_columns_in_four_and_ends_with_what_next(demo: tuple[Path, str]) -> None:
    table, _, after = demo[1].partition("What next\n")
    assert max(map(len, table.replace(str(demo[0]), "demo-output").splitlines())) <= 80
    headings = next(line for line in table.splitlines() if "before" in line).split()
    assert headings == ["crystal", "before", "after", "true"]
    rows = [line.split() for line in table.splitlines() if re.fullmatch(r" \w+ +([\d.]+ +){9}", line)]
    assert len(rows) == 12
    assert [line.rpartition("empnn ")[2] for line in after.splitlines()] == [
        "relax my.cif -o relaxed.cif",
        "models",
        "train fine-tune data=my.cif",
        "--help",
    ]


def test_the_picture_is_drawn(demo: tuple[Path, str]) -> None:
    pixels = imread(demo[0] / "before_after.png")[..., :3]
    assert min(pixels.shape[:2]) > 400
    white = (pixels > 0.99).all(-1)
    # Atoms, cells and bars: neither an empty page nor a full one.
    assert 0.03 < 1 - white.mean() < 0.7
    # Both crystals and the bars have their share: no empty panel.
    panels = [part for half in np.array_split(white, 2, axis=0) for part in np.array_split(half, 2, axis=1)]
    assert all(1 - panel.mean() > 0.005 for panel in panels)
