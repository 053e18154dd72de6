"""A table of the paper with ours beside: as data, in markdown, as a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from empnn.files import replacing
from empnn.reproduce.paper import SETS, TABLES
from empnn.viz.dots import Panel, dots

TITLES = {
    "table1": "Table 1: losses, sigma 0.3",
    "table2": "Table 2: vector fields, sigma 0.1",
    "table3": "Table 3: reconstruction from a cube of 1 Å",
}
NAMES = {"carbon_24": "Carbon-24", "mp_20": "MP-20", "perov_5": "Perov-5"}
COLUMNS = {
    "table1": ("lengths_improvement", "angles_improvement"),
    "table2": ("lengths_improvement", "angles_improvement"),
    "table3": ("lengths_mae", "angles_mae"),
}
ENERGIES = ("energy", "percent_lower")
"""What the paper's Table 1 has beside: equation 13, and the share that ends lower."""
WORDS = {
    "lengths_improvement": ("lengths gained, Å", 3),
    "angles_improvement": ("angles gained, °", 2),
    "energy": ("mean, eV/atom", 3),
    "energy_median": ("median", 3),
    "percent_lower": ("lower, %", 1),
    "lengths_mae": ("lengths off, Å", 3),
    "angles_mae": ("angles off, °", 2),
}
_FIGURES = 1000
"""From here on only the order of magnitude is shown: means that few crystals make."""
LOWER_IS_BETTER = {"lengths_mae", "angles_mae"}


@dataclass(frozen=True)
class Table:
    """A table, as far as it is filled.

    Attributes:
        name: `table1`, `table2` or `table3`.
        about: What was trained, scored and left out, in words and figures.
        cells: Figures by row and set.
    """

    name: str
    about: dict[str, Any]
    cells: dict[str, dict[str, dict[str, Any]]]

    def as_dict(self) -> dict[str, Any]:
        """All of it, the paper's figures beside."""
        columns = (*COLUMNS[self.name], *ENERGIES)
        rows = [
            {"row": row, "data": data, **figures, "paper": dict(zip(columns, self._paper(row, data), strict=False))}
            for row, sets in self.cells.items()
            for data, figures in sets.items()
        ]
        return {"table": self.name, **self.about, "better": self.better(), "rows": rows}

    def better(self) -> dict[str, str]:
        """For each set how many of the paper's rows ours are above, in lengths and in angles: `12 of 15`."""
        found = {}
        for data in SETS:
            pairs = [
                (figures[data], self._paper(row, data))
                for row, figures in self.cells.items()
                if data in figures and self._paper(row, data) and _of_paper(row) not in ("ff", "dft")
            ]
            if pairs:
                above = sum(
                    all(_better(name, ours.get(name), theirs[k]) for k, name in enumerate(COLUMNS[self.name]))
                    for ours, theirs in pairs
                )
                found[data] = f"{above} of {len(pairs)}"
        return found

    def markdown(self) -> str:
        """The table, ours / the paper's in each cell, in bold what is better; under it the energies, if any."""
        sets = [data for data in SETS if any(data in figures for figures in self.cells.values())]
        columns = COLUMNS[self.name]
        head = ["row", *(f"{NAMES[data]}: {WORDS[name][0]}" for data in sets for name in columns)]
        lines = [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
        for row in self.cells:
            cells = [self._shown(name, row, data, k) for data in sets for k, name in enumerate(columns)]
            lines.append(f"| `{row}` | {' | '.join(cells)} |")
        better = "; ".join(f"{NAMES[data]} {count}" for data, count in self.better().items())
        told = ", ".join(f"{key} {value}" for key, value in self.about.items())
        return "\n".join(
            [
                f"**{TITLES[self.name]}** (ours / the paper's, better ones in bold; {told})",
                "",
                *lines,
                "",
                f"Rows that are better than the paper's in lengths and angles: {better}.",
                "",
                *self._energies(),
            ]
        )

    def _energies(self) -> list[str]:
        """A table of what is gained in energy by each oracle; nothing if there is none."""
        found = [
            (row, data, figures.get("energies", {}))
            for row, sets in self.cells.items()
            for data, figures in sets.items()
        ]
        oracles = list(dict.fromkeys(oracle for *_, energies in found for oracle in energies))
        if not oracles:
            return []
        ours = ("energy", "energy_median", "percent_lower")
        columns = [(oracle, name) for oracle in oracles for name in ours]
        head = [f"{oracle}: {WORDS[name][0]}" for oracle, name in columns]
        head += [f"paper: {WORDS[name][0]}" for name in ENERGIES]
        lines = [f"| set | row | {' | '.join(head)} |", f"|---|---{'|---:' * len(head)}|"]
        for row, data, energies in sorted(found, key=lambda entry: SETS.index(entry[1])):
            cells = [_number(name, energies.get(oracle, {}).get(name)) for oracle, name in columns]
            cells += [_number(name, value) for name, value in zip(ENERGIES, self._paper(row, data)[2:], strict=True)]
            lines.append(f"| {NAMES[data]} | `{row}` | {' | '.join(cells)} |")
        counts = sorted({figures["n"] for *_, energies in found for figures in energies.values()})
        of = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        return [
            f"Energies, after less before, of {of} crystals of the split (lower is better):",
            "",
            *lines,
            "",
        ]

    def write(self, folder: Path) -> list[Path]:
        """Write all three beside each other; returns the files."""
        files = [folder / f"{self.name}.{ending}" for ending in ("json", "md", "png")]
        with replacing(files[0]) as temporary:
            temporary.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
        with replacing(files[1]) as temporary:
            temporary.write_text(self.markdown())
        dots(self.panels(), TITLES[self.name], files[2])
        return files

    def panels(self) -> list[Panel]:
        """What is drawn of each set, ours and the paper's: lengths and angles."""
        rows = list(self.cells)
        return [
            Panel(
                title=NAMES[data],
                label=WORDS[name][0] + (" (lower is better)" if name in LOWER_IS_BETTER else ""),
                rows=rows,
                ours=[self.cells[row].get(data, {}).get(name) for row in rows],
                paper=[self._paper(row, data)[k] if self._paper(row, data) else None for row in rows],
            )
            for k, name in enumerate(COLUMNS[self.name])
            for data in SETS
            if any(data in self.cells[row] for row in rows)
        ]

    def _paper(self, row: str, data: str) -> tuple[float, ...]:
        return TABLES[self.name].get(_of_paper(row), {}).get(data, ())

    def _shown(self, name: str, row: str, data: str, k: int) -> str:
        ours, paper = self.cells[row].get(data, {}).get(name), self._paper(row, data)
        shown, theirs = _number(name, ours), _number(name, paper[k] if paper else None)
        bold = paper and _of_paper(row) != "dft" and _better(name, ours, paper[k])
        return f"{f'**{shown}**' if bold else shown} / {theirs}"


def _number(name: str, value: float | None) -> str:
    """A figure with the digits of its column, a dash for none."""
    if value is None:
        return "-"
    return f"{value:.{WORDS[name][1]}f}" if abs(value) < _FIGURES else f"{value:.0e}"


def _of_paper(row: str) -> str:
    """The row of the paper that a row stands for: `dft (sevennet, 32)` for `dft`."""
    return row.partition(" (")[0]


def _better(name: str, ours: float | None, theirs: float) -> bool:
    if ours is None:
        return False
    return ours < theirs if name in LOWER_IS_BETTER else ours > theirs
