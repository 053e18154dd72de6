"""The figures of a run: a table in CSV, a row per step that was logged, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tensorboardX import SummaryWriter
from torch import Tensor

from empnn.files import replacing

TABLE, EVENTS = "metrics.csv", "tensorboard"
_STEP = "step"


class Log:
    """Writes figures under the step of the run, which goes on counting where a run is resumed.

    Args:
        folder: The run directory, which gets `metrics.csv` and the folder `tensorboard`.
        step: Steps done; what was logged of later ones, which are done again, is dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / TABLE
        rows = [row for row in _rows(self._path) if int(row[_STEP]) <= step]
        self._columns = list(dict.fromkeys([_STEP, *(name for row in rows for name in row)]))
        if rows:
            self._write(rows)
        else:
            self._path.unlink(missing_ok=True)
        self._events = SummaryWriter(str(folder / EVENTS), purge_step=step + 1 if step else None)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures by name, once per step; names with a slash are in groups, in TensorBoard only."""
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()
        row = {_STEP: str(step), **{name.rpartition("/")[2]: repr(float(value)) for name, value in figures.items()}}
        new = [name for name in row if name not in self._columns]
        if new or not self._path.exists():
            self._columns += new
            self._write([*_rows(self._path), row])
        else:
            with self._path.open("a", encoding="utf-8", newline="") as handle:
                handle.write(self._text([row]))

    def close(self) -> None:
        """Nothing more comes."""
        self._events.close()

    def _write(self, rows: list[dict[str, str]]) -> None:
        with replacing(self._path) as temporary:
            temporary.write_text(",".join(self._columns) + "\n" + self._text(rows), encoding="utf-8")

    def _text(self, rows: list[dict[str, str]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, lineterminator="\n").writerows(rows)
        return text.getvalue()


class Losses:
    """The mean loss of the steps since it was asked for last, and their speed; losses that are not finite count not.

    What adds up lies where the losses do: only who asks waits for a GPU.

    Args:
        step: Steps done.
        total: What adds up numbers of all processes that train.
    """

    def __init__(self, step: int, total: Callable[..., Sequence[float]] = lambda *numbers: numbers) -> None:
        self._total = total
        self._step = step
        self._sum: Tensor | float = 0.0
        self._count: Tensor | float = 0.0
        self._since = time.perf_counter()

    def add(self, loss: Tensor) -> None:
        """One step."""
        known = torch.isfinite(loss)
        self._sum = self._sum + torch.where(known, loss.detach(), 0.0)
        self._count = self._count + known

    def mean(self, step: int) -> tuple[float, float]:
        """The mean, NaN if there is none, and steps per second; from here on it is another mean."""
        added, count = self._total(float(self._sum), float(self._count))
        found, now = added / count if count else math.nan, time.perf_counter()
        speed = (step - self._step) / (now - self._since)
        self._step, self._sum, self._count, self._since = step, 0.0, 0.0, now
        return found, speed

    def restart(self) -> None:
        """Leave out of the speed what was done since it was asked for."""
        self._since = time.perf_counter()


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table; a last line that was cut short is none."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [{name: value for name, value in row.items() if value} for row in csv.DictReader(whole.splitlines())]
