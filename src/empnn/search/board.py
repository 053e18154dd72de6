"""The board on which processes share the trials of a search.

A trial is known by its place: 0, 1, 2 ... In the storage it has one attempt after another, each a trial of Optuna's.
Where the process of one dies, that attempt fails, and another of the same values takes its place. Whatever two
processes do at the same time: of several attempts that live the first alone counts.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from empnn.errors import ConfigError
from empnn.search.attempt import AFTER, BEATS, DIED, DOUBLE, ENDED, ERROR, HALTED, OWNER, PLACE, RUN, Attempt, Begun
from empnn.search.dimensions import Choices, Dimension
from empnn.search.halving import Scores
from empnn.search.owner import Owner, myself
from empnn.search.plan import Parameters, Plan
from empnn.search.storage import opened, shown

SILENCE = 120.0
"""Seconds without a sign of life after which a process that cannot be looked at is held to be dead."""
TRIES = 5
"""A trial is given up whose process died so often in a row without coming to another validation."""
ENOUGH = 10
"""Trials that have to be through before anything is said of what mattered."""
_POLL = 1.0
_PLAN, _FIXED = "plan", "fixed_params"


@dataclass(frozen=True)
class Record:
    """What the storage knows of a trial.

    Attributes:
        place: Its number in the search.
        attempt: The number of its attempt.
        state: Where it stands, in Optuna's word.
        parameters: Its values, as far as they are drawn.
        scores: What its validations found, by step.
        owner: Whose it is, or was last.
        beats: How often that process said that it lives.
        after: Why the attempt before failed, if there was one.
        ended: Why this one failed, if it did.
        halted: The step at which it was given up, if it was.
        error: Why there never will be a score, if that is so.
        run: What the run came to.
    """

    place: int
    attempt: int
    state: TrialState
    parameters: Parameters
    scores: dict[int, float]
    owner: Owner | None
    beats: int
    after: str | None
    ended: str | None
    halted: int | None
    error: str | None
    run: dict[str, Any]

    @property
    def lives(self) -> bool:
        """Whether this attempt is, or may become, what counts."""
        return self.state != TrialState.FAIL


class Board:
    """The trials of a search.

    Args:
        storage: A file, or the address of a database.
        plan: The search.
        name: What it is called there.
        share: (i, n): begin every n-th trial only, from the i-th on.

    Raises:
        ConfigError: If the storage cannot be opened, or holds a search of this name with other settings; if the share
            is empty.
    """

    def __init__(self, storage: str, plan: Plan, name: str, share: tuple[int, int] = (0, 1)) -> None:
        if share[0] >= plan.count:
            raise ConfigError(f"`shard` {share[0]}/{share[1]}: there are only {plan.count} trials; take fewer shares")
        self.plan = plan
        self._share = share
        self._storage = opened(storage)
        self._study = optuna.create_study(
            storage=self._storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._id = self._storage.get_study_id_from_name(name)
        self._distributions = {key: _distribution(each) for key, each in plan.dimensions.items()}
        self._signs: dict[int, _Signs] = {}
        self._agree(storage)

    def records(self) -> list[Record]:
        """All trials by place; of each the attempt that counts."""
        found: dict[int, Record] = {}
        for record in self._attempts():
            known = found.get(record.place)
            if known is None or not known.lives:
                found[record.place] = record
        return [found[place] for place in sorted(found)]

    def importances(self) -> dict[str, float]:
        """How much each dimension had to do with the best scores, together 1; empty where too few trials are through.

        PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), as Optuna has it.
        """
        ended = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if len(ended) < ENOUGH or len({trial.value for trial in ended}) == 1:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(self._study)
        return {key: float(share) for key, share in found.items()}

    def next(self) -> Attempt | None:
        """Begin or take up a trial of the share; None if there is no work but what others are at.

        Where a process cannot be looked at, this waits until it says that it lives, or is silent for long.
        """
        while True:
            in_doubt = self._bury()
            self._fill()
            attempt = self._begin()
            if attempt is not None or not in_doubt:
                return attempt
            time.sleep(_POLL)

    def _agree(self, storage: str) -> None:
        """Write down what is searched, or make sure that it is what is written there."""
        here = self.plan.identity
        if _PLAN not in self._study.user_attrs:
            self._study.set_user_attr(_PLAN, here)
        there = self._study.user_attrs[_PLAN]
        for key in dict.fromkeys([*there, *here]):
            if there.get(key) != here.get(key):
                raise ConfigError(
                    f"{shown(storage)} holds another search {self._study.study_name}: {key}={there.get(key)} there, "
                    f"{here.get(key)} here; choose another `storage`, or another `folder`"
                )

    def _attempts(self) -> list[Record]:
        trials = self._study.get_trials(deepcopy=False)
        return [self._record(trial) for trial in trials if PLACE in trial.user_attrs]

    def _record(self, trial: FrozenTrial) -> Record:
        said, drawn = trial.user_attrs, {**trial.system_attrs.get(_FIXED, {}), **trial.params}
        return Record(
            place=said[PLACE],
            attempt=trial.number,
            state=trial.state,
            parameters={
                key: json.loads(drawn[key]) if isinstance(each, Choices) else drawn[key]
                for key, each in self.plan.dimensions.items()
                if key in drawn
            },
            scores=dict(trial.intermediate_values),
            owner=Owner(**said[OWNER]) if OWNER in said else None,
            beats=said.get(BEATS, 0),
            after=said.get(AFTER),
            ended=said.get(ENDED),
            halted=said.get(HALTED),
            error=said.get(ERROR),
            run=said.get(RUN, {}),
        )

    def _bury(self) -> bool:
        """Fail the attempts of processes that are dead; whether there are some that may be."""
        in_doubt = False
        for record in self._attempts():
            if record.state != TrialState.RUNNING or not self._is_ours(record):
                continue
            dead = None if record.owner is None else record.owner.is_dead
            if dead is None:
                signs = self._signs.setdefault(record.attempt, _Signs(record.beats))
                dead = signs.are_missed(record.beats)
            if dead:
                self._fail(record.attempt, DIED)
            in_doubt |= dead is None
        return in_doubt

    def _fill(self) -> None:
        """Give every place that has no attempt that lives another one."""
        attempts: dict[int, list[Record]] = {}
        for record in self._attempts():
            attempts.setdefault(record.place, []).append(record)
        number, of = self._share
        for place in range(number, self.plan.count, of):
            earlier = attempts.get(place, [])
            if not any(record.lives for record in earlier):
                self._study.add_trial(self._another(place, [each for each in earlier if each.ended != DOUBLE]))

    def _another(self, place: int, earlier: list[Record]) -> FrozenTrial:
        """An attempt that goes on where the last one ended, or gives up."""
        if not earlier:
            fixed: dict[str, Any] = {} if self.plan.combinations is None else self.plan.combinations[place]
            return create_trial(state=TrialState.WAITING, user_attrs={PLACE: place}, system_attrs={_FIXED: fixed})
        last = earlier[-1]
        said = {PLACE: place, AFTER: last.ended}
        if last.halted is not None:
            said[HALTED] = last.halted
        fixed = {
            key: json.dumps(value) if isinstance(self.plan.dimensions[key], Choices) else value
            for key, value in last.parameters.items()
        }
        if _deaths(earlier) < TRIES:
            return create_trial(
                state=TrialState.WAITING,
                user_attrs=said,
                system_attrs={_FIXED: fixed},
                intermediate_values=last.scores,
            )
        return create_trial(
            state=TrialState.PRUNED,
            params=fixed,
            distributions={key: self._distributions[key] for key in fixed},
            user_attrs={**said, ERROR: f"its process died {TRIES} times in a row; is there memory enough?"},
            intermediate_values=last.scores,
        )

    def _begin(self) -> Attempt | None:
        """Take the first trial that waits, before somebody else does."""
        attempts = self._attempts()
        living = {record.place: record.attempt for record in reversed(attempts) if record.lives}
        waiting = [record for record in attempts if record.state == TrialState.WAITING]
        for record in sorted(waiting, key=lambda record: record.place):
            if record.place >= self.plan.count or not self._is_ours(record):
                continue
            if living[record.place] != record.attempt:
                self._fail(record.attempt, DOUBLE)
            elif (attempt := self._taken(record)) is not None:
                return attempt
        return None

    def _is_ours(self, record: Record) -> bool:
        number, of = self._share
        return record.place % of == number

    def _taken(self, record: Record) -> Attempt | None:
        number = self._number(record.attempt)
        try:
            if not self._storage.set_trial_state_values(number, TrialState.RUNNING):
                return None
        except UpdateFinishedTrialError:
            return None
        owner = myself()
        self._storage.set_trial_user_attr(number, OWNER, asdict(owner))
        begun = Begun(record.place, self._drawn(record.place, number), record.scores, record.halted, record.after)

        def others() -> Iterator[Scores]:
            return (each.scores for each in self.records() if each.place != record.place)

        return Attempt(self._storage, number, owner, begun, others)

    def _drawn(self, place: int, number: int) -> Parameters:
        """The values of a trial: fixed, or proposed by what is known of others and by its place."""
        seed = int(np.random.default_rng([self.plan.seed, place]).integers(2**31))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = optuna.trial.Trial(self._study, number)
        parameters: Parameters = {}
        for key, each in self.plan.dimensions.items():
            if isinstance(each, Choices):
                parameters[key] = json.loads(trial.suggest_categorical(key, each.texts))
            elif each.whole:
                parameters[key] = trial.suggest_int(key, int(each.low), int(each.high), log=each.log)
            else:
                parameters[key] = trial.suggest_float(key, each.low, each.high, log=each.log)
        return parameters

    def _fail(self, attempt: int, why: str) -> None:
        number = self._number(attempt)
        try:
            self._storage.set_trial_user_attr(number, ENDED, why)
            self._storage.set_trial_state_values(number, TrialState.FAIL)
        except UpdateFinishedTrialError:
            # Somebody else was faster, or it was not dead and is at its end by now.
            return

    def _number(self, attempt: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, attempt)


class _Signs:
    """The signs of life of a process elsewhere, by the clock of this one."""

    def __init__(self, beats: int) -> None:
        self._first = self._last = beats
        self._since = time.monotonic()

    def are_missed(self, beats: int) -> bool | None:
        """Whether it is dead, for it was silent for long; None before it was heard or is overdue."""
        now = time.monotonic()
        if beats != self._last:
            self._last, self._since = beats, now
        if now - self._since > SILENCE:
            return True
        return False if beats != self._first else None


def _distribution(each: Dimension) -> BaseDistribution:
    if isinstance(each, Choices):
        return CategoricalDistribution(each.texts)
    if each.whole:
        return IntDistribution(int(each.low), int(each.high), log=each.log)
    return FloatDistribution(each.low, each.high, log=each.log)


def _deaths(attempts: list[Record]) -> int:
    """How often the process of a trial died in a row at the same validation."""
    count = 0
    for record in reversed(attempts):
        if record.ended != DIED or len(record.scores) != len(attempts[-1].scores):
            break
        count += 1
    return count
