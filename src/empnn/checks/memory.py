"""Whether a structure fits into memory, said before rather than found out."""

import os
from pathlib import Path

BYTES_PER_ATOM = 28 * 1024
"""What relaxing a large crystal takes at its peak, rounded up; measured by benchmarks/speed/scaling.py."""
_WORTH_A_LOOK = 10_000
_MEMINFO = Path("/proc/meminfo")
_GIB = 2.0**30


def memory_refusal(n_atoms: int) -> str | None:
    """Why a structure of so many atoms cannot be relaxed on this machine, `what; what to do`, or None."""
    if n_atoms < _WORTH_A_LOOK:
        return None
    need, free = n_atoms * BYTES_PER_ATOM, available_memory()
    if free is None or need <= free:
        return None
    return (
        f"its {n_atoms:,} atoms take about {need / _GIB:.1f} GiB of memory to relax and {free / _GIB:.1f} GiB are "
        "available; close other programs, use a larger machine or a smaller cell"
    )


def available_memory() -> int | None:
    """Bytes that can still be used without swapping, or None where the system does not say."""
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
