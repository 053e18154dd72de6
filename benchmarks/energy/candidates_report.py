"""The tables of docs/energies.md on decorated candidates, and their plot, from relaxed_candidates.json.

Usage: python -m benchmarks.energy.candidates_report [--results benchmarks/results] [--page FILE.md] [--plot FILE.png]
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.energy.energy_report import LOOKS, fill_all, load, named, number, places, table
from empnn.viz.style import GUIDE, save, styled

WORDS = {
    ("nothing", "accuracy"): "as decorated",
    ("dls", "accuracy"): "DLSVolumePredictor",
    ("empnn", "accuracy"): "**`pbe`**",
    ("chgnet", "accuracy, cell"): "CHGNet, cell only",
    ("chgnet", "accuracy, all"): "CHGNet, all",
    ("chgnet", "accuracy, all after empnn"): "CHGNet, all, from `pbe`'s answer",
    ("sevennet", "accuracy, cell"): "SevenNet, cell only",
    ("sevennet", "accuracy, all"): "SevenNet, all",
    ("sevennet", "accuracy, all after empnn"): "SevenNet, all, from `pbe`'s answer",
    ("gpaw", "accuracy, all"): "DFT (GPAW), all",
    ("gpaw", "accuracy, all after empnn"): "DFT (GPAW), all, from `pbe`'s answer",
}
"""What the rows are called, in their order."""
LINES = {"nothing": ("as decorated", "--"), "dls": ("DLSVolumePredictor", ":")}
"""What takes no time worth a mark: name and style of its line."""


def accuracy(rows: list[dict[str, Any]]) -> str:
    """How near to the DFT cells everything comes, and in which time."""
    head = (
        "crystals | relaxer | strain left, median / mean | volume error, median | atoms off by, median / mean"
        " | made worse | s/crystal"
    )

    def line(word: str, r: dict[str, Any]) -> list[str]:
        strain = f"{r['strain_median']:.4f} / {r['strain_mean']:.4f}"
        atoms = f"{r['positions_median']:.3f} / {r['positions_mean']:.3f} Å"
        worse = f"{100 * r['strain_worse']:.0f} %"
        seconds = f"{r['seconds_per_crystal']:.2g}" if r["seconds_per_crystal"] else ""
        return [f"{r['n']} {r['crystals']}", word, strain, f"{r['volume_median']:.1f} %", atoms, worse, seconds]

    held = {(r["crystals"], r["oracle"], r["mode"]): r for r in rows}
    keys = [(which, *key) for which in ("first", "small") for key in WORDS]
    return table(head, [line(WORDS[key[1:]], held[key]) for key in keys if key in held])


def saved(rows: list[dict[str, Any]]) -> str:
    """Steps and seconds of full relaxations from the candidates and from the answers."""
    head = "crystals | by | same end | steps | saved | steps of all | saved | seconds | seconds of all"

    def line(r: dict[str, Any]) -> list[str]:
        def both(name: str, digits: int) -> str:
            return " → ".join(number(r[name.format(start)], digits) for start in ("raw", "ours"))

        shares = [f"{100 * r[name]:.0f} %" for name in ("steps_saved_median", "steps_saved_of_sum")]
        steps = [both("steps_from_{}", 1), shares[0], both("steps_from_{}_sum", 0), shares[1]]
        seconds = [both("seconds_from_{}", 2), both("seconds_from_{}_sum", 0)]
        return [f"{r['n']} {r['crystals']}", named(r["oracle"], r), f"{r['same']}", *steps, *seconds]

    return table(head, [line(r) for r in rows if r["mode"] == "saved"])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Strain left against seconds per crystal: median and mean."""
    held = [
        r for r in rows if r["crystals"] == "first" and r["mode"] in ("accuracy", "accuracy, cell", "accuracy, all")
    ]
    with styled():
        figure = Figure(figsize=(7.4, 3.1), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, what in zip(panels, ("strain_median", "strain_mean"), strict=True):
            for r in held:
                if r["oracle"] in LINES:
                    word, style = LINES[r["oracle"]]
                    panel.axhline(r[what], color=GUIDE, linestyle=style, linewidth=1, label=word)
                    continue
                word, colour, marker = LOOKS[r["oracle"]]
                cell_only = r["mode"] == "accuracy, cell"
                face = "white" if cell_only else colour
                look = {"color": colour, "markerfacecolor": face, "markersize": 6, "clip_on": False}
                label = f"{word}, cell only" if cell_only else word
                panel.plot(r["seconds_per_crystal"], r[what], marker, label=label, linestyle="none", **look)
            panel.set(xscale="log", yscale="log", title=what.split("_")[1], xlabel="seconds per crystal")
            panel.grid(color="#e5e7eb", linewidth=0.5)
        panels[0].set_ylabel("Hencky strain left")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
        save(figure, path)


BLOCKS = {
    "candidates": ("relaxed_candidates", accuracy),
    "candidates-saved": ("relaxed_candidates", saved),
}
"""Marker in the page, result file and what makes a table of it."""


def main() -> None:
    """Write the tables and the plot."""
    options = places(__doc__, "candidates_time.png")
    fill_all(options.page, options.results, BLOCKS)
    draw(load(options.results, "relaxed_candidates"), options.plot)
    print(f"wrote {options.page} and {options.plot}")


if __name__ == "__main__":
    main()
