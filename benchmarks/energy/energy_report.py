"""The tables of docs/energies.md and the plot of accuracy against time, from benchmarks/results.

Usage: python -m benchmarks.energy.energy_report [--results benchmarks/results] [--page FILE.md] [--plot FILE.png]
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks import pages
from benchmarks.bench import RESULTS, ROOT
from benchmarks.energy.steps_saved import summary
from empnn.reproduce.tables import NAMES
from empnn.viz.style import DARK, GUIDE, INK, LIGHT, MIDDLE, save, styled

LOOKS = {
    "empnn": ("empnn", DARK, "o"),
    "ff": ("feed-forward", LIGHT, "s"),
    "chgnet": ("CHGNet", MIDDLE, "^"),
    "sevennet": ("SevenNet", MIDDLE, "v"),
    "gpaw": ("DFT (GPAW)", INK, "D"),
}
"""Name, colour and mark of each relaxer."""
Block = tuple[str, Callable[[list[dict[str, Any]]], str]]
"""The result file that a table is made of, and what makes it."""
SETS = ("carbon_24", "perov_5", "mp_20")
STATES = ("noisy", "denoised")
PICTURE = """

![Error of the lengths against seconds per crystal, a panel per set](images/accuracy_time.png)

*Dashed: doing nothing. Hollow marks and dotted lines: the small crystals.*"""


def load(results: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a result file; none if it is not there."""
    path = results / f"{name}.json"
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def number(value: float | None, digits: int) -> str:
    """A figure, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def named(oracle: str, r: dict[str, Any]) -> str:
    """The oracle of a row, with the settings of DFT where they are not those of most rows."""
    cutoff, density = r.get("cutoff", 500.0), r.get("kpoint_density", 2.5)
    points = "7x7x7" if density is None else f"{density:g}/Å"
    return oracle if (cutoff, density) == (500.0, 2.5) else f"{oracle}, {cutoff:g} eV, {points}"


def table(head: str, lines: list[list[str]]) -> str:
    """A markdown table; a word where there are no rows yet."""
    if not lines:
        return "Not measured yet."
    columns = head.split("|")
    rows = [f"| {' | '.join(column.strip() for column in columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*rows, *(f"| {' | '.join(line)} |" for line in lines)])


def energies(rows: list[dict[str, Any]]) -> str:
    """Equation 13 and its company."""
    head = "set | crystals | oracle | E' - E~, eV/atom | lower | strain energy, eV/atom | recovered | median"

    def line(r: dict[str, Any]) -> list[str]:
        gains = [number(r["energy"], 4), f"{r['percent_lower']:.0f} %", number(r["strain_energy"], 4)]
        shares = [number(r["recovered"], 3), number(r["recovered_median"], 3)]
        return [r["data"], f"{r['n']} {r['crystals']}", named(r["oracle"], r), *gains, *shares]

    return table(head, [line(r) for r in rows if r["n"]])


def relaxers(rows: list[dict[str, Any]]) -> str:
    """Equations 11 and 12, and the time."""
    head = "set | crystals | relaxer | errs by | improvement (eq. 11 / 12) | removed | s/crystal | converged"

    def line(r: dict[str, Any]) -> list[str]:
        errors = f"{r['lengths_mae']:.3f} Å / {r['angles_mae']:.2f}°"
        improvement = f"{r['lengths_improvement']:.3f} / {r['angles_improvement']:.2f}"
        removed = f"{r['lengths_removed']:.3f} / {r['angles_removed']:.3f}"
        converged = f"{r['converged']} of {r['n']}" if "converged" in r else ""
        crystals = [r["data"], f"{r['n']} {r['crystals']}", named(r["relaxer"], r)]
        return [*crystals, errors, improvement, removed, f"{r['seconds_per_crystal']:.2g}", converged]

    return table(head, [line(r) for r in rows]) + (PICTURE if rows else "")


def steps(rows: list[dict[str, Any]]) -> str:
    """What a start from EMPNN's cell saves."""
    head = (
        "set | converged | oracle | steps, raw | steps, EMPNN | s, raw | s, EMPNN | same end"
        " | steps of these, raw | EMPNN | EMPNN lower | raw lower | largest difference, eV/atom"
    )

    def line(r: dict[str, Any]) -> list[str]:
        medians = [number(r[f"{what}_from_{state}"], 1) for what in ("steps", "seconds") for state in STATES]
        same = [str(r["same_energy"]), *(number(r[f"steps_from_{state}_same_energy"], 1) for state in STATES)]
        ends = [str(r["lower_from_denoised"]), str(r["lower_from_noisy"]), number(r["largest_difference"], 4)]
        count = f"{r['converged_from_both']} of {r['n']} {r['crystals']}"
        return [r["data"], count, named(r["oracle"], r), *medians, *same, *ends]

    return table(head, [line(r) for r in rows + pooled(rows)])


def pooled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for all small crystals of each oracle of DFT, which are few in each set."""
    found = []
    for key in dict.fromkeys((r["oracle"], r["cutoff"], r["kpoint_density"]) for r in rows if "cutoff" in r):
        alike = [r for r in rows if (r["oracle"], r.get("cutoff"), r.get("kpoint_density")) == key]
        crystals = [one for r in alike for one in r["per_crystal"]]
        found.append({**alike[0], "data": "all of these", "n": len(crystals), **summary(crystals)})
    return found if len(found) < len(rows) else []


def convergence(rows: list[dict[str, Any]]) -> str:
    """Energies against k-points and cutoff."""
    head = "crystal | k-points | cutoff, eV | varied | energy, eV/atom | to the finest, meV/atom | pressure, GPa"

    def line(r: dict[str, Any]) -> list[str]:
        settings = ["x".join(map(str, r["kpoints"])), f"{r['cutoff']:g}", f"{r['kind']} {r['value']}"]
        energy = [number(r["energy_per_atom"], 4), number(1000 * r["energy_error"], 1)]
        return [r["crystal"], *settings, *energy, number(r["pressure_gpa"], 2)]

    return table(head, [line(r) for r in rows if r["energy_per_atom"] is not None])


BLOCKS: dict[str, Block] = {
    "energies": ("energies", energies),
    "relaxers": ("relaxers", relaxers),
    "steps": ("steps_saved", steps),
    "convergence": ("convergence", convergence),
}
"""Marker in the page, result file and what makes a table of it."""


def fill_all(page: Path, results: Path, blocks: Mapping[str, Block] = BLOCKS) -> None:
    """Put the tables between their markers."""
    for marker, (name, make) in blocks.items():
        pages.fill(page, marker, make(load(results, name)))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Error of the lengths against seconds per crystal, a panel per set; hollow marks are the small crystals."""
    with styled():
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        panels = figure.subplots(1, len(SETS), sharex=True, sharey=True)
        for panel, data in zip(panels, SETS, strict=True):
            for r in (r for r in rows if r["data"] == data):
                small = r["crystals"] == "small"
                if r["relaxer"] == "nothing":
                    panel.axhline(r["lengths_mae"], color=GUIDE, linestyle=":" if small else "--", linewidth=1)
                    continue
                name, colour, marker = LOOKS[r["relaxer"]]
                face = "white" if small else colour
                look = {"color": colour, "markerfacecolor": face, "markersize": 6, "clip_on": False}
                label = name + (", small" if small else "")
                panel.plot(r["seconds_per_crystal"], r["lengths_mae"], marker, label=label, **look)
            panel.set(xscale="log", yscale="log", title=NAMES[data], xlabel="seconds per crystal")
            panel.grid(color="#e5e7eb", linewidth=0.5)
        panels[0].set_ylabel("mean error of the lengths (Å)")
        marks = {
            label: mark for panel in panels for mark, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(marks.values()), list(marks), loc="outside upper center", ncols=len(marks))
        save(figure, path)


def places(description: str | None, plot: str) -> argparse.Namespace:
    """The options of a report: where results are read, and the page and the plot are written."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--results", type=Path, default=RESULTS)
    made.add_argument("--page", type=Path, default=ROOT / "docs" / "energies.md")
    made.add_argument("--plot", type=Path, default=ROOT / "docs" / "images" / plot)
    return made.parse_args()


def main() -> None:
    """Write the tables and the plot."""
    options = places(__doc__, "accuracy_time.png")
    fill_all(options.page, options.results)
    rows = load(options.results, "relaxers")
    if rows:
        draw(rows, options.plot)
    print(f"wrote {options.page}" + (f" and {options.plot}" if rows else "; no relaxers.json, so no plot"))


if __name__ == "__main__":
    main()
