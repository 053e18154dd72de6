"""`decorated`: crystals in the cells and at the places of isostructural ones of another composition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from empnn.corruption.source import BeforeAfter
from empnn.crystals import Crystals
from empnn.data.curation.decorating import decorate
from empnn.data.curation.isostructural import Isostructural


@dataclass(frozen=True)
class Decorated:
    """Pairs drawn by `Isostructural.draw`: large families less often, partners uniformly.

    Attributes:
        crystals: The true crystals, which are partners of each other.
        table: How they lie onto each other.
    """

    crystals: Crystals
    table: Isostructural

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """As many crystals as are chosen, among those that have partners."""
        first, second = self.table.draw(generator, len(chosen))
        return decorate(self.crystals.select(first), self.table, first, self.table, second)
