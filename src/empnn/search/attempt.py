"""A trial in the hands of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from empnn.search.halving import Scores
from empnn.search.owner import Owner
from empnn.search.plan import Parameters
from empnn.search.storage import UNREACHABLE

BEAT = 20.0
"""Seconds between signs of life."""
PLACE, OWNER, BEATS, AFTER = "place", "owner", "beats", "after"
ENDED, HALTED, ERROR, RUN = "ended", "halted", "error", "run"
"""What an attempt says of itself in the storage."""
DIED, RELEASED, DOUBLE = "its process died", "it was interrupted", "another attempt has its place"
"""Why an attempt failed that another one follows."""


class LostError(Exception):
    """Other processes hold this one to be dead, and one of them has its trial."""


@dataclass(frozen=True)
class Begun:
    """Where an attempt begins.

    Attributes:
        place: Number of the trial in the search.
        parameters: Its values.
        scores: What its validations found so far, by step.
        halted: The step at which it was given up before, if it was.
        after: Why it was not finished by whoever had it before, if somebody had.
    """

    place: int
    parameters: Parameters
    scores: dict[int, float]
    halted: int | None
    after: str | None


class Attempt:
    """A trial that this process has; it says that it lives for as long as the block lasts.

    Args:
        storage: Where the trial is kept.
        number: Under which number.
        owner: This process.
        begun: Where it begins.
        others: What gives the scores of all other trials.
    """

    def __init__(
        self,
        storage: BaseStorage,
        number: int,
        owner: Owner,
        begun: Begun,
        others: Callable[[], Iterable[Scores]],
    ) -> None:
        self.begun, self.others = begun, others
        self.scores, self.halted = dict(begun.scores), begun.halted
        self._storage, self._number, self._owner = storage, number, asdict(owner)
        self._done, self._lost = threading.Event(), threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Attempt:
        self._beating.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Be silent; a trial that came to no end is there for whoever comes next."""
        self._done.set()
        self._beating.join()
        self._leave(RELEASED)

    def check(self) -> None:
        """Make sure that the trial is still ours.

        Raises:
            LostError: If it is not.
        """
        if self._lost.is_set():
            raise LostError

    def report(self, step: int, score: float) -> None:
        """A validation.

        Raises:
            LostError: If the trial is not ours any more.
        """
        self.scores[step] = score
        with self._ours():
            self._storage.set_trial_intermediate_value(self._number, step, score)

    def halt(self, step: int) -> None:
        """It is given up at this step.

        Raises:
            LostError: If the trial is not ours any more.
        """
        self.halted = step
        with self._ours():
            self._storage.set_trial_user_attr(self._number, HALTED, step)

    def finish(self, score: float, run: dict[str, Any]) -> None:
        """The run is at its end, or was given up.

        Args:
            score: The best of it.
            run: What else is worth knowing.

        Raises:
            LostError: If the trial is not ours any more.
        """
        with self._ours():
            self._storage.set_trial_user_attr(self._number, RUN, {"score": score, **run})
            if self.halted is None:
                self._storage.set_trial_state_values(self._number, TrialState.COMPLETE, [score])
            else:
                self._storage.set_trial_state_values(self._number, TrialState.PRUNED)

    def fail(self, why: str) -> None:
        """The values of this trial lead to nothing, now and ever.

        Raises:
            LostError: If the trial is not ours any more.
        """
        with self._ours():
            self._storage.set_trial_user_attr(self._number, ERROR, why)
            self._storage.set_trial_state_values(self._number, TrialState.PRUNED)

    def crash(self) -> None:
        """It came to no end for no fault of its values; another attempt may do better."""
        self._leave(DIED)

    def _leave(self, why: str) -> None:
        if self._lost.is_set():
            return
        with contextlib.suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(self._number, ENDED, why)
            self._storage.set_trial_state_values(self._number, TrialState.FAIL)

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        self.check()
        try:
            yield
        except UpdateFinishedTrialError:
            self._lost.set()
            raise LostError from None

    def _beat(self) -> None:
        beats = 0
        while not self._done.wait(BEAT):
            beats += 1
            try:
                if self._storage.get_trial(self._number).user_attrs.get(OWNER) != self._owner:
                    self._lost.set()
                    return
                self._storage.set_trial_user_attr(self._number, BEATS, beats)
            except UpdateFinishedTrialError:
                self._lost.set()
                return
            except UNREACHABLE:
                continue
