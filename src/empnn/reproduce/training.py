"""Training what a table still lacks, shared by any number of processes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from empnn.errors import ConfigError
from empnn.files import replacing
from empnn.reproduce.plan import Cell, Run
from empnn.training.checkpoint import RunState, run_state
from empnn.training.config import essence, load_config
from empnn.training.options import Config
from empnn.training.report import Reporter
from empnn.training.run import resume, train
from empnn.training.task import DivergedError

DONE, ELSEWHERE, LEFT, DIVERGED = "done", "in the hands of another process", "left to others", "diverged"
"""What became of runs."""
_DIVERGED = "diverged.txt"
"""A file in the folder of a run that diverged, and why."""


def unique(cells: Sequence[Cell]) -> list[Run]:
    """The runs of cells, each once, in order."""
    return list({run.name: run for cell in cells for run in cell.runs}.values())


def state_of(run: Run, storage: Path) -> RunState | None:
    """Where a run stands once all its steps are done, else None.

    Raises:
        ConfigError: If another run lies where this one is to lie.
    """
    state = run_state(storage / run.name)
    if state is None:
        return None
    _check_same(run, storage)
    return None if state.step < _planned(run, storage).train.steps else state


def has_diverged(run: Run, storage: Path) -> bool:
    """Whether a run was given up because its training diverged; without its folder it is trained anew.

    Raises:
        ConfigError: If another run lies where this one is to lie.
    """
    if not (storage / run.name / _DIVERGED).is_file():
        return False
    _check_same(run, storage)
    return True


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
        if has_diverged(run, storage):
            became[DIVERGED] += 1
        elif state_of(run, storage) is not None:
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
            if has_diverged(run, storage):
                return DIVERGED
            if state_of(run, storage) is None:
                say(f"{number}: {run.name}")
                _train_locked(run, storage, reporter())
            return DONE
    except Timeout:
        return ELSEWHERE
    except DivergedError as error:
        say(f"{run.name} diverged")
        with replacing(folder / _DIVERGED) as temporary:
            temporary.write_text(f"{error}\n")
        return DIVERGED


def _train_locked(run: Run, storage: Path, reporter: Reporter) -> None:
    folder = storage / run.name
    if run_state(folder) is None:
        # What was begun and never came to a checkpoint is begun anew.
        shutil.rmtree(folder, ignore_errors=True)
        train(run.config(storage), reporter)
    else:
        resume(folder, reporter)


def _check_same(run: Run, storage: Path) -> None:
    folder = storage / run.name
    if essence(load_config(folder / "config.yaml", whole=True)) != _planned(run, storage):
        raise ConfigError(f"{folder} holds a run with other settings; move it away, or choose another storage")


@cache
def _planned(run: Run, storage: Path) -> Config:
    return essence(run.config(storage))
