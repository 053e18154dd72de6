"""Crystals of many requests in one pass: a thread that relaxes whatever waits."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain

from ase import Atoms

from empnn.relax import Relaxer
from empnn.relax.files import Answer, How, answered
from empnn.web.limits import Deadline


@dataclass(eq=False, kw_only=True)
class _Job:
    """The crystals of a request.

    Attributes:
        relaxer: What relaxes them.
        how: How it does.
        crystals: All of them.
        deadline: When they are given up.
        future: What waits for the answers.
        answers: Those to the first of them.
    """

    relaxer: Relaxer
    how: How
    crystals: list[Atoms]
    deadline: Deadline
    future: Future[list[Answer]] = field(default_factory=Future)
    answers: list[Answer] = field(default_factory=list)

    def may_go_with(self, other: _Job) -> bool:
        """Whether crystals of both can be in one pass."""
        return self.relaxer is other.relaxer and self.how == other.how


class Batcher:
    """A thread that gathers what waits and relaxes it together, a pass at a time.

    A pass has as many atoms as `How` allows. The requests in it take turns, so that a small one does not wait for the
    end of a large one.

    Attributes:
        passes: How many there have been.
    """

    def __init__(self) -> None:
        self._coming: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="relaxing", daemon=True)
        self.passes = 0

    def __enter__(self) -> Batcher:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._coming.put(None)
        self._thread.join()

    def submit(self, relaxer: Relaxer, how: How, crystals: list[Atoms], deadline: Deadline) -> Future[list[Answer]]:
        """Relax crystals, as soon as it is their turn; the future raises what `Deadline.check` does."""
        job = _Job(relaxer=relaxer, how=how, crystals=crystals, deadline=deadline)
        if crystals:
            self._coming.put(job)
        else:
            job.future.set_result([])
        return job.future

    def _work(self) -> None:
        waiting: list[_Job] = []
        while self._gather(waiting):
            together = [job for job in waiting if job.may_go_with(waiting[0])]
            self._pass(together)
            # What could not go with these is first the next time.
            waiting = [job for job in waiting if job not in together] + together
            waiting = [job for job in waiting if not job.future.done()]
        for job in waiting:
            job.future.set_exception(job.deadline.refusal())

    def _gather(self, waiting: list[_Job]) -> bool:
        """Add whatever has come, and wait if there is nothing; say whether to go on."""
        while not waiting or not self._coming.empty():
            job = self._coming.get()
            if job is None:
                return False
            if job.future.set_running_or_notify_cancel():
                waiting.append(job)
        return True

    def _pass(self, jobs: list[_Job]) -> None:
        """Relax the next crystals of each."""
        for job in jobs:
            if not job.deadline.left:
                job.future.set_exception(job.deadline.refusal())
        shares = _shares([job for job in jobs if not job.future.done()])
        if not shares:
            return
        taken = [job.crystals[len(job.answers) : len(job.answers) + share] for job, share in shares]
        self.passes += 1
        try:
            found = iter(answered(jobs[0].relaxer, list(chain.from_iterable(taken)), jobs[0].how))
        except Exception as error:
            if len(shares) > 1:
                # One request must not spoil another.
                for job, _ in shares:
                    self._pass([job])
            else:
                shares[0][0].future.set_exception(error)
            return
        for (job, _), crystals in zip(shares, taken, strict=True):
            job.answers += [next(found) for _ in crystals]
            if len(job.answers) == len(job.crystals):
                job.future.set_result(job.answers)


def _shares(jobs: list[_Job]) -> list[tuple[_Job, int]]:
    """How many crystals of each job are in the next pass: one each in turn, while there is room for atoms."""
    shares = [0] * len(jobs)
    atoms, most = 0, min((job.how.batch_atoms for job in jobs), default=0)
    while atoms < most:
        before = atoms
        for place, job in enumerate(jobs):
            at = len(job.answers) + shares[place]
            if at < len(job.crystals) and atoms < most:
                shares[place] += 1
                atoms += max(len(job.crystals[at]), 1)
        if atoms == before:
            break
    return list(zip(jobs, shares, strict=True))
