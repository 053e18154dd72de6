"""Training what a table still lacks, shared by any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from empnn.reproduce.plan import Cell, Run
from empnn.training.checkpoint import RunState, load_state
from empnn.training.report import Reporter
from empnn.training.run import resume, train
from empnn.training.config import load_config


@dataclass(frozen=True)
class Share:
    """Which runs are left to this process: those whose number is `index` modulo `count`."""

    index: int = 0
    count: int = 1


def unique(cells: Sequence[Cell]) -> list[Run]:
    """The runs of cells, each once, in order."""
    return list({run.name: run for cell in cells for run in cell.runs}.values())


def is_done(run: Run, storage: Path) -> bool:
    """Whether a run has come to its end."""
    state = state_of(run, storage)
    return state is not None and state.step >= load_config(storage / run.name / "config.yaml", whole=True).train.steps
