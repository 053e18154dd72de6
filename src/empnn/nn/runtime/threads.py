"""Threads that each work on structures of their own, if the process asks for them.

Threads that share an operation wait for each other after every one of some thousand small ones, and read from each
other's caches what the operation before has left there. Between structures nothing passes. Python's own share of the
work is still done by one thread at a time, so that more than a few threads gain nothing.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

MOST = 4
"""Threads for structures; those of PyTorch beyond that are shared out among them."""

P = TypeVar("P")
R = TypeVar("R")


@dataclass(eq=False)
class _Pool:
    executor: ThreadPoolExecutor
    workers: int
    all_threads: int
    users: int = 0


_LOCK = threading.Lock()
_POOL: list[_Pool] = []
"""The threads, one pool for all who asked for them, or none."""


@contextmanager
def threads_for_structures() -> Iterator[None]:
    """Let networks work on structures side by side, if PyTorch has several threads.

    A setting of the process, made from its main thread, taken back when the last of those who made it leaves. Meanwhile
    PyTorch computes with one thread wherever it is called from, but for what goes through `share`: a second one that
    waits for the next small operation would take its core from those.
    """
    with _LOCK:
        threads = torch.get_num_threads()
        workers = min(threads, MOST)
        if not _POOL and workers > 1:
            _POOL.append(_Pool(_executor(workers, threads // workers), workers, threads))
        pool = _POOL[0] if _POOL else None
        if pool is not None:
            pool.users += 1
            torch.set_num_threads(1)
    try:
        yield
    finally:
        if pool is not None:
            _leave(pool)


def available() -> int:
    """Threads that `share` has; 0 if nobody asked for them."""
    return _POOL[0].workers if _POOL else 0


def share(function: Callable[[P], R], parts: Sequence[P]) -> list[R]:
    """What a function gives for each part, in order: a thread for each, and all of PyTorch's for one part alone.

    The function must not call this itself.
    """
    with _LOCK:
        pool = _POOL[0] if _POOL else None
        found = pool.executor.map(function, parts) if pool is not None and len(parts) > 1 else None
    if found is not None:
        return list(found)
    if pool is None:
        return [function(part) for part in parts]
    torch.set_num_threads(pool.all_threads)
    try:
        return [function(part) for part in parts]
    finally:
        torch.set_num_threads(1)


def _leave(pool: _Pool) -> None:
    """One user less; the last one ends the threads."""
    with _LOCK:
        pool.users -= 1
        # A process that was forked meanwhile has no pool any more.
        last = pool in _POOL and pool.users == 0
        if last:
            _POOL.clear()
    if last:
        pool.executor.shutdown()
        torch.set_num_threads(pool.all_threads)


def _executor(workers: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "empnn", initializer=torch.set_num_threads, initargs=(threads,))


if hasattr(os, "register_at_fork"):
    # A process that was forked has none of the threads.
    os.register_at_fork(after_in_child=_POOL.clear)
