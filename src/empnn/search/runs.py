"""One trial: an ordinary run in a directory of its own, watched, and given up where others do better."""

from __future__ import annotations

import math
import shutil
from datetime import timedelta
from pathlib import Path

import torch

from empnn.errors import ConfigError
from empnn.search.attempt import Attempt
from empnn.search.plan import Plan
from empnn.training.checkpoint import RunState, run_state
from empnn.training.config import essence, load_config
from empnn.training.options import Config
from empnn.training.report import Reporter
from empnn.training.run import resume, train
from empnn.training.task import DivergedError, Outcome


def run_trial(plan: Plan, attempt: Attempt, folder: Path, quiet: bool = False) -> str:
    """Train to the end, or until the trial is given up; what became of it, in words.

    Args:
        plan: The search.
        attempt: The trial.
        folder: The run directory; what is there of the trial is gone on with.
        quiet: Show no progress.

    Raises:
        ConfigError: If the data cannot be used, or another run lies in the folder.
        LostError: If another process has the trial by now.
    """
    try:
        config = plan.config(attempt.begun.parameters)
    except ConfigError as error:
        return _failed(attempt, str(error))
    config.train.out = str(folder)
    if attempt.halted is None:
        try:
            _train(config, folder, _Watch(plan, attempt, quiet))
        except _GivenUpError:
            pass
        except DivergedError as error:
            return _failed(attempt, str(error))
        except (MemoryError, torch.OutOfMemoryError):
            attempt.crash()
            return "out of memory"
    state = run_state(folder) or _state_of(attempt)
    if not math.isfinite(state.best_score):
        return _failed(attempt, "no validation found a number")
    attempt.finish(state.best_score, {"best_step": state.best_step, "step": state.step, "seconds": state.seconds})
    removed = f"{100 * state.best_score:z.1f} % removed at step {state.best_step:,}"
    given_up = "" if attempt.halted is None else f", given up at step {state.step:,}"
    return f"{removed}{given_up}, {timedelta(seconds=round(state.seconds))}"


class _GivenUpError(Exception):
    """The run is not worth going on with."""


class _Watch(Reporter):
    """Reports validations to the board, and shows a progress bar in a terminal."""

    def __init__(self, plan: Plan, attempt: Attempt, quiet: bool) -> None:
        super().__init__(quiet)
        self._halving, self._attempt = plan.halving, attempt

    def note(self, text: str) -> None:
        """Nothing: there are many runs."""

    def step(self) -> None:
        """Count a step, if the trial is still ours."""
        self._attempt.check()
        super().step()

    def validated(self, state: RunState, steps: int, outcome: Outcome, better: bool) -> None:
        """Tell the score, and compare it with those of others."""
        attempt = self._attempt
        attempt.report(state.step, outcome.score)
        if self._halving is not None and self._halving.stops(attempt.scores, attempt.others(), steps):
            attempt.halt(state.step)

    def saved(self, state: RunState) -> None:
        """End the run where it is given up, now that it could be gone on with."""
        if self._attempt.halted is not None:
            raise _GivenUpError


def _train(config: Config, folder: Path, watch: _Watch) -> None:
    """Train, or go on from the last checkpoint; a run that has none begins again."""
    if (folder / "config.yaml").is_file():
        there = load_config(folder / "config.yaml", whole=True)
        if essence(there) != essence(config):
            raise ConfigError(f"{folder} holds another run; move it away, or choose another `storage`")
        if run_state(folder) is not None:
            resume(folder, watch)
            return
        shutil.rmtree(folder)
    train(config, watch)


def _state_of(attempt: Attempt) -> RunState:
    """Where a run stands that was given up on another machine, as far as the board knows."""
    best = max(attempt.scores, key=lambda step: attempt.scores[step])
    return RunState(step=max(attempt.scores), best_score=attempt.scores[best], best_step=best)


def _failed(attempt: Attempt, why: str) -> str:
    attempt.fail(why)
    return f"failed: {why}"
