"""Successive halving: which runs are worth going on with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Scores = Mapping[int, float]
"""What the validations of a run found, by step; higher is better."""


@dataclass(frozen=True)
class Halving:
    """At some steps, the rungs, a run goes on only if it is among the best of those that came so far.

    Nobody waits for others: the part is that of the runs that are at the rung by now (asynchronous successive halving,
    Li et al., MLSys 2020), and the first to arrive goes on.

    Attributes:
        first: The first rung, in steps; each further one is `factor` times as far.
        factor: One of so many goes on.
    """

    first: int
    factor: int

    def rungs(self, steps: int) -> Iterator[int]:
        """The rungs of runs of so many steps; the end is none."""
        rung = self.first
        while rung < steps:
            yield rung
            rung *= self.factor

    def stops(self, own: Scores, others: Iterable[Scores], steps: int) -> bool:
        """Whether a run ends with its last validation.

        Args:
            own: Its scores, the last of which is new.
            others: Those of all others.
            steps: Steps of a whole run.
        """
        last = max(own)
        before = max((step for step in own if step < last), default=0)
        passed = [rung for rung in self.rungs(steps) if before < rung <= last]
        if last >= steps or not passed:
            return False
        rung = passed[-1]
        mine = max(own.values())
        arrived = [score for score in (_best_at(other, rung) for other in others) if score is not None]
        better = sum(score > mine for score in arrived)
        return better >= max(1, (len(arrived) + 1) // self.factor)


def _best_at(scores: Scores, rung: int) -> float | None:
    """The best score up to the first validation at or after a rung; None if there was none yet."""
    there = min((step for step in scores if step >= rung), default=None)
    return None if there is None else max(score for step, score in scores.items() if step <= there)
