"""What a set of crystals holds: counts, sizes, elements, cells, and how much of it says the same twice."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Float64, Int64

from empnn.crystals import CrystalBatch, Crystals
from empnn.data.curation.composition import chunks, composition_groups
from empnn.data.curation.fingerprints import TOLERANCE, fingerprint_groups
from empnn.data.sets import parts_of
from empnn.data.store import CrystalSet, StoredCrystals, load_files
from empnn.geometry import lattice_parameters, volume

PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class Statistics:
    """Figures of a set.

    Attributes:
        sources: Structures and refused structures of each file, folder or split.
        refused: A line about each structure that cannot be used.
        sizes: Atoms per cell. Per structure.
        volumes: Cubic angstrom per atom. Per structure.
        parameters: Lengths in angstrom and angles in degrees of the cells as they are written. Per structure.
        elements: Structures that hold each element, most frequent first.
        compositions: Reduced compositions.
        distinct: Structures that are left if of those with the same fingerprint one is kept.
        repeated_ids: Structures whose identifier occurred before.
    """

    sources: dict[str, dict[str, int]]
    refused: tuple[str, ...]
    sizes: Int64[np.ndarray, " structures"]
    volumes: Float64[np.ndarray, " structures"]
    parameters: Float64[np.ndarray, "structures 6"]
    elements: dict[str, int]
    compositions: int
    distinct: int
    repeated_ids: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON interface of `empnn data stats`."""
        counts = Counter(self.sizes.tolist())
        return {
            "structures": len(self.sizes),
            "refused": len(self.refused),
            "sources": self.sources,
            "atoms": int(self.sizes.sum()),
            "compositions": self.compositions,
            "atoms_per_cell": {**summary(self.sizes), "counts": {str(n): counts[n] for n in sorted(counts)}},
            "volume_per_atom": summary(self.volumes),
            "lattice": {name: summary(self.parameters[:, i]) for i, name in enumerate(PARAMETERS)},
            "elements": self.elements,
            "repeated_ids": self.repeated_ids,
            "duplicates": {
                "method": "fingerprint: nearly the same volume per atom and neighbour distances by pair of elements; "
                "`empnn data dedupe` compares structures",
                "tolerance": TOLERANCE,
                "distinct": self.distinct,
                "duplicates": len(self.sizes) - self.distinct,
            },
            "refusals": list(self.refused),
        }


def summary(values: np.ndarray) -> dict[str, float]:
    """Least, mean and largest value, and the values under which 5, 50 and 95 % lie."""
    low, middle, high = np.percentile(values, [5, 50, 95]).tolist()
    return {
        "min": float(values.min()),
        "p5": low,
        "median": middle,
        "mean": float(values.mean()),
        "p95": high,
        "max": float(values.max()),
    }


def statistics(inputs: Sequence[str | Path]) -> Statistics:
    """Figures of all crystals of files, folders, patterns, data folders and named sets together.

    Raises:
        ConfigError: If one does not exist or holds no usable crystal.
    """
    parts = [(_label(name, part), part) for name in inputs for part in parts_of(name)]
    loaded = [load_files([part]) for _, part in parts]
    crystals = _Together([each.stored for each in loaded])
    ids = [_hashes(each.id_lines) for each in loaded]
    sizes, volumes, parameters = _of_cells(crystals)
    return Statistics(
        sources=_sources([label for label, _ in parts], loaded),
        refused=tuple(line for each in loaded for line in each.refused),
        sizes=sizes,
        volumes=volumes,
        parameters=parameters,
        elements=_elements(crystals),
        compositions=int(composition_groups(crystals).max()) + 1,
        distinct=len(np.unique(fingerprint_groups(crystals))),
        repeated_ids=sum(map(len, ids)) - len(np.unique(np.concatenate(ids))),
    )


class _Together:
    """The crystals of several sets as those of one."""

    def __init__(self, sets: Sequence[StoredCrystals]) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *map(len, sets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def select(self, index: Sequence[int] | np.ndarray) -> CrystalBatch:
        """The structures at the given positions, in that order."""
        chosen = np.asarray(index, dtype=np.int64)
        owner = np.searchsorted(self._starts, chosen, side="right") - 1
        parts = [each.select(chosen[owner == n] - self._starts[n]) for n, each in enumerate(self._sets)]
        return CrystalBatch.cat(parts).select(np.argsort(np.argsort(owner, kind="stable")))


def _of_cells(crystals: Crystals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms per cell, volume per atom and lattice parameters of each, a few thousand at a time."""
    sizes, volumes = np.empty(len(crystals), dtype=np.int64), np.empty(len(crystals))
    parameters = np.empty((len(crystals), len(PARAMETERS)))
    for chosen in chunks(len(crystals)):
        part = crystals.select(chosen)
        sizes[chosen] = part.sizes.numpy()
        volumes[chosen] = (volume(part.cell) / part.sizes).numpy()
        parameters[chosen] = lattice_parameters(part.cell).numpy()
    return sizes, volumes, parameters


def _hashes(lines: bytes) -> np.ndarray:
    """A number for each line that is not empty, by which a million are told apart."""
    found = (line.rstrip(b"\n") for line in io.BytesIO(lines))
    return np.fromiter((hash(line) for line in found if line), dtype=np.int64)


def _label(name: str | Path, part: Path) -> str:
    """A split under the name that was given for its folder."""
    return str(part) if part == Path(name) else f"{name}/{part.name}"


def _sources(labels: Sequence[str], loaded: Sequence[CrystalSet]) -> dict[str, dict[str, int]]:
    """Counts under each label; of what is named twice, twice as many."""
    counts = {label: {"structures": 0, "refused": 0} for label in labels}
    for label, each in zip(labels, loaded, strict=True):
        counts[label]["structures"] += len(each.stored)
        counts[label]["refused"] += len(each.refused)
    return counts


def _elements(crystals: Crystals) -> dict[str, int]:
    found: Counter[int] = Counter()
    for chosen in chunks(len(crystals)):
        part = crystals.select(chosen)
        pairs = np.unique(part.batch.numpy() * 256 + part.numbers.numpy())
        found.update((pairs % 256).tolist())
    return {str(chemical_symbols[number]): count for number, count in found.most_common()}
