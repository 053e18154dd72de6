"""What relaxes crystals in memory, whatever it is: the protocol, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Bool
from torch import Tensor

from empnn.crystals import CrystalBatch


@dataclass(frozen=True, kw_only=True)
class RelaxedBatch:
    """Relaxed crystals.

    Attributes:
        crystals: In the order they were given; those that failed are as they were.
        failed: Which ones could not be relaxed. Per structure.
        seconds: Time it took; of what is stored, when it was computed.
        report: Further figures for a report on all of them. One that counts `failed` is from a relaxer of which
            failures are to be expected.
    """

    crystals: CrystalBatch
    failed: Bool[Tensor, " structures"]
    seconds: float
    report: Mapping[str, int | float] = field(default_factory=dict)


@runtime_checkable
class BatchRelaxer(Protocol):
    """What relaxes crystals: a network with its card, or an energy oracle."""

    @property
    def moves_atoms(self) -> bool:
        """Whether it moves atoms within the cell too."""

    def relax_batch(self, crystals: CrystalBatch) -> RelaxedBatch:
        """Relax usable crystals, however many; what they fix stays.

        Raises:
            ConfigError: If it cannot stay, or nothing else is relaxed.
        """
