"""What reading takes of memory."""

import tracemalloc
from pathlib import Path

from empnn.data import reading


def gone_through(path: Path) -> tuple[int, int]:
    """How many structures a file has, and the most bytes that were in use at a time while they were read."""
    tracemalloc.start()
    try:
        found = sum(1 for _ in reading.entries(path))
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
