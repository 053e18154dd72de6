"""What a request may ask for, and how it is told that it asks for more."""

from __future__ import annotations

import time
from dataclasses import dataclass

TOO_LARGE, BUSY, TOO_SLOW = 413, 503, 504
"""The statuses of HTTP for these."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes on.

    Attributes:
        megabytes: Size of a request.
        structures: Structures in a request.
        atoms: Atoms of a structure; in all its structures a request may have 50 times as many.
        seconds: Time from the first byte of a request to the answer.
        requests: Requests at a time.
    """

    megabytes: float = 16.0
    structures: int = 2000
    atoms: int = 2000
    seconds: float = 60.0
    requests: int = 512

    @property
    def bytes(self) -> int:
        """The size of a request in bytes."""
        return int(self.megabytes * 1e6)

    @property
    def all_atoms(self) -> int:
        """Atoms in all structures of a request."""
        return 50 * self.atoms

    @property
    def all_bytes(self) -> int:
        """Bytes of all requests at a time."""
        return 16 * self.bytes


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: The status of HTTP.
        message: `what is wrong; what to do`.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Deadline:
    """The moment at which a request is given up.

    Args:
        seconds: How far away it is.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, not below 0."""
        return max(self._end - time.monotonic(), 0.0)

    def refusal(self) -> RequestError:
        """What is said when it has passed."""
        return RequestError(TOO_SLOW, f"it takes longer than {self._seconds:g} s; send fewer or smaller structures")

    def check(self) -> None:
        """Give up if it has passed.

        Raises:
            RequestError: If it has.
        """
        if not self.left:
            raise self.refusal()
