"""The crystals of a set made exactly symmetric, with their operations: found once, then kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from empnn.crystals import CrystalBatch, Crystals, from_ragged
from empnn.data.array_files import Layout, Spool, load_arrays
from empnn.data.curation.composition import chunks
from empnn.data.store import content_digest
from empnn.files import cache_folder
from empnn.ragged import runs, within
from empnn.space_groups import SpaceGroups, find_space_groups, symmetrise

_VERSION = "1"
_LAYOUT: Layout = {
    "cell": ("F64", np.float64, (3, 3)),
    "frac": ("F64", np.float64, (3,)),
    "numbers": ("U8", np.uint8, ()),
    "atoms": ("I64", np.int64, ()),
    "rotations": ("I8", np.int8, (3, 3)),
    "translations": ("F64", np.float64, (3,)),
    "operations": ("I64", np.int64, ()),
    "targets": ("U32", np.uint32, ()),
    "images": ("I64", np.int64, ()),
}
_STARTS = ("atoms", "operations", "images")
"""Where the atoms, operations and images of each structure start."""


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
        atoms, sizes = runs(self.arrays["atoms"], chosen)
        operations, counts = runs(self.arrays["operations"], chosen)
        images, _ = runs(self.arrays["images"], chosen)
        crystals = from_ragged(
            self.arrays["cell"][chosen], self.arrays["frac"][atoms], self.arrays["numbers"][atoms], sizes
        )
        per_operation = np.repeat(sizes, counts)
        first = np.repeat(np.repeat(np.cumsum(sizes) - sizes, counts), per_operation)
        return crystals, SpaceGroups(
            rotations=torch.from_numpy(self.arrays["rotations"][operations].astype(np.int64)),
            translations=torch.from_numpy(self.arrays["translations"][operations]),
            batch=torch.from_numpy(np.repeat(np.arange(len(chosen)), counts)),
            operation=torch.from_numpy(np.repeat(np.arange(len(per_operation)), per_operation)),
            source=torch.from_numpy(first + within(per_operation)),
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
    path = cache_folder() / f"{content_digest(crystals)}-symmetric-v{_VERSION}.safetensors"
    arrays = load_arrays(path, _LAYOUT)
    if arrays is None:
        with Spool(_LAYOUT) as spool:
            ends = dict.fromkeys(_STARTS, 0)
            for name in _STARTS:
                spool.append(name, np.zeros(1))
            for chosen in chunks(len(crystals)):
                for name, items in _part(crystals.select(chosen), on_progress).items():
                    if name in ends:
                        items = ends[name] + np.cumsum(items)
                        ends[name] = int(items[-1])
                    spool.append(name, items)
            arrays = spool.stored(path)
    return SymmetricSet(arrays)


def _part(crystals: CrystalBatch, on_progress: Callable[[int], None]) -> dict[str, np.ndarray]:
    """What is kept of some crystals; of what starts somewhere, how many of it each has."""
    groups = find_space_groups(crystals, on_progress=on_progress)
    exact = symmetrise(crystals, groups)
    counts = torch.bincount(groups.batch, minlength=len(crystals))
    return {
        "cell": exact.cell.numpy(),
        "frac": exact.frac.numpy(),
        "numbers": crystals.numbers.numpy(),
        "atoms": crystals.sizes.numpy(),
        "rotations": groups.rotations.numpy(),
        "translations": groups.translations.numpy(),
        "operations": counts.numpy(),
        "targets": (groups.target - crystals.starts[crystals.batch[groups.target]]).numpy(),
        "images": (crystals.sizes * counts).numpy(),
    }
