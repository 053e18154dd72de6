"""What an oracle says of each of many crystals, in this process or in others that share nothing."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from empnn.energy.oracle import EnergyOracle, Request, Result, Written
from empnn.energy.oracles.registry import load_oracle
from empnn.errors import CrystalError
from empnn.processes import Died, Report, completed, stdout_to_stderr

COMPUTED, WRITTEN, REFUSED, FAILED = "computed", "written", "refused", "failed"


@dataclass(frozen=True)
class Choice:
    """Which oracle, in what can be sent to another process.

    Attributes:
        name: As `load_oracle` takes it.
        options: As `load_oracle` takes them.
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
    choice: Choice, requests: Iterator[tuple[int, Request | None]], workers: int
) -> Generator[tuple[int, Answer | None], None, None]:
    """Compute requests, in the order in which they end.

    Each worker has one thread: crystals are small, and threads that wait for each other cost more than they bring. A
    process that dies (of lack of memory, say) costs the crystal it was at, and is replaced.

    Args:
        choice: The oracle.
        requests: Numbered requests; taken one by one as there is somebody to compute them. None instead of one waits
            for an answer to one before, and is itself the answer if there is none.
        workers: Number of processes; 0 to compute in this one, which a calculator may kill.
    """
    tasks = ((position, None if request is None else (request,)) for position, request in requests)
    with _threads_kept(), contextlib.closing(completed(Answering(choice), tasks, workers, _ignore)) as found:
        for position, result in found:
            if isinstance(result, Died):
                died = f"the process that computed it died (status {result.status}; out of memory?)"
                message = f"{died}; leave it out or use fewer `workers`"
                yield position, Answer(FAILED, message=message, seconds=result.seconds)
            else:
                yield position, result


class Answering:
    """Answers requests with an oracle that is loaded with the first, in whatever process that is."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._oracle: EnergyOracle | None = None

    def __call__(self, report: Report, request: Request) -> Answer:
        """What becomes of a request."""
        if self._oracle is None:
            import torch

            torch.set_num_threads(1)
            self._oracle = self._choice.load()
        return answer(self._oracle, request)


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
def _threads_kept() -> Iterator[None]:
    """This process has as many threads afterwards as before."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ignore(count: int) -> None:
    """Oracles report nothing on their way."""
