"""The crystals of a set made exactly symmetric, with their operations: found once, then kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from empnn.crystals import CrystalBatch, Crystals, from_ragged
from empnn.data.curation.composition import chunks
from empnn.files import cache_folder, replacing
from empnn.space_groups import SpaceGroups, join_operations, operations_of, symmetrise

_VERSION = "1"


@dataclass(frozen=True)
class SymmetricSet:
    """Exactly symmetric crystals and their operations in ragged arrays.

    Attributes:
        arrays: `cell` (structures, 3, 3), `frac` (atoms, 3), `numbers` (atoms,) and `atoms` (structures + 1,), where
            they start; `rotations` (operations, 3, 3), `translations` (operations, 3) and `operations` (structures +
            1,); `targets` (images,), counted from the first atom of the structure, and `images` (structures + 1,).
        index: Positions of the structures that belong to this set; all if None.
    """

    arrays: dict[str, np.ndarray]
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.arrays["cell"]) if self.index is None else len(self.index)

    def subset(self, index: Sequence[int] | np.ndarray) -> SymmetricSet:
        """Some of the structures, without copying them."""
        return SymmetricSet(self.arrays, self._positions(index))

    def select(self, index: Sequence[int] | np.ndarray) -> tuple[CrystalBatch, SpaceGroups]:
        """The structures at the given positions, in that order, and their operations."""
        chosen = self._positions(index)
        atoms, sizes = _runs(self.arrays["atoms"], chosen)
        operations, counts = _runs(self.arrays["operations"], chosen)
        images, _ = _runs(self.arrays["images"], chosen)
        crystals = from_ragged(
            self.arrays["cell"][chosen], self.arrays["frac"][atoms], self.arrays["numbers"][atoms], sizes
        )
        per_operation = np.repeat(sizes, counts)
        first = np.repeat(np.repeat(np.cumsum(sizes) - sizes, counts), per_operation)
        operation = np.repeat(np.arange(len(per_operation)), per_operation)
        within = np.arange(len(operation)) - (np.cumsum(per_operation) - per_operation)[operation]
        return crystals, SpaceGroups(
            rotations=torch.from_numpy(self.arrays["rotations"][operations].astype(np.int64)),
            translations=torch.from_numpy(self.arrays["translations"][operations]),
            batch=torch.from_numpy(np.repeat(np.arange(len(chosen)), counts)),
            operation=torch.from_numpy(operation),
            source=torch.from_numpy(first + within),
            target=torch.from_numpy(first + self.arrays["targets"][images]),
        )

    def _positions(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        chosen = np.asarray(index, dtype=np.int64)
        return chosen if self.index is None else self.index[chosen]


def symmetric_set(crystals: Crystals, on_progress: Callable[[int], None] = lambda done: None) -> SymmetricSet:
    """All crystals made exactly symmetric; taken from the cache if they were before.

    Args:
        crystals: Sound crystals.
        on_progress: Called with the number of crystals that have been looked at since the last call.
    """
    path = cache_folder() / f"{_digest(crystals)}-symmetric-v{_VERSION}.safetensors"
    try:
        return SymmetricSet(load_file(path))
    except (OSError, SafetensorError):
        pass
    parts = []
    for chosen in chunks(len(crystals)):
        parts.append(_part(crystals.select(chosen)))
        on_progress(len(chosen))
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in ("atoms", "operations", "images"):
        found[name] = np.concatenate([[0], np.cumsum(found[name])])
    _store(found, path)
    return SymmetricSet(found)


def _part(crystals: CrystalBatch) -> dict[str, np.ndarray]:
    cells, fracs, numbers = crystals.cell.numpy(), crystals.frac.numpy(), crystals.numbers.numpy()
    found = [
        operations_of(cell, fracs[start:stop], numbers[start:stop])
        for cell, (start, stop) in zip(cells, pairwise(crystals.starts.tolist()), strict=True)
    ]
    groups = join_operations(crystals, found)
    exact = symmetrise(crystals, groups)
    sizes = crystals.sizes.numpy()
    counts = np.array([len(rotations) for rotations, _ in found], dtype=np.int64)
    first = crystals.starts[crystals.batch[groups.target]]
    return {
        "cell": exact.cell.numpy(),
        "frac": exact.frac.numpy(),
        "numbers": numbers.astype(np.uint8),
        "atoms": sizes,
        "rotations": groups.rotations.numpy().astype(np.int8),
        "translations": groups.translations.numpy(),
        "operations": counts,
        "targets": (groups.target - first).numpy().astype(np.uint16),
        "images": sizes * counts,
    }


def _runs(starts: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of all items of the chosen structures, and how many each has."""
    counts = starts[chosen + 1] - starts[chosen]
    owner = np.repeat(np.arange(len(chosen)), counts)
    return starts[chosen][owner] + np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner], counts


def _digest(crystals: Crystals) -> str:
    digest = hashlib.sha256()
    for chosen in chunks(len(crystals)):
        part = crystals.select(chosen)
        for array in (part.cell, part.frac, part.numbers, part.batch):
            digest.update(array.numpy().tobytes())
    return digest.hexdigest()[:32]


def _store(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write to the cache; what cannot be written costs time, not the run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(save(arrays))
    except OSError:
        return
