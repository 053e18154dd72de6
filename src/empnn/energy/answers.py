"""Processes that compute energies, one crystal at a time each, and share nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from empnn.energy.chatter import stdout_to_stderr
from empnn.energy.oracle import EnergyOracle, Request, Result, Written
from empnn.energy.oracles.registry import load_oracle
from empnn.errors import CrystalError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
COMPUTED, WRITTEN, REFUSED, FAILED = "computed", "written", "refused", "failed"


@dataclass(frozen=True)
class Choice:
    """Which oracle, in what can be sent to another process.

    Attributes:
        name: As `empnn energy --oracle` takes it.
        options: As `--option` takes them.
    """

    name: str
    options: dict[str, Any]

    def load(self) -> EnergyOracle:
        """The oracle; what its import prints goes to stderr.

        Raises:
            ConfigError: If there is none, or it is not installed.
        """
        with stdout_to_stderr():
            return load_oracle(self.name, self.options)


@dataclass(frozen=True)
class Answer:
    """What became of a request: a result, or why there is none, and the seconds it took, in vain too."""

    status: str
    result: Result | None = None
    message: str | None = None
    seconds: float | None = None


def answers(
    choice: Choice, requests: Iterator[tuple[int, Request]], workers: int
) -> Generator[tuple[int, Answer], None, None]:
    """Compute requests, in the order in which they end.

    Each worker has one thread: crystals are small, and threads that wait for each other cost more than they bring. A
    process that dies (of lack of memory, say) costs the crystal it was at, and is replaced.

    Args:
        choice: The oracle.
        requests: Numbered requests; taken one by one as there is somebody to compute them.
        workers: Number of processes; 0 to compute in this one, which a calculator may kill.
    """
    if workers == 0:
        with _one_thread():
            oracle = choice.load()
            for position, request in requests:
                yield position, answer(oracle, request)
        return
    with contextlib.ExitStack() as stack:
        crew: list[_Worker] = []
        for position, request in requests:
            if len(crew) < workers:
                crew.append(stack.enter_context(_Worker(choice)))
                worker = crew[-1]
            else:
                worker = _first_done(crew)
                yield worker.position, worker.answer()
            worker.begin(position, request)
        while busy := [worker for worker in crew if worker.busy]:
            worker = _first_done(busy)
            yield worker.position, worker.answer()


def answer(oracle: EnergyOracle, request: Request) -> Answer:
    """Compute one request; whatever goes wrong concerns this crystal only."""
    started = time.perf_counter()
    try:
        # Calculators print and warn as they please.
        with stdout_to_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oracle.prepare()
            started = time.perf_counter()
            result = oracle.compute(request)
        return Answer(COMPUTED, result, seconds=result.seconds)
    except Written as written:
        return Answer(WRITTEN, message=str(written))
    except CrystalError as error:
        message = str(error)
    except Exception as error:  # a calculator of anybody's may raise anything
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        message = f"{oracle.name} fails on it ({detail}); check it or choose another oracle"
    return Answer(FAILED, message=message, seconds=time.perf_counter() - started)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
def _ignoring_interrupts() -> Iterator[None]:
    """A process started within ignores Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker:
    """A process and the end of the pipe to it."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self.position = -1
        self.busy = False
        self._begun = 0.0
        self._process: BaseProcess | None = None

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def begin(self, position: int, request: Request) -> None:
        """Hand over a request, to a new process if the one that was there has died meanwhile."""
        if self._process is not None and not self._process.is_alive():
            self._stop()
        if self._process is None:
            # Spawned, for a copy of a process with threads may hang.
            context = multiprocessing.get_context("spawn")
            self.connection, end = context.Pipe()
            self._process = context.Process(target=_serve, args=(end, self._choice), daemon=True)
            with _ignoring_interrupts(), _one_thread_in_children():
                self._process.start()
            end.close()
        self.position, self.busy, self._begun = position, True, time.perf_counter()
        # Whoever dies right now is noticed when the answer is asked for.
        with contextlib.suppress(OSError):
            self.connection.send(request)

    def answer(self) -> Answer:
        """What became of the request."""
        self.busy = False
        try:
            return cast(Answer, self.connection.recv())
        except (EOFError, OSError):
            code = self._stop()
            died = f"the process that computed it died (status {code}; out of memory?)"
            message = f"{died}; leave it out or use fewer --workers"
            return Answer(FAILED, message=message, seconds=time.perf_counter() - self._begun)

    def _stop(self) -> int | None:
        if self._process is None:
            return None
        # One that waits for a request ends of itself, and cleans up.
        self.connection.close()
        self._process.join(timeout=0 if self.busy else 5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        code, self._process = self._process.exitcode, None
        return code


def _first_done(crew: list[_Worker]) -> _Worker:
    ready = wait([worker.connection for worker in crew])
    return next(worker for worker in crew if worker.connection in ready)


def _serve(connection: Connection, choice: Choice) -> None:
    """What a process does: answer until nobody asks any more."""
    import torch

    # Ctrl-C goes to all processes of a terminal; the one that asks ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    with stdout_to_stderr(), contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        oracle = choice.load()
        while True:
            connection.send(answer(oracle, connection.recv()))
