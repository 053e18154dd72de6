"""Work shared among processes of our own: tasks in, results and progress out; none of them outlives its caller."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from empnn.errors import ConfigError

Report = Callable[[int], None]
Function = Callable[..., Any]
"""What is done: `function(report, *task)`, to be sent to other processes; `report(n)` in it is heard here."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_POLL = 1.0
"""Seconds after which a wait looks up: an interruption that another thread of this process took does not end it."""
_FAREWELL = 5.0
"""Seconds that an idle process has to end of itself, and to clean up."""


@dataclass(frozen=True)
class Died:
    """What comes instead of a result where the process that worked on it died."""

    status: int | None
    seconds: float


def run(function: Function, tasks: Iterable[tuple[Any, ...]], workers: int, on_progress: Report) -> list[Any]:
    """The results of `function(report, *task)` for all tasks, in order.

    Args:
        function: What is done.
        tasks: Arguments that can be pickled; taken as they are needed.
        workers: Processes to use; with one, everything happens in this one.
        on_progress: Called with what the function reports.

    Raises:
        ConfigError: If a process is killed.
    """
    with contextlib.closing(finished(function, enumerate(tasks), workers, on_progress)) as found:
        results = dict(found)
    return [results[number] for number in range(len(results))]


def finished(
    function: Function, tasks: Iterable[tuple[Hashable, tuple[Any, ...]]], workers: int, on_progress: Report
) -> Generator[tuple[Any, Any], None, None]:
    """The results with the keys of their tasks, in the order in which they end; see `run` and `completed`."""
    with contextlib.closing(completed(function, tasks, workers if workers > 1 else 0, on_progress)) as found:
        for key, result in found:
            if isinstance(result, Died):
                raise ConfigError("a worker process was killed (out of memory?); use fewer `workers`")
            yield key, result


def completed(
    function: Function, tasks: Iterable[tuple[Hashable, tuple[Any, ...] | None]], workers: int, on_progress: Report
) -> Generator[tuple[Any, Any], None, None]:
    """Results with the keys of their tasks, in the order in which they end; close it to end the processes.

    A process has one thread for whatever library it loads, prints to stderr, and is replaced if it dies, which costs
    the task it was at. Whatever the function raises is raised here, and ends them all.

    Args:
        function: What is done.
        tasks: A key for each, and arguments that can be pickled; taken one by one as there is somebody to do them.
            None instead of arguments waits until one of those before is done, and is a result if there are none.
        workers: Number of processes; 0 to do everything in this one.
        on_progress: Called with what the function reports.
    """
    if workers == 0:
        for key, task in tasks:
            yield key, None if task is None else function(on_progress, *task)
        return
    with contextlib.ExitStack() as stack:
        pool: list[Worker] = []
        for key, task in tasks:
            busy = [worker for worker in pool if worker.busy]
            if task is None and not busy:
                yield key, None
            elif task is None or len(busy) == workers:
                worker = _first_done(busy, on_progress)
                yield worker.key, worker.result
            elif len(busy) == len(pool):
                pool.append(stack.enter_context(Worker(function)))
            if task is not None:
                next(worker for worker in pool if not worker.busy).begin(key, task)
        while busy := [worker for worker in pool if worker.busy]:
            worker = _first_done(busy, on_progress)
            yield worker.key, worker.result


def _first_done(busy: list[Worker], on_progress: Report) -> Worker:
    while True:
        ready = wait([worker.connection for worker in busy], _POLL)
        for worker in busy:
            if worker.connection in ready and worker.hear(on_progress):
                return worker


class Worker:
    """A process and the end of the pipe to it.

    Attributes:
        key: Whatever names the task it is, or was, at.
        busy: Whether it is at a task.
        result: What became of the last task.
    """

    connection: Connection

    def __init__(self, function: Function) -> None:
        self._function = function
        self._process: BaseProcess | None = None
        self._begun = 0.0
        self.key: Hashable = None
        self.busy = False
        self.result: Any = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    @property
    def pid(self) -> int | None:
        """The number of its process, if there is one."""
        return None if self._process is None else self._process.pid

    def begin(self, key: Hashable, task: tuple[Any, ...]) -> None:
        """Hand over a task, to a new process if the one that was there has died meanwhile."""
        if self._process is not None and not self._process.is_alive():
            self._stop()
        if self._process is None:
            # Spawned, for a copy of a process with threads may hang.
            context = multiprocessing.get_context("spawn")
            self.connection, end = context.Pipe()
            self._process = context.Process(target=_serve, args=(end, self._function), daemon=True)
            with ignoring_interrupts(), _one_thread_in_children():
                self._process.start()
            end.close()
        self.key, self.busy, self._begun = key, True, time.perf_counter()
        # Whoever dies right now is noticed when the result is asked for.
        with contextlib.suppress(OSError):
            self.connection.send(task)

    def hear(self, on_progress: Report) -> bool:
        """Take the next message, and say whether the task is done."""
        try:
            progress, self.result, error = self.connection.recv()
        except (EOFError, OSError):
            progress, error, self.busy = None, None, False
            self.result = Died(self._stop(), time.perf_counter() - self._begun)
        if error is not None:
            raise error
        if progress is not None:
            on_progress(progress)
            return False
        self.busy = False
        return True

    def _stop(self) -> int | None:
        if self._process is None:
            return None
        self.connection.close()
        self._process.join(timeout=0 if self.busy else _FAREWELL)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        code, self._process = self._process.exitcode, None
        return code


def _serve(connection: Connection, function: Function) -> None:
    """The life of a process: it works until nobody asks any more."""
    # Ctrl-C goes to all processes of a terminal; the one that asks ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stdout_to_stderr(), contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = connection.recv()
            try:
                connection.send((None, function(lambda count: connection.send((count, None, None)), *task), None))
            except Exception as error:  # it is raised where the result is asked for
                connection.send((None, None, error))


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Within, whatever this process prints goes to stderr, be it by Python or by C; stdout belongs to the caller."""
    _flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    """Empty the buffers of Python and C; what lies in them would go wherever stdout points later."""
    sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


@contextlib.contextmanager
def _one_thread_in_children() -> Iterator[None]:
    """A process started within has one thread for whatever library it loads, unless the user asked for more."""
    missing = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, "1"))
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


@contextlib.contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """A process started within ignores Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
