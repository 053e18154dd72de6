"""What a training run tells its user, on stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from empnn.terminal import bar, stderr
from empnn.training.checkpoint import RunState

if TYPE_CHECKING:
    from empnn.training.module import Denoising
    from empnn.training.task import Outcome

_SMOOTHING = 0.98
_SHOWN_REFUSALS = 5
_PATIENCE = 5.0
"""Seconds of work after which somebody who sees no bar is told of it, and how long it goes on can be told."""


class Reporter:
    """Prints a line per validation, below them a progress bar in a terminal; silent if quiet.

    Args:
        quiet: Say nothing.
        wording: What makes of a line, which names arguments in backticks, the line that is printed.
    """

    def __init__(self, quiet: bool = False, wording: Callable[[str], str] = str) -> None:
        self._wording = wording
        self.console = stderr(quiet)
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("score {task.fields[score]:.3f}"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._shown = not quiet and self.console.is_terminal
        self._progress = Progress(*columns, console=self.console, disable=not self._shown, transient=True)
        self._task = self._progress.add_task("train", total=None, loss=math.nan, score=math.nan)
        self._loss: float | None = None

    def note(self, text: str) -> None:
        """One line."""
        self.console.print(self._wording(text), markup=False)

    @contextmanager
    def watch(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """A bar for work that is done once, if there is any; where there is no terminal, a line that says how long.

        What is yielded takes the number of items that were done since it was called last.
        """
        progress = bar(what, self.console, not self._shown)
        task = progress.add_task(what, total=size)
        began, done, said = time.perf_counter(), 0, self._shown

        def count(more: int) -> None:
            nonlocal done, said
            done += more
            progress.start()
            progress.advance(task, more)
            seconds = time.perf_counter() - began
            if not said and done and seconds > _PATIENCE:
                said = True
                self.note(f"{what}, once: about {_clock(seconds / done * (size - done))} left")

        try:
            yield count
        finally:
            progress.stop()

    def close(self) -> None:
        """Take the progress bar away."""
        self._progress.stop()

    def started(self, folder: Path, module: Denoising, data: str, refused: Sequence[str]) -> None:
        """What is about to be trained, on what, and where it goes."""
        parameters = sum(p.numel() for p in module.network.parameters())
        self.note(
            f"{folder}: {data}; {parameters:,} parameters; steps {module.state.step:,} to {module.config.train.steps:,}"
        )
        for message in refused[:_SHOWN_REFUSALS]:
            self.note(f"left out: {message}")
        if len(refused) > _SHOWN_REFUSALS:
            self.note(f"left out: {len(refused) - _SHOWN_REFUSALS} more")
        self._progress.update(self._task, total=module.config.train.steps, completed=module.state.step)
        self._progress.start()

    def step(self, loss: float | None) -> None:
        """Count a step and follow the smoothed loss, where it is known and finite."""
        if loss is not None and math.isfinite(loss):
            self._loss = loss if self._loss is None else _SMOOTHING * self._loss + (1 - _SMOOTHING) * loss
        self._progress.update(self._task, advance=1, loss=math.nan if self._loss is None else self._loss)

    def validated(self, state: RunState, steps: int, outcome: Outcome, better: bool) -> None:
        """One line per validation: loss, what was found, time left."""
        self._progress.update(self._task, score=outcome.score)
        if state.step == 0:
            self.note(f"before training: {outcome.words}")
            return
        left = state.seconds / state.step * (steps - state.step)
        self.note(
            f"step {state.step:>6,}/{steps:,}  loss {self._loss or 0.0:.4f}  {outcome.words}"
            f"{' *' if better else '  '}  {_clock(state.seconds)} done, {_clock(left)} left"
        )

    def interrupted(self, folder: Path, step: int, saved: int) -> None:
        """Where to go on."""
        if saved:
            self.note(f"stopped at step {step:,}; go on from step {saved:,} with: empnn train `resume` {folder}")
        else:
            self.note(f"stopped at step {step:,}, before the first checkpoint; remove {folder} and start again")

    def finished(self, folder: Path, state: RunState) -> None:
        """What was written where."""
        skipped = f"; {state.skipped_steps} steps with a gradient that was not finite" if state.skipped_steps else ""
        self.note(
            f"done in {_clock(state.seconds)}{skipped}; best weights (step {state.best_step:,}) in {folder / 'best'}, "
            f"use them with `model` {folder}"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
