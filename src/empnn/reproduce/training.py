"""Training what a table still lacks, shared by any number of processes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from empnn.errors import ConfigError
from empnn.reproduce.plan import Cell, Run
from empnn.training.checkpoint import RunState, run_state
from empnn.training.config import essence, load_config
from empnn.training.report import Reporter
from empnn.training.run import resume, train
from empnn.training.task import DivergedError

DONE, ELSEWHERE, LEFT, FAILED = "done", "in the hands of another process", "left to others", "failed"
"""What became of runs."""


def unique(cells: Sequence[Cell]) -> list[Run]:
    """The runs of cells, each once, in order."""
    return list({run.name: run for cell in cells for run in cell.runs}.values())


def state_of(run: Run, storage: Path) -> RunState | None:
    """Where a run stands once all its steps are done, else None."""
    folder = storage / run.name
    state = run_state(folder)
    if state is None or state.step < load_config(folder / "config.yaml", whole=True).train.steps:
        return None
    return state


def train_missing(
    runs: Sequence[Run],
    storage: Path,
    reporter: Callable[[], Reporter],
    say: Callable[[str], None],
    share: tuple[int, int] = (0, 1),
) -> Counter[str]:
    """Train what is not trained, or go on with it; how many runs became what.

    A process holds a lock on the run it trains, so that any number of them may work on one storage at a time; the
    system releases it however that process ends.

    Args:
        runs: What is to be trained.
        storage: Folder of the run directories.
        reporter: Makes who is told of a run.
        say: Takes a line per run.
        share: (i, n): only every n-th run, from the i-th on.

    Raises:
        ConfigError: If the data cannot be used, or another run lies where one of these is to lie.
    """
    index, count = share
    became: Counter[str] = Counter()
    for number, run in enumerate(runs):
        if state_of(run, storage) is not None:
            became[DONE] += 1
        elif number % count != index:
            became[LEFT] += 1
        else:
            became[_train(run, storage, reporter, say, f"{number + 1} of {len(runs)}")] += 1
    return became


def _train(run: Run, storage: Path, reporter: Callable[[], Reporter], say: Callable[[str], None], number: str) -> str:
    folder = storage / run.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{folder}.lock", timeout=0):
            if state_of(run, storage) is None:
                say(f"{number}: {run.name}")
                _train_locked(run, storage, reporter())
            return DONE
    except Timeout:
        return ELSEWHERE
    except DivergedError as error:
        say(f"{run.name}: {error}")
        return FAILED


def _train_locked(run: Run, storage: Path, reporter: Reporter) -> None:
    folder, config = storage / run.name, run.config(storage)
    if run_state(folder) is None:
        # What was begun and never came to a checkpoint is begun anew.
        shutil.rmtree(folder, ignore_errors=True)
        train(config, reporter)
        return
    if essence(load_config(folder / "config.yaml", whole=True)) != essence(config):
        raise ConfigError(f"{folder} holds a run with other settings; move it away, or choose another storage")
    resume(folder, reporter)
