"""What a search found: a row for each trial, the best first, and the file of these rows."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from empnn.files import replacing
from empnn.search.board import Record
from empnn.search.plan import Parameters

DONE, STOPPED, RUNNING, WAITING, FAILED = "done", "given up", "running", "waiting", "failed"
_ORDER = (DONE, STOPPED, RUNNING, WAITING, FAILED)
_STATES = {TrialState.COMPLETE: DONE, TrialState.PRUNED: STOPPED, TrialState.RUNNING: RUNNING}


@dataclass(frozen=True)
class Row:
    """A trial.

    Attributes:
        trial: Its number.
        status: `done`, `given up`, `running`, `waiting` or `failed`.
        parameters: Its values, by key; those of one that waits may not be drawn yet.
        score: The best score so far: mean fraction of the error removed on the development set.
        best_step: The step it was reached at.
        step: Steps done at the last validation.
        seconds: Training time, once it has ended.
        run: Its run directory.
        message: Why it failed, or who runs it.
    """

    trial: int
    status: str
    parameters: Parameters
    score: float | None
    best_step: int | None
    step: int
    seconds: float | None
    run: str
    message: str | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run_folder(folder: Path, trial: int) -> Path:
    """The run directory of a trial."""
    return folder / f"{trial:04}"


def rows(records: Sequence[Record], folder: Path) -> list[Row]:
    """Trials, the best first: those that ended by score, then those given up, the latest first, then all others."""
    return sorted((_row(record, folder) for record in records), key=_rank)


def _row(record: Record, folder: Path) -> Row:
    status = FAILED if record.error is not None else _STATES.get(record.state, WAITING)
    best = max(record.scores, key=lambda step: record.scores[step], default=None)
    owner = record.owner if status == RUNNING else None
    return Row(
        trial=record.place,
        status=status,
        parameters=record.parameters,
        score=record.run.get("score", None if best is None else record.scores[best]),
        best_step=record.run.get("best_step", best),
        step=record.run.get("step", max(record.scores, default=0)),
        seconds=record.run.get("seconds"),
        run=str(run_folder(folder, record.place)),
        message=record.error if owner is None else f"on {owner.host}, process {owner.process}",
    )


def _rank(row: Row) -> tuple[int, int, float, int]:
    score = -math.inf if row.score is None else row.score
    return _ORDER.index(row.status), -row.step if row.status == STOPPED else 0, -score, row.trial


def write_table(found: Sequence[Row], keys: Sequence[str], path: Path) -> None:
    """Write the rows as CSV, a column for each key; values as in a configuration, no value as nothing."""
    rest = ("score", "best_step", "step", "seconds", "run", "message")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(["trial", "status", *keys, *rest])
        for row in found:
            values = [_text(row.parameters[key]) if key in row.parameters else "" for key in keys]
            table.writerow([row.trial, row.status, *values, *(getattr(row, name) for name in rest)])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
