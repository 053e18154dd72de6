"""What processes that train one network together tell each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import distributed, nn
from torch.distributed import ProcessGroup
from torch.nn.parallel import DistributedDataParallel

from empnn.errors import ConfigError, CrystalError
from empnn.nn import Network

T = TypeVar("T")


class Group:
    """The processes of a run, seen from one of them; by default it is alone, and nothing here costs anything.

    Args:
        rank: Which one this is.
        size: How many there are.
        local_rank: Which one it is of those on its machine.
        channel: What they tell each other by.

    Attributes:
        rank: Which one this is; the first one, 0, validates, writes and reports.
        size: How many there are.
        device: The GPU of this process, by its number on this machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, channel: ProcessGroup | None = None) -> None:
        self.rank = rank
        self.size = size
        self.device = local_rank
        self._channel = channel

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and reports."""
        return self.rank == 0

    def total(self, *numbers: float) -> list[float]:
        """Each number, added up over all processes; nobody goes on before all have come here."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(sums, group=self._channel)
        return sums.tolist()

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; nobody goes on before all have come here."""
        return self.total(float(flag))[0] > 0

    def wait(self) -> None:
        """Go on when all have come here."""
        self.any(False)

    def told(self, text: str) -> str:
        """What the first process says."""
        return str(self._heard(text)[0])

    def in_turn(self, function: Callable[[], T]) -> T:
        """What a function gives, called in the first process of each machine, then in the others.

        What the first one leaves in the cache the others find there.

        Raises:
            ConfigError: In all processes, if the function raises it in one.
        """
        if self.size == 1:
            return function()
        found: list[T] = []
        for mine in (self.device == 0, self.device != 0):
            error: Exception | None = None
            if mine:
                try:
                    found.append(function())
                except (ConfigError, CrystalError, OSError) as raised:
                    error = raised
            said = [text for text in self._heard(None if error is None else str(error)) if text is not None]
            if said:
                raise error or ConfigError(said[0])
        return found[0]

    def joined(self, network: Network) -> Callable[..., Any]:
        """The network, so that its gradient is the mean of those of all processes."""
        if self.size == 1:
            return network.__call__
        return DistributedDataParallel(cast(nn.Module, network)).__call__

    def _heard(self, text: str | None) -> list[str | None]:
        """What each process says."""
        if self.size == 1:
            return [text]
        said: list[str | None] = [None] * self.size
        distributed.all_gather_object(said, text, group=self._channel)
        return said


ALONE = Group()
