"""Processes that read and write texts: whatever a text makes them do, they are ended when its time is up."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from typing import Any

from empnn.data.records import Record
from empnn.processes import Died, Worker
from empnn.web.limits import BUSY, TOO_LARGE, Deadline, Limits, RequestError
from empnn.web.texts import Texts, work

_NOTHING = ("nothing",)


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
        self._renewals = ThreadPoolExecutor(count)

    def __enter__(self) -> Readers:
        for worker in self._all:
            worker.begin(None, _NOTHING)
        for worker in self._all:
            self._wait(worker)
        return self

    def __exit__(self, *error: object) -> None:
        self._renewals.shutdown()
        for worker in self._all:
            worker.__exit__()

    @property
    def processes(self) -> list[int]:
        """The numbers of those that run."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    def read(self, texts: Texts, deadline: Deadline) -> list[Record]:
        """The structures in texts, read or refused.

        Raises:
            RequestError: If there are too many, or they take too long or too much memory.
        """
        found: list[Record] = self._ask(deadline, "read", texts, self._limits)
        return found

    def write(self, texts: Texts, kind: str, answers: str | None, deadline: Deadline) -> bytes:
        """A file of the structures in texts; see `converted`.

        Raises:
            RequestError: As `read`; if one cannot be read or written, too.
        """
        found: bytes = self._ask(deadline, "write", texts, self._limits, kind, answers)
        return found

    def _ask(self, deadline: Deadline, *task: Any) -> Any:
        try:
            worker = self._free.get(timeout=deadline.left)
        except queue.Empty:
            raise RequestError(BUSY, "there is too much to do at the moment; try again in a minute") from None
        lost = False
        try:
            worker.begin(None, task)
            lost = not wait([worker.connection], deadline.left)
            if lost:
                worker.__exit__()
                raise deadline.refusal()
            worker.hear(lambda count: None)
            lost = isinstance(worker.result, Died)
            if lost:
                raise _too_much_memory()
            return worker.result
        except MemoryError:
            raise _too_much_memory() from None
        finally:
            if lost:
                self._renewals.submit(self._renew, worker)
            else:
                self._free.put(worker)

    def _renew(self, worker: Worker) -> None:
        """Another process in the place of one that has ended: nobody is to wait for it to load its libraries."""
        worker.begin(None, _NOTHING)
        self._wait(worker)

    def _wait(self, worker: Worker) -> None:
        worker.hear(lambda count: None)
        self._free.put(worker)


def _too_much_memory() -> RequestError:
    return RequestError(TOO_LARGE, "reading it takes too much memory; send fewer or smaller structures")
