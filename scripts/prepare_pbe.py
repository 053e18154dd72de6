"""Makes the training set of the model `pbe` from MP-20's train split and more PBE crystals: drops what is broken.

A crystal is dropped if its volume is not between 0.6 and 2.2 times what a linear model of volumes by element (fitted
to MP-20) expects, unless it is from MP-20 itself: sheets in vacuum, gases and cells that were not relaxed. The manifest
says what was kept and dropped, by which rule, and where the crystals are from.
Usage: python scripts/prepare_pbe.py MP_20_FOLDER PBE_EXTRA_FOLDER -o FOLDER
"""

import argparse
import csv
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from empnn.crystals import CrystalBatch
from empnn.data.sets import load_split
from empnn.errors import ConfigError
from empnn.geometry import volume

USUAL = (0.6, 2.2)
BASE, EXTRA = "mp_20", "pbe_extra"
TABLE = "train.csv.gz"
NOT_STATED = "not stated"

RULE = (
    f"A crystal of {EXTRA} is kept if its volume is more than {USUAL[0]} and less than {USUAL[1]} times the sum of the "
    f"volumes of its atoms, else dropped: one volume for each element, none negative, those with the least sum of "
    f"squares of (sum of the volumes of the atoms / volume of the crystal - 1) over {BASE}. Of {BASE} none is dropped."
)
INPUTS = (
    f"{EXTRA} was made before: relaxed by PBE (+U where the Materials Project would); none matches a crystal of the "
    f"test splits or of MP-20's train and val (StructureMatcher, and identifiers); twins (same formula, same volume "
    f"per atom within 0.4 %) were left out. By which code, and where this table and {BASE}'s can be had, is "
    f"{NOT_STATED}."
)
DRAWN = (
    "Heuslers are one prototype three times over, and were to be drawn less often: not done. Crystals are drawn alike, "
    "whatever their source and prototype, but for the candidates of noise.mix.decorated: there a crystal of any "
    "isostructural group is drawn with the weight 1 / sqrt(size of its group)."
)


@dataclass(frozen=True)
class Source:
    """Where crystals are from, as far as what came with them says so."""

    what: str = NOT_STATED
    repository: str = NOT_STATED
    upstream: str = NOT_STATED
    licence: str = NOT_STATED
    commit: str = NOT_STATED


_CDVAE = "f857f598d6f6cca5dc1ea0582d228f12dcc2c2ea"
_LEMAT = Source(
    "LeMat-Bulk", "LeMaterial/lemat-genbench", "Materials Project, Alexandria, OQMD (LeMat-Bulk)", "CC BY 4.0"
)
_MATCALC = Source(
    "benchmark data of matcalc",
    "materialsvirtuallab/matcalc",
    "Materials Project, Alexandria",
    "CC BY 4.0 (repository BSD-3-Clause)",
)
_MPTS = Source(repository="SymmetryAdvantage/WyckoffTransformer", upstream="Materials Project", licence="CC BY 4.0")
_HEUSLER = Source("Heuslers", "ksyang2013/Heusler", "OQMD", "MIT")
SOURCES = {
    BASE: Source(
        "part of the train split of CDVAE's MP-20, 16,725 of 27,136 rows, as the column source of the table tells: "
        "cdvae_exact (5,150); mpts52_same_mp_id (1,156); reduced_from_conventional (10,419, Niggli-reduced primitive "
        f"cells, not CDVAE's own choice of cell). What the last two were taken from is {NOT_STATED}",
        f"https://raw.githubusercontent.com/txie-93/cdvae/{_CDVAE}/data/mp_20/train.csv (the whole split, "
        "Git blob b1c9d498565ac2fd8d075a51ff2ef5e51ba6c21f)",
        "Materials Project (Jain et al. 2013)",
        "MIT (CDVAE), CC BY 4.0 (Materials Project)",
        _CDVAE,
    ),
    **dict.fromkeys(("lemat_validity", "lemat_alexandria", "lemat_oqmd", "lemat_mp"), _LEMAT),
    **dict.fromkeys(("matcalc_mp_binary", "matcalc_alexandria_binary"), _MATCALC),
    "matminer039": Source(
        "data sets of matminer 0.3.9 (elastic, dielectric, piezoelectric, flla)",
        upstream="Materials Project 2015",
        licence="CC BY 4.0",
    ),
    **dict.fromkeys(("mpts52_val", "mpts52_test"), _MPTS),
    **dict.fromkeys(("heusler_yang_FH_HH", "heusler_yang_QH", "oqmd_QH_mysql"), _HEUSLER),
    "jlaw9_battery": Source(repository="jlaw9/upper-bound-energy-gnn", licence="MIT"),
    "chemeleon_mp40_test": Source(repository="hspark1212/chemeleon", upstream="Materials Project", licence="CC BY 4.0"),
}
"""By the word before the colon of an identifier; those without one are MP-20's."""


def composition(crystals: CrystalBatch) -> np.ndarray:
    """Atoms of each element in each structure, (structures, 119)."""
    counts = np.zeros((len(crystals), 119))
    np.add.at(counts, (crystals.batch.numpy(), crystals.numbers.numpy()), 1)
    return counts


def usual(base: CrystalBatch, extra: CrystalBatch) -> np.ndarray:
    """Which of the crystals have a volume as their elements have in the base, (structures,)."""
    volumes = volume(base.cell).numpy()
    per_element, _ = nnls(composition(base) / volumes[:, None], np.ones(len(volumes)))
    ratio = volume(extra.cell).numpy() / np.maximum(composition(extra) @ per_element, 1e-9)
    return (ratio > USUAL[0]) & (ratio < USUAL[1])


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def source_of(name: str) -> str:
    """The source that an identifier names."""
    source, colon, _ = name.partition(":")
    return source if colon else BASE


def sources(kept: Sequence[str], dropped: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is known of each source, and how many of its crystals were kept and dropped; the largest first."""
    counts = [Counter(map(source_of, names)) for names in (kept, dropped)]
    return {
        name: {**asdict(SOURCES.get(name, Source())), "kept": counts[0][name], "dropped": counts[1][name]}
        for name, _ in (counts[0] + counts[1]).most_common()
    }


def manifest(folders: Sequence[Path], kept: Sequence[str], dropped: Sequence[str]) -> dict[str, Any]:
    """What the set is made of, and how."""
    tables = {f"{name}/{TABLE}": folder / TABLE for name, folder in zip((BASE, EXTRA), folders, strict=True)}
    return {
        "made_by": "python scripts/prepare_pbe.py MP_20_FOLDER PBE_EXTRA_FOLDER -o FOLDER",
        "sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in tables.items()},
        "inputs": INPUTS,
        "rule": RULE,
        "drawn": DRAWN,
        "sources": sources(kept, dropped),
        "ids": kept,
        "dropped": dropped,
    }


def main() -> None:
    """Write FOLDER/train.csv.gz and FOLDER/manifest.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs=2, type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        keep = usual(*(load_split(folder, "train").crystals for folder in options.sets))
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    base, extra = (rows(folder / TABLE) for folder in options.sets)
    chosen = [*base, *(row for row, kept in zip(extra, keep, strict=True) if kept)]
    dropped = [row["material_id"] for row, kept in zip(extra, keep, strict=True) if not kept]
    options.out.mkdir(parents=True, exist_ok=True)
    with gzip.open(options.out / TABLE, "wt", newline="") as file:
        writer = csv.DictWriter(file, ("material_id", "cif"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(chosen)
    told = manifest(options.sets, [row["material_id"] for row in chosen], dropped)
    (options.out / "manifest.json").write_text(json.dumps(told) + "\n")
    print(f"{options.out}: {len(chosen)} crystals, {len(dropped)} dropped")


if __name__ == "__main__":
    main()
