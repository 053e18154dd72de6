"""What changed over all structures of a run, in a few lines."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from empnn.bulk.pipeline import SUSPECT, Outcome
from empnn.relax.fixed import said_of_fixed

FEW = 5
"""Suspects that are called by their names."""
UNITS = {"volume": "%", "length": "Å", "position": "Å"}
"""The units of predicted errors."""
_STEPS = {"%": 0.01, "Å": 1e-4}
"""To what values are counted, by unit: a tenth of the last digit that is shown."""
_PLURALS = {"length": "lengths", "position": "positions"}
_NO_PERCENT, _NO_ANGSTROM = 0.05, 5e-4
"""Changes below these are shown as none."""


@dataclass
class Values:
    """A number of each of many structures: how often which size occurs, and where it is farthest from zero.

    Attributes:
        unit: The unit of all.
        counts: How many have an absolute value of so many steps of the unit; however many there are, sizes are few.
        largest: The value that is farthest from zero.
        where: The name of the structure that has it.
    """

    unit: str
    counts: Counter[int] = field(default_factory=Counter)
    largest: float = 0.0
    where: str = ""

    def add(self, value: float, name: str) -> None:
        """Take that of one more structure, unless it is no finite number."""
        if not math.isfinite(value):
            return
        self.counts[round(abs(value) / _STEPS[self.unit])] += 1
        if not self.where or abs(value) > abs(self.largest):
            self.largest, self.where = value, name

    def __len__(self) -> int:
        return self.counts.total()

    @property
    def digits(self) -> str:
        """The format in which values are shown."""
        return ".1f" if self.unit == "%" else ".3f"

    @property
    def median(self) -> float:
        """The median of the absolute values, to the step of the unit; 0 if there are none."""
        if not self.counts:
            return 0.0
        sizes = sorted(self.counts)
        reached = list(accumulate(self.counts[size] for size in sizes))
        # The two in the middle, which are one if the number is odd.
        low, high = (sizes[bisect_right(reached, at)] for at in ((len(self) - 1) // 2, len(self) // 2))
        return (low + high) / 2 * _STEPS[self.unit]


@dataclass
class Overall:
    """What changed over all structures of a run; does not grow with their number.

    Attributes:
        statuses: How many became what.
        volume: Changes of the volume, per cent.
        displacement: How far the atom moved that moved most, angstrom.
        errors: Predicted errors by name, without bounds.
        predicted: The names of all that is predicted.
        kept: How many keep what the input fixes.
        ignored: How many have constraints that are ignored.
        ignored_kinds: The kinds of these constraints.
        suspects: Names of the first suspects, and the main reason to doubt each.
        oracle: The name of what relaxed on from there, if anything did.
        on: Changes of the volume by that, per cent of the network's answer.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    volume: Values = field(default_factory=lambda: Values("%"))
    displacement: Values = field(default_factory=lambda: Values("Å"))
    errors: dict[str, Values] = field(default_factory=dict)
    predicted: list[str] = field(default_factory=list)
    kept: int = 0
    ignored: int = 0
    ignored_kinds: set[str] = field(default_factory=set)
    suspects: list[tuple[str, str]] = field(default_factory=list)
    oracle: str | None = None
    on: Values = field(default_factory=lambda: Values("%"))

    def add(self, outcome: Outcome) -> None:
        """Take what became of one more structure."""
        self.statuses[outcome.status] += 1
        if outcome.change is not None:
            self.volume.add(outcome.change["volume_change"], outcome.name)
            self.displacement.add(outcome.change["displacement"], outcome.name)
        for name, value in (outcome.errors or {}).items():
            if value is not None and name not in self.predicted:
                self.predicted.append(name)
            if value is not None and name in UNITS:
                self.errors.setdefault(name, Values(UNITS[name])).add(value, outcome.name)
        kept, ignored = said_of_fixed(outcome.warnings)
        self.kept += kept
        self.ignored += bool(ignored)
        self.ignored_kinds.update(ignored)
        if outcome.then is not None:
            change = change_on(outcome.then["volume_before"], outcome.then["volume"])
            if change is not None:
                self.on.add(change, outcome.name)
        if outcome.status == SUSPECT and len(self.suspects) < FEW:
            self.suspects.append((outcome.name, next(iter(outcome.warnings), "no reason given")))

    def lines(self) -> Iterator[str]:
        """What changed, in words; nothing that did not change."""
        if abs(self.volume.largest) >= _NO_PERCENT:
            yield f"volume changed by: {_spread(self.volume, '+.1f')}"
        if abs(self.on.largest) >= _NO_PERCENT:
            yield f"volume changed by {self.oracle} from there: {_spread(self.on, '+.1f')}"
        if self.displacement.largest >= _NO_ANGSTROM:
            yield f"atoms moved by: {_spread(self.displacement, '.3f')}"
        for name, values in self.errors.items():
            yield f"predicted error of {_PLURALS.get(name, name)}: {_spread(values, values.digits)}"
        if self.kept or self.ignored:
            yield self._fixed()
        for name, reason in self.suspects:
            yield f"suspect: {name} ({reason})"
        if more := self.statuses[SUSPECT] - len(self.suspects):
            yield f"suspect: {more:,} more"

    def _fixed(self) -> str:
        """How many keep what the input fixes, and how many have constraints that are ignored."""
        keep = f"{_crystals(self.kept)} {'keeps' if self.kept == 1 else 'keep'} fixed coordinates"
        if not self.ignored:
            return keep
        who = f"{self.ignored:,}" if self.kept else _crystals(self.ignored)
        kinds = ", ".join(sorted(self.ignored_kinds))
        have = f"{who} {'has' if self.ignored == 1 else 'have'} constraints that are ignored ({kinds})"
        return f"{keep}; {have}" if self.kept else have


def change_on(before: float, after: float | None) -> float | None:
    """By how many per cent the volume changed after the network's answer; None where it was not relaxed on."""
    return None if after is None else 100 * (after / before - 1)


def _crystals(count: int) -> str:
    return f"{count:,} crystal{'s' * (count != 1)}"


def _spread(values: Values, digits: str) -> str:
    """The median and the largest value, or the only one."""
    unit = values.unit
    largest = f"{values.largest:{digits}} {unit}"
    if len(values) == 1:
        return f"{largest} ({values.where})"
    return f"{values.median:{digits.removeprefix('+')}} {unit} in the median, {largest} at most ({values.where})"
