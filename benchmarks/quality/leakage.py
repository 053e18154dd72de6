"""How many crystals of val have a near duplicate in train, and what the packaged models remove from the others.

Near duplicates are those of `empnn data stats`: the same composition and nearly the same fingerprint. Noise of
sigma = 0.1, seed 0, as in benchmarks/quality/denoising.py.

Usage: python -m benchmarks.quality.leakage   (EMPNN_DATA names the data folder)
"""

import json
from typing import Any

import numpy as np
from scipy.spatial import KDTree

import empnn
from benchmarks.bench import RESULTS, fast_process, machine
from empnn.corruption.strain import with_fixed_noise
from empnn.data.curation.composition import composition_groups
from empnn.data.curation.fingerprints import TOLERANCE, fingerprints
from empnn.data.sets import BENCHMARKS, locate, split_file
from empnn.data.store import StoredCrystals, load_files
from empnn.files import replacing
from empnn.metrics import denoising_metrics

SIGMA, SEED = 0.1, 0
REMOVED = ("lengths_removed", "angles_removed")


def main() -> None:
    """Measure and write."""
    fast_process()
    rows = [measure(name) for name in BENCHMARKS]
    content = {"description": str(__doc__).partition("\n")[0], "machine": machine(), "rows": rows}
    with replacing(RESULTS / "leakage.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


def measure(name: str) -> dict[str, Any]:
    """One set."""
    files = [split_file(locate(None, name), split) for split in ("train", "val")]
    both = load_files(files)
    n_train = len(load_files(files[:1]).ids)
    seen = has_near_duplicate(both.stored, n_train)
    val = both.stored.select(np.arange(n_train, len(both.ids)))
    noisy = with_fixed_noise(val, SIGMA, SEED)
    relaxed = empnn.load(name.replace("_", "-")).relax_batch(noisy).crystals
    row: dict[str, Any] = {"data": name, "val": len(val), "with_near_duplicate_in_train": int(seen.sum())}
    for part, chosen in (("seen", np.flatnonzero(seen)), ("unseen", np.flatnonzero(~seen))):
        if len(chosen):
            figures = denoising_metrics(noisy.select(chosen), relaxed.select(chosen), val.select(chosen)).as_dict()
            row[part] = {key: figures[key] for key in ("n", "lengths_mae", "angles_mae", *REMOVED)}
    return row


def has_near_duplicate(crystals: StoredCrystals, n_train: int) -> np.ndarray:
    """Which of the crystals after the first `n_train` have one of nearly their fingerprint among these."""
    vectors = list(fingerprints(crystals))
    compositions = composition_groups(crystals)
    found = np.zeros(len(crystals), dtype=bool)
    for composition in np.unique(compositions[n_train:]):
        members = np.flatnonzero(compositions == composition)
        known, new = members[members < n_train], members[members >= n_train]
        if len(known):
            distances, _ = KDTree([vectors[i] for i in known]).query([vectors[i] for i in new])
            found[new] = distances <= TOLERANCE
    return found[n_train:]


if __name__ == "__main__":
    main()
