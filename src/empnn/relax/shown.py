"""Relaxed crystals, each a `Relaxation`, as a person reads them: a line, and a small table for notebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from ase.symbols import Symbols

from empnn.crystals import to_batch

MOST_ROWS = 10
"""Rows of a table; of more crystals the first and the last ones are shown."""
_COLUMNS = ("crystal", "status", "volume before, Å³", "volume after, Å³", "change", "strain", "remarks")


@dataclass(frozen=True)
class Change:
    """What relaxing changed in a crystal.

    Attributes:
        formula: Symbols and numbers of all atoms in the cell.
        before: Volume as given, cubic angstrom.
        after: Volume once relaxed.
        strain: Frobenius norm of log P.
    """

    formula: str
    before: float
    after: float
    strain: float

    @classmethod
    def of(cls, one: Any) -> Change:
        """That of a crystal that was not refused."""
        after = abs(float(np.linalg.det(one.trajectory[-1])))
        before = after / math.exp(np.trace(one.strain))
        formula = Symbols(to_batch(one.structures).numbers.numpy()).get_chemical_formula("metal")
        return cls(formula, before, after, float(np.linalg.norm(one.strain)))

    @property
    def volume(self) -> str:
        """The change of volume in percent."""
        return f"{self.after / self.before - 1:+.1%}"


def line(one: Any) -> str:
    """What became of a crystal."""
    if one.structures is None:
        return str(one.status)
    change = Change.of(one)
    volumes = f"volume {change.before:.2f} to {change.after:.2f} Å³ ({change.volume})"
    return f"{change.formula} {one.status}, {volumes}, strain {change.strain:.3f}"


def table(one: Any) -> str:
    """A crystal as a table of one row in HTML."""
    return _html(_COLUMNS, [_row(one)])


def table_of_many(title: str, every: Sequence[Any]) -> str:
    """A table in HTML, a row per crystal; abbreviated in the middle where there are more than `MOST_ROWS`."""
    count, half = len(every), MOST_ROWS // 2
    left_out = range(half, count - half) if count > MOST_ROWS else range(0)
    rows = [[f"{place}", *_row(every[place])] for place in range(count) if place not in left_out]
    if left_out:
        rows.insert(half, [f"… {len(left_out):,} more …"])
    return _html(("", *_COLUMNS), rows, title)


def _row(one: Any) -> list[str]:
    status, _, reason = one.status.partition(": ")
    if one.structures is None:
        return ["", status, "", "", "", "", reason]
    change = Change.of(one)
    volumes = [f"{change.before:.2f}", f"{change.after:.2f}", change.volume]
    return [change.formula, status, *volumes, f"{change.strain:.3f}", "; ".join(one.warnings)]


def _html(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    body = "".join(_line("td", row, len(columns)) for row in rows)
    return f"<table>{caption}{_line('th', columns, len(columns))}{body}</table>"


def _line(tag: str, texts: Sequence[str], width: int) -> str:
    """A row of a table; a text alone goes across all of it."""
    opening = f'{tag} colspan="{width}"' if len(texts) == 1 else tag
    return f"<tr>{''.join(f'<{opening}>{escape(text)}</{tag}>' for text in texts)}</tr>"
