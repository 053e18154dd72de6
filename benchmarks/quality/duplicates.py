"""How much of the benchmark sets is unique by pymatgen's StructureMatcher, and whether our short cuts miss anything.

A structure counts as unique if it matches none before it in the file that is unique itself, as in `empnn data dedupe`.
`default` are the matcher's own tolerances, `cdvae` those by which CDVAE and its successors count a structure as
reconstructed, `strict` half the default ones, `tight` a sixth and less. `unscaled` compares volumes too.
`against_all_pairs` groups structures drawn at random also by `StructureMatcher.group_structures`, which compares all.
Usage: python -m benchmarks.quality.duplicates [--workers 2]   (EMPNN_DATA names the data; takes half an hour)
       python -m benchmarks.quality.duplicates --docs           writes the table of docs/data.md from the result file
"""

import argparse
import json
import time
import warnings
from typing import Any

import numpy as np

from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from empnn.crystals import to_structures
from empnn.data.curation.dedupe import duplicate_groups
from empnn.data.curation.fingerprints import TOLERANCE, fingerprint_groups
from empnn.data.curation.matching import Tolerances
from empnn.data.sets import load_split, locate
from empnn.files import replacing

OUT = RESULTS / "duplicates.json"
PAGE = ROOT / "docs" / "data.md"
TOLERANCES = {
    "default": Tolerances(),
    "strict": Tolerances(length=0.1, site=0.15, angle=2.5),
    "tight": Tolerances(length=0.03, site=0.05, angle=0.8),
    "cdvae": Tolerances(length=0.3, site=0.5, angle=10.0),
    "unscaled": Tolerances(scale=False),
}
MEASURED = [
    *(("carbon_24", "train", name) for name in ("default", "strict", "tight", "unscaled")),
    *(("carbon_24", "val", name) for name in TOLERANCES),
    *(("mp_20", "val", name) for name in ("default", "strict")),
    *(("perov_5", "val", name) for name in ("default", "strict")),
    *((data, "train", "default") for data in ("mp_20", "perov_5")),
    ("carbon_24", "train", "cdvae"),
]
DRAWN = 250
"""Structures among which all pairs are compared."""


def unique(data: str, split: str, name: str, workers: int) -> dict[str, Any]:
    """Count what is unique in a split."""
    crystals = load_split(locate(None, data), split).stored
    started = time.perf_counter()
    count = len(np.unique(duplicate_groups(crystals, TOLERANCES[name], workers)))
    seconds = time.perf_counter() - started
    return {
        "data": data,
        "split": split,
        "tolerances": name,
        **vars(TOLERANCES[name]),
        "structures": len(crystals),
        "unique": count,
        "value": round(count / len(crystals), 4),
        "description": "unique structures / structures",
        "seconds": round(seconds, 1),
    }


def by_fingerprint(data: str, split: str) -> dict[str, Any]:
    """Count what is unique by the cheap fingerprint of `empnn data stats`."""
    crystals = load_split(locate(None, data), split).stored
    started = time.perf_counter()
    count = len(np.unique(fingerprint_groups(crystals)))
    return {
        "data": data,
        "split": split,
        "tolerance": TOLERANCE,
        "structures": len(crystals),
        "unique": count,
        "value": round(count / len(crystals), 4),
        "description": "structures of different fingerprint / structures",
        "seconds": round(time.perf_counter() - started, 1),
    }


def against_all_pairs(data: str, split: str, name: str) -> dict[str, Any]:
    """Compare our grouping with the matcher's own, which compares all pairs."""
    crystals = load_split(locate(None, data), split).stored
    drawn = np.sort(np.random.default_rng(0).choice(len(crystals), DRAWN, replace=False))
    chosen = crystals.subset(drawn)
    ours = duplicate_groups(chosen, TOLERANCES[name])
    structures = to_structures(chosen.select(np.arange(DRAWN)))
    for index, structure in enumerate(structures):
        structure.properties["index"] = index
    groups = TOLERANCES[name].matcher().group_structures(structures)
    theirs = np.empty(DRAWN, dtype=int)
    for group in groups:
        members = [structure.properties["index"] for structure in group]
        theirs[members] = min(members)
    return {
        "data": data,
        "split": split,
        "tolerances": name,
        "structures": DRAWN,
        "unique": len(groups),
        "value": int((ours != theirs).sum()),
        "description": "structures that are grouped otherwise than by comparing all pairs",
    }


def markdown(result: dict[str, Any]) -> str:
    """The table of the documentation: a row per split, a column per way to compare."""
    columns = ("fingerprint", *TOLERANCES)
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in (*result["by_fingerprint"], *result["unique"]):
        found.setdefault((row["data"], row["split"]), {})[row.get("tolerances", "fingerprint")] = row
    lines = [f"| set | structures | {' | '.join(columns)} |", f"|---|---{'|---' * len(columns)}|"]
    for (data, split), by in found.items():
        cells = [f"{by[name]['unique']:,} ({by[name]['value']:.1%})" if name in by else "" for name in columns]
        lines.append(f"| {data}, {split} | {by['fingerprint']['structures']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_docs() -> None:
    """Put the table between its marks."""
    fill(PAGE, "duplicates", markdown(json.loads(OUT.read_text())))


def main() -> None:
    """Measure, and keep each result as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    if options.docs:
        write_docs()
        return
    warnings.simplefilter("ignore")
    result: dict[str, Any] = {"description": __doc__, "against_all_pairs": [], "unique": [], "by_fingerprint": []}

    def keep(kind: str, row: dict[str, Any]) -> None:
        result[kind].append(row)
        with replacing(OUT) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")
        print(kind, row["data"], row["split"], row.get("tolerances", ""), row["unique"], row["value"], flush=True)

    for data in ("carbon_24", "mp_20", "perov_5"):
        for split in ("train", "val"):
            keep("by_fingerprint", by_fingerprint(data, split))
    for name in TOLERANCES:
        keep("against_all_pairs", against_all_pairs("carbon_24", "train", name))
    for data, split, name in MEASURED:
        keep("unique", unique(data, split, name, options.workers))


if __name__ == "__main__":
    main()
