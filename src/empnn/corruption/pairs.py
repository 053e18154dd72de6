"""`pairs`: the user's own crystals, unrelaxed and relaxed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from empnn.corruption.source import BeforeAfter
from empnn.crystals import Crystals


@dataclass(frozen=True)
class GivenPairs:
    """Pairs drawn uniformly, each as it is.

    Attributes:
        before: The unrelaxed crystals.
        after: The relaxed ones, prepared as `BeforeAfter` says.
    """

    before: Crystals
    after: Crystals

    def __call__(self, chosen: np.ndarray, generator: np.random.Generator) -> BeforeAfter:
        """As many pairs as crystals are chosen."""
        drawn = generator.integers(len(self.before), size=len(chosen))
        return self.before.select(drawn), self.after.select(drawn)
