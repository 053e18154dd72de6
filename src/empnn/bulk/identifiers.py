"""Identifiers that occur more than once among millions, in whatever order they come."""

from __future__ import annotations

import tempfile
from array import array

import numpy as np

FEW = 5
"""Identifiers that are called by their names."""


class Identifiers:
    """Counts identifiers that are repeated; eight bytes of memory are kept of each, and its text in a file.

    Use as a context manager.
    """

    def __init__(self) -> None:
        self._digests = array("q")

    def __enter__(self) -> Identifiers:
        self._texts = tempfile.TemporaryFile("w+", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._texts.close()

    def add(self, identifier: str | None) -> None:
        """Take one more; nothing of a structure that has none."""
        if identifier is not None:
            self._digests.append(hash(identifier))
            self._texts.write(f"{identifier}\n")

    def repeated(self) -> tuple[int, list[str]]:
        """How many occur more than once, and the first few of them as they are sorted by their names."""
        digests = np.frombuffer(self._digests, dtype=np.int64)
        # In place: there may be a billion.
        digests.sort()
        several = set(digests[1:][digests[1:] == digests[:-1]].tolist())
        if not several:
            return 0, []
        self._texts.seek(0)
        names: set[str] = set()
        for line in self._texts:
            if hash(line.rstrip("\n")) in several:
                names = set(sorted({*names, line.rstrip("\n")})[:FEW])
        return len(several), sorted(names)
