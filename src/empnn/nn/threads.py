"""Threads that each work on structures of their own, if the process asks for them.

Threads that share an operation wait for each other after every one of some thousand small ones, and read from each
other's caches what the operation before has left there. Between structures nothing passes. Python's own share of the
work is still done by one thread at a time, so that more than a few threads gain nothing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

MOST = 4
"""Threads for structures; those of PyTorch beyond that are shared out among them."""

_POOLS: list[tuple[ThreadPoolExecutor, int]] = []
"""Threads, and their number, for each of those who asked for them; the last are used."""

P = TypeVar("P")
R = TypeVar("R")


@contextmanager
def threads_for_structures() -> Iterator[None]:
    """Let networks work on structures side by side, if PyTorch has several threads.

    A setting of the process: meanwhile threads that are new to PyTorch compute on as many cores as one of these does.
    """
    threads = torch.get_num_threads()
    count = min(threads, MOST)
    if count == 1:
        yield
        return
    pool = ThreadPoolExecutor(count, "empnn", initializer=torch.set_num_threads, initargs=(threads // count,))
    _POOLS.append((pool, count))
    try:
        yield
    finally:
        _POOLS.remove((pool, count))
        pool.shutdown()
        torch.set_num_threads(threads)


def available() -> int:
    """Threads that `share` has."""
    return _POOLS[-1][1] if _POOLS else 1


def share(function: Callable[[P], R], parts: Sequence[P]) -> list[R]:
    """What a function gives for each part, in order; in threads if there are some, and parts for them."""
    if not _POOLS or len(parts) < 2:
        return [function(part) for part in parts]
    return list(_POOLS[-1][0].map(function, parts))


if hasattr(os, "register_at_fork"):
    # A process that was forked has none of the threads.
    os.register_at_fork(after_in_child=_POOLS.clear)
