"""The few crystals of a run that are worth a picture, found as they come: there may be millions."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Any, Generic, TypeVar

from empnn.bulk.pipeline import SUSPECT, Outcome

MOST_ATOMS = 200
"""Larger crystals are not drawn."""

T = TypeVar("T")


class Largest(Generic[T]):
    """The so many items of the largest keys; of equal keys the first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._count = count()
        self._heap: list[tuple[Any, int, T]] = []

    def add(self, key: Any, item: T) -> bool:
        """Take an item, and say whether it is among them as yet."""
        entry = (key, -next(self._count), item)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
            return True
        return self._size > 0 and heapq.heappushpop(self._heap, entry) is not entry

    def items(self) -> list[T]:
        """Those of all that have come, the largest first."""
        return [item for _, _, item in sorted(self._heap, reverse=True)]


class Notable:
    """The crystals that were changed most, and those whose answers are the most doubtful.

    Whatever is among them in the end was so when it came: what came before it is all that it was compared with.

    Args:
        size: How many of each.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._doubtful: Largest[Outcome] = Largest(size)
        # Some of them are doubtful, too.
        self._changed: Largest[Outcome] = Largest(2 * size)

    def add(self, outcome: Outcome) -> bool:
        """Take what became of a structure, and say whether it is among them as yet."""
        if outcome.change is None:
            return False
        changed = self._changed.add((round(outcome.change["strain"], 6), outcome.change["displacement"]), outcome)
        doubtful = outcome.status == SUSPECT or outcome.errors is not None
        return (doubtful and self._doubtful.add(doubt(outcome), outcome)) or changed

    @property
    def doubtful(self) -> list[Outcome]:
        """The suspects and those of the largest predicted errors, the worst first."""
        return self._doubtful.items()

    @property
    def changed(self) -> list[Outcome]:
        """Those of the largest strains that are not among the doubtful."""
        doubtful = self.doubtful
        return [one for one in self._changed.items() if one not in doubtful][: self._size]


def doubt(outcome: Outcome) -> tuple[bool, float]:
    """What orders relaxed structures by how doubtful they are.

    Suspects come first, then the predicted error of the volume, or without one the size of its change.
    """
    error = (outcome.errors or {}).get("volume")
    change = (outcome.change or {}).get("volume_change", 0.0)
    return outcome.status == SUSPECT, abs(change) if error is None else error
