"""Relaxed crystals, each a `Relaxation`, as a person reads them: a line, and a small table for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ase.symbols import Symbols

from empnn.crystals import to_batch

MOST_ROWS = 10
"""Rows of a table; of more crystals the first and the last ones are shown."""
_COLUMNS = (
    "crystal",
    "status",
    "volume before, Å³",
    "volume after, Å³",
    "change",
    "expected error",
    "strain",
    "remarks",
)


def line(one: Any) -> str:
    """What became of a crystal."""
    if one.structures is None:
        return str(one.status)
    return f"{formula(one)} {one.status}, {_changed(one)}"


def note(one: Any) -> str:
    """What changed, what the answer may be off by and why it is doubted, in lines."""
    lines = [f"{one.status}: {_changed(one)}"]
    if one.change.displacement >= 0.01:
        lines[0] += f", atoms moved by up to {one.change.displacement:.2f} Å"
    if one.errors is not None:
        told = one.errors.as_dict()
        kinds = (("volume", "%", 1), ("length", "Å", 2), ("position", "Å", 2))
        words = [f"{kind} {told[kind]:.{digits}f} {unit}" for kind, unit, digits in kinds if kind in told]
        lines += [f"expected errors: {', '.join(words)}"] * bool(words)
    return "\n".join([*lines, *one.warnings])


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
        return ["", status, "", "", "", "", "", reason]
    change = one.change
    volumes = [f"{change.volume_before:.2f}", f"{change.volume_after:.2f}", f"{change.volume_change:+.1f}%"]
    expected = None if one.errors is None else one.errors.volume
    error = "" if expected is None else f"{expected:.1f}%"
    return [formula(one), status, *volumes, error, f"{change.strain:.3f}", "; ".join(one.warnings)]


def _changed(one: Any) -> str:
    change = one.change
    volumes = f"volume {change.volume_before:.2f} to {change.volume_after:.2f} Å³ ({change.volume_change:+.1f}%)"
    return f"{volumes}, strain {change.strain:.3f}"


def formula(one: Any) -> str:
    """Symbols and numbers of all atoms in the cell."""
    return Symbols(to_batch(one.structures).numbers.numpy()).get_chemical_formula("metal")


def _html(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    body = "".join(_line("td", row, len(columns)) for row in rows)
    return f"<table>{caption}{_line('th', columns, len(columns))}{body}</table>"


def _line(tag: str, texts: Sequence[str], width: int) -> str:
    """A row of a table; a text alone goes across all of it."""
    opening = f'{tag} colspan="{width}"' if len(texts) == 1 else tag
    return f"<tr>{''.join(f'<{opening}>{escape(text)}</{tag}>' for text in texts)}</tr>"
