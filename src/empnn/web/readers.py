"""Processes that read and write texts: whatever a text makes them do, they are ended when its time is up."""

from __future__ import annotations

import queue
from multiprocessing.connection import wait
from typing import Any

from empnn.data.records import Record
from empnn.processes import Died, Worker
from empnn.web.limits import BUSY, TOO_LARGE, Deadline, Limits, Refusal
from empnn.web.texts import Texts, work


class Readers:
    """Some processes, each of which has one request at a time.

    Args:
        limits: What is taken on.
        count: How many there are.
    """

    def __init__(self, limits: Limits, count: int = 2) -> None:
        self._limits = limits
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all = [Worker(work) for _ in range(count)]

    def __enter__(self) -> Readers:
        for worker in self._all:
            worker.begin(None, ("nothing",))
        for worker in self._all:
            worker.hear(lambda count: None)
            self._free.put(worker)
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._all:
            worker.__exit__()

    def read(self, texts: Texts, deadline: Deadline) -> list[Record]:
        """The structures in texts, read or refused.

        Raises:
            Refusal: If there are too many, or they take too long or too much memory.
        """
        found: list[Record] = self._ask(deadline, "read", texts, self._limits)
        return found

    def write(self, texts: Texts, kind: str, answers: str | None, deadline: Deadline) -> bytes:
        """A file of the structures in texts; see `converted`.

        Raises:
            Refusal: As `read`; if one cannot be read or written, too.
        """
        found: bytes = self._ask(deadline, "write", texts, self._limits, kind, answers)
        return found

    def _ask(self, deadline: Deadline, *task: Any) -> Any:
        try:
            worker = self._free.get(timeout=deadline.left)
        except queue.Empty:
            raise Refusal(BUSY, "there is too much to do at the moment; try again in a minute") from None
        try:
            worker.begin(None, task)
            if not wait([worker.connection], deadline.left):
                worker.__exit__()
                raise deadline.refusal()
            worker.hear(lambda count: None)
        except MemoryError:
            raise _too_much_memory() from None
        finally:
            self._free.put(worker)
        if isinstance(worker.result, Died):
            raise _too_much_memory()
        return worker.result


def _too_much_memory() -> Refusal:
    return Refusal(TOO_LARGE, "reading it takes too much memory; send fewer or smaller structures")
