"""What a training run tells its user, on stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from empnn.terminal import bar, stderr
from empnn.training import table
from empnn.training.checkpoint import RunState

if TYPE_CHECKING:
    from empnn.training.module import Denoising
    from empnn.training.task import Outcome

WORSE = "worse_than_nothing"
"""The entry of a card that names the parts of the error that doing nothing leaves smaller."""
_SHOWN_REFUSALS = 5
_FEW = 10
"""With fewer crystals to select by, which weights are the best is much a matter of chance."""
_PATIENCE = 5.0
"""Seconds of work after which somebody who sees no bar is told of it, and how long it goes on can be told."""
_BESIDE_BAR = 60
"""Columns that the numbers beside the bar may take."""
_WIDEST_BAR = 40


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
            BarColumn(max(4, min(_WIDEST_BAR, self.console.width - _BESIDE_BAR))),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._shown = not quiet and self.console.is_terminal
        self._progress = Progress(*columns, console=self.console, disable=not self._shown, transient=True)
        self._task = self._progress.add_task("train", total=None, loss="-", batch=0)
        self._loss: float | None = None
        self._headed = False

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

    def started(self, folder: Path, module: Denoising, data: str, refused: Sequence[str], select: int) -> None:
        """What is about to be trained, on what and selected by how many, and where it goes."""
        parameters = sum(p.numel() for p in module.network.parameters())
        step, settings = module.state.step, module.config.train
        self.note(f"{folder}: {data}")
        self.note(
            f"{parameters:,} parameters; steps {step:,} to {settings.steps:,}, of {settings.batch_size:,} crystals"
        )
        for message in refused[:_SHOWN_REFUSALS]:
            self.note(f"left out: {message}")
        if len(refused) > _SHOWN_REFUSALS:
            self.note(f"left out: {len(refused) - _SHOWN_REFUSALS} more")
        if select < _FEW:
            self.note(f"so few to select by ({select}) tell little: give more crystals, or a larger data.dev_fraction")
        self._progress.update(self._task, total=settings.steps, completed=step, batch=settings.batch_size)
        self._progress.start()

    def extended(self, folder: Path, state: RunState, rate: float, peak: float) -> None:
        """That a run gets more steps, and at which learning rate it goes on."""
        now = f"{rate:.2g}, {rate / peak:.0%} of its peak"
        self.note(f"{folder}: goes on after step {state.step:,}, at a learning rate of {now}")

    def step(self) -> None:
        """Count a step."""
        self._progress.update(self._task, advance=1)

    def logged(self, loss: float) -> None:
        """Show the mean loss of the last steps."""
        self._loss = loss if math.isfinite(loss) else None
        self._progress.update(self._task, loss="-" if self._loss is None else f"{self._loss:.4f}")

    def validated(self, state: RunState, steps: int, outcome: Outcome, better: bool) -> None:
        """One line per validation: loss, what was found, time left."""
        if not self._headed:
            self._headed = True
            for text in table.heading(outcome.removed):
                self.note(text)
        left = _clock(state.seconds / state.step * (steps - state.step)) if state.step else ""
        self.note(table.line(state.step, self._loss, outcome.removed, outcome.score, better, left))

    def saved(self, state: RunState) -> None:
        """A validation's checkpoint is written: here a subclass may end the run by raising."""

    def interrupted(self, folder: Path, step: int, saved: int) -> None:
        """Where to go on."""
        if saved:
            self.note(f"stopped at step {step:,}; go on from step {saved:,} with: empnn train `resume` {folder}")
        else:
            self.note(f"stopped at step {step:,}, before the first checkpoint; remove {folder} and start again")

    def finished(self, folder: Path, state: RunState, batch_size: int, card: dict[str, Any]) -> None:
        """What was written where, and what its card warns of."""
        skipped = f"; {state.skipped_steps} steps with a gradient that was not finite" if state.skipped_steps else ""
        rate = f"{state.step * batch_size / max(state.seconds, 1e-9):,.0f} crystals/s"
        self.note(f"done in {_clock(state.seconds)}, {rate}{skipped}")
        self.note(f"best weights (step {state.best_step:,}) in {folder / 'best'}; use them with `model` {folder}")
        if state.best_step == 0:
            self.note(f"no step did better than {card.get('start_from')}, which training started from")
        if worse := card.get(WORSE):
            self.note(f"warning: worse than doing nothing at {', '.join(worse)}; train longer, or on more crystals")


class _Rate(ProgressColumn):
    """Crystals per second."""

    def render(self, task: Task) -> Text:
        """What the steps of the last half minute make."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed * task.fields['batch']:,.0f} crystals/s")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
