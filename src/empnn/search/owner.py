"""Who works on a trial, and whether that process is certainly no more."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: Name of its machine.
        place: What tells its table of processes from that of any other machine, boot and container; empty if unknown.
        process: Its number there.
        born: When it began, in the clock of that table, for numbers are used again.
    """

    host: str
    place: str
    process: int
    born: str

    @property
    def is_dead(self) -> bool | None:
        """Whether the process has ended; None if that cannot be told from here."""
        if not self.place or self.place != _place():
            return None
        return _born(self.process) != self.born


def myself() -> Owner:
    """This process."""
    number = os.getpid()
    return Owner(platform.node(), _place(), number, _born(number) or "")


@cache
def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(process: int) -> str | None:
    """When a process of this machine began; None if there is none, or what is left of it only awaits its parent."""
    try:
        status = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if status[0] in ("Z", "X") else status[19]
