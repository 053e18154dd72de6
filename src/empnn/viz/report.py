"""A page that says what relaxing changed: figures, drawings of what stands out, and a table; one file, offline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from empnn.bulk.pipeline import REFUSED, SUSPECT, Outcome
from empnn.files import replacing
from empnn.relax.changes import SYMPREC
from empnn.relax.notable import Largest, Notable
from empnn.relax.rows import row_of
from empnn.relax.summary import UNITS, Overall, change_on
from empnn.viz.drawing import drawing
from empnn.viz.scene import colours

ROWS = 5_000
"""Most rows of the table: a browser takes seconds for more."""
_STATUSES = ("relaxed", "unchanged", SUSPECT, REFUSED)
_TITLE = "What relaxing changed"
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class _Column:
    """A column of the table.

    Attributes:
        title: What stands above it, in HTML.
        cell: Makes a cell, in HTML, of a row.
        numeric: Whether it holds numbers.
    """

    title: str
    cell: Callable[[Mapping[str, Any]], str]
    numeric: bool = False


def write_page(
    path: Path, outcomes: Iterable[Mapping[str, Any]], overall: Overall, notable: Notable, facts: str
) -> None:
    """Write the page. It is sorted by a click where scripts run, follows a light or dark system, and loads nothing.

    Args:
        path: The file.
        outcomes: What became of each structure, as the JSON interface says it, in the order of the input.
        overall: What changed over all of them.
        notable: Those that are drawn, with what a picture takes.
        facts: What was relaxed by which model, in a line.

    Raises:
        OSError: If the file cannot be written.
    """
    rows = _rows(outcomes)
    columns = _columns(overall)
    head = "".join(f'<th scope="col"{_class(column)}>{column.title}</th>' for column in columns)
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_TITLE,
        facts=escape(facts),
        figures="\n".join(_figures(overall)),
        drawn=_drawn("Look at these first", _why_first(overall), notable.doubtful)
        + _drawn("Changed most", "The largest strains among the others.", notable.changed),
        about=_about(len(rows), overall),
        head=head,
        rows="\n".join(f"<tr>{''.join(_td(column, row) for column in columns)}</tr>" for row in rows),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _rows(outcomes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are shown, in the order of the input; those that matter most if there are too many."""
    largest: Largest[tuple[int, dict[str, Any]]] = Largest(ROWS)
    for position, outcome in enumerate(outcomes):
        row = row_of(outcome)
        rank = (SUSPECT, REFUSED).index(row["status"]) if row["status"] in (SUSPECT, REFUSED) else -1
        largest.add((rank, row.get("error_volume") or abs(row.get("volume_change", 0.0))), (position, row))
    return [row for _, row in sorted(largest.items(), key=lambda item: item[0])]


def _about(shown: int, overall: Overall) -> str:
    total = sum(overall.statuses.values())
    which = f"{total:,} structures in the order of the input."
    if shown < total:
        which = (
            f"{shown:,} of {total:,} structures, in the order of the input: those that were refused, are suspect, or "
            "have the largest predicted errors or changes of volume. A report in CSV holds all."
        )
    return (
        f"{which} Cells: a, b, c (Å) and angles (°). Strain: the Frobenius norm of the Hencky strain. Moved: the atom "
        f"that moved most within the cell. Space groups: found by spglib within {SYMPREC} Å."
    )


def _why_first(overall: Overall) -> str:
    return "Suspects, and the largest predicted errors of the volume." if overall.errors else "Suspects."


def _figures(overall: Overall) -> Iterable[str]:
    """How many became what, and medians of what changed."""
    for status in dict.fromkeys((*_STATUSES, *overall.statuses)):
        if count := overall.statuses[status]:
            yield f"<li><b>{count:,}</b><small>{escape(status)}</small></li>"
    shown = [("change of volume", overall.volume, "+.1f"), ("atoms moved", overall.displacement, ".3f")]
    for name, values in overall.errors.items():
        shown.append((f"predicted error, {name}", values, values.digits))
    if overall.oracle is not None:
        shown.append((f"change of volume by {escape(overall.oracle)}", overall.on, "+.1f"))
    for what, values, digits in shown:
        if values:
            most = f"at most {values.largest:{digits}} {values.unit}: {escape(values.where)}"
            middle = f"{values.median:{digits.removeprefix('+')}} {values.unit}"
            yield f"<li><b>{middle}</b><small>{what}, median</small><small>{most}</small></li>"


def _drawn(title: str, about: str, outcomes: Sequence[Outcome]) -> str:
    """A section of drawings, empty if there are none."""
    figures = "\n".join(_figure(one) for one in outcomes if one.picture is not None and one.change is not None)
    legend = '<span class="given-word">As given</span>, and <span class="relaxed-word">relaxed</span>.'
    return (
        f'<h2>{title}</h2>\n<p class="soft">{about} {legend}</p>\n<div class="drawn">\n{figures}\n</div>'
        if figures
        else ""
    )


def _figure(outcome: Outcome) -> str:
    """A crystal before and after, with what is said of it."""
    picture, row = outcome.picture or {}, row_of(vars(outcome))
    elements = "".join(
        f'<span class="element"><i style="background: {colour}"></i>{symbol}</span>'
        for symbol, colour in colours(picture["numbers"]).items()
    )
    volume = f"{row['volume_before']:.1f} → {row['volume_after']:.1f} Å³ ({row['volume_change']:+.1f} %)"
    lines = [volume, f"strain {row['strain']:.3f}, atoms moved by up to {row['displacement']:.3f} Å", *_groups(row)]
    lines += [f"predicted error of the volume {row['error_volume']:.1f} %"] if row.get("error_volume") else []
    lines += _relaxed_on(row)
    reason = (
        f'<br><span class="{SUSPECT}">{SUSPECT}</span> {escape(row["warnings"])}' if outcome.status == SUSPECT else ""
    )
    said = "<br>".join(map(escape, lines))
    svg = drawing(picture, f"{outcome.name} before and after")
    return f"<figure><b>{escape(outcome.name)}</b> {elements}{svg}<figcaption>{said}{reason}</figcaption></figure>"


def _groups(row: Mapping[str, Any]) -> list[str]:
    before, after = row.get("space_group_before"), row.get("space_group_after")
    if before is None or after is None:
        return []
    return [f"{before} kept" if before == after else f"{before} → {after}"]


def _relaxed_on(row: Mapping[str, Any]) -> list[str]:
    """What an oracle made of the answer, in a line, if there was one."""
    if "then" not in row:
        return []
    change = _change_on(row)
    reached = "" if change is None else f": {row['then_volume']:.1f} Å³ ({change:+.1f} %)"
    return [f"{row['then']} {row['then_status']}{reached}"]


def _change_on(row: Mapping[str, Any]) -> float | None:
    """By how many per cent an oracle changed the volume of the answer; None without one, or where it failed."""
    return change_on(row["volume_after"], row.get("then_volume")) if "then" in row else None


def _columns(overall: Overall) -> list[_Column]:
    columns = [
        _Column("structure", _name),
        _Column("status", _status),
        _Column("volume (Å³)", _number("volume_before", ".2f"), numeric=True),
        _Column("relaxed (Å³)", _number("volume_after", ".2f"), numeric=True),
        _Column("change (%)", _number("volume_change", "+.2f"), numeric=True),
        _Column("strain", _number("strain", ".4f"), numeric=True),
        _Column("moved (Å)", _number("displacement", ".3f"), numeric=True),
    ]
    columns += [
        _Column(f"error, {name} ({UNITS[name]})", _error(f"error_{name}"), numeric=True) for name in overall.errors
    ]
    if overall.oracle is not None:
        columns += [
            _Column(escape(overall.oracle), _text("then_status")),
            _Column("volume (Å³)", _number("then_volume", ".2f"), numeric=True),
            _Column("change (%)", _volume_change_on, numeric=True),
            _Column("energy (eV/atom)", _number("then_energy_per_atom", ".4f"), numeric=True),
            _Column("steps", _number("then_steps", "d"), numeric=True),
        ]
    columns += [
        _Column("space group", _text("space_group_before")),
        _Column("relaxed", _text("space_group_after")),
        _Column("what is said", _said),
        _Column("cell", _cell("before")),
        _Column("relaxed", _cell("after")),
    ]
    return columns


def _class(column: _Column) -> str:
    return ' class="n"' if column.numeric else ""


def _td(column: _Column, row: Mapping[str, Any]) -> str:
    cell = column.cell(row)
    return cell if cell.startswith("<td") else f"<td{_class(column)}>{cell}</td>"


def _name(row: Mapping[str, Any]) -> str:
    source = escape(f"{row['file']}[{row['index']}]")
    return source if row["id"] is None else f"{escape(row['id'])}<small>{source}</small>"


def _status(row: Mapping[str, Any]) -> str:
    status = escape(row["status"])
    return f'<span class="{status}">{status}</span>' if row["status"] in (SUSPECT, REFUSED) else status


def _number(name: str, digits: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: f"{row[name]:{digits}}" if name in row else ""


def _volume_change_on(row: Mapping[str, Any]) -> str:
    change = _change_on(row)
    return "" if change is None else f"{change:+.2f}"


def _error(name: str) -> Callable[[Mapping[str, Any]], str]:
    """An error to be expected, over the bound that holds in 90 % of the cases."""

    def cell(row: Mapping[str, Any]) -> str:
        value, bound = row.get(name), row.get(f"{name}_90")
        if value is None:
            return ""
        below = "" if bound is None else f"<small>90 %: &lt; {bound:.3g}</small>"
        return f'<td class="n" data-key="{value}">{value:.3g}{below}</td>'

    return cell


def _text(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: escape(row.get(name) or "")


def _cell(when: str) -> Callable[[Mapping[str, Any]], str]:
    lengths, angles = ([f"{name}_{when}" for name in names] for names in (("a", "b", "c"), ("alpha", "beta", "gamma")))

    def cell(row: Mapping[str, Any]) -> str:
        if lengths[0] not in row:
            return ""
        return "{}<small>{}</small>".format(
            " ".join(f"{row[name]:.3f}" for name in lengths), " ".join(f"{row[name]:.2f}" for name in angles)
        )

    return cell


def _said(row: Mapping[str, Any]) -> str:
    return f'<td class="said">{escape(row["message"] or row["warnings"])}</td>'
