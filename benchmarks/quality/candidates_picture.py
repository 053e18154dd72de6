"""The picture and the table of README: candidates from prototypes, beside a volume predictor and CHGNet.

From decorated.json (1,200 candidates) and relaxed_candidates.json (the first 100 of at most 8 atoms, relaxed
by the network, by potentials from the raw candidate, and by potentials from the network's answer).
Usage: python -m benchmarks.quality.candidates_picture
"""

import json
from typing import Any

from matplotlib.figure import Figure

from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill
from empnn.viz.style import BOND, DARK, INK, LIGHT, MIDDLE, ink_on, save, styled

PAGE = ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "candidates.png"
BARS = {
    "nothing": ("as decorated", BOND),
    "dls": ("volume predictor", LIGHT),
    "empnn": ("empnn", DARK),
    "chgnet": ("CHGNet", MIDDLE),
}
"""Of what is compared, name and colour."""
_POTENTIALS = {"chgnet": "CHGNet", "sevennet": "SevenNet"}


def figures() -> dict[str, Any]:
    """The figures that are shown, by name."""
    held = json.loads((RESULTS / "relaxed_candidates.json").read_text())["rows"]
    rows = {(row["oracle"], row["mode"]): row for row in held if row["crystals"] == "first"}
    accuracy = {name: rows[name, "accuracy, all" if name == "chgnet" else "accuracy"] for name in BARS}
    saved = {oracle: rows[oracle, "saved"] for oracle in ("chgnet", "sevennet")}
    return {
        "many": json.loads((RESULTS / "decorated.json").read_text())["rows"],
        "accuracy": accuracy,
        "saved": saved,
        "n": accuracy["empnn"]["n"],
    }


def markdown(found: dict[str, Any]) -> str:
    """The table of README."""
    many, few, saved = found["many"], found["accuracy"], found["saved"]
    words = {"nothing": "as decorated", "dls": "pymatgen's DLSVolumePredictor", "empnn": "**`empnn`**"}
    sets = f"of the volume, {many['nothing']['n']:,} candidates | strain | {found['n']} small ones | strain"
    lines = [
        f"| median error | {sets} | time |",
        "|---|---|---|---|---|---|",
    ]
    for name, word in {**words, "chgnet": "CHGNet, relaxing all"}.items():
        row = many.get("pbe" if name == "empnn" else name)
        parts = (*(_errors(row) if row else ("", "")), *_errors(few[name]), _time(few[name]["seconds_per_crystal"]))
        lines.append(f"| {word} | {' | '.join(parts)} |")
    less = [f"{100 * saved[name]['steps_saved_of_sum']:.0f} % of {word}'s" for name, word in _POTENTIALS.items()]
    lines += ["", f"Relaxing on from there with a potential saves {' and '.join(less)} steps."]
    return "\n".join(lines)


def _errors(row: dict[str, Any]) -> tuple[str, str]:
    return f"{row['volume_median']:.1f} %", f"{row['strain_median']:.3f}"


def _time(seconds: float | None) -> str:
    if not seconds:
        return ""
    return f"{1000 * seconds:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"


def draw(found: dict[str, Any]) -> None:
    """Errors of the volume before and after, and steps from raw candidates and from the network's answers."""
    with styled():
        figure = Figure(figsize=(7.4, 2.5), layout="constrained")
        errors, steps = figure.subplots(1, 2, width_ratios=(1.25, 1))
        for place, (name, (_, colour)) in enumerate(BARS.items()):
            row = found["accuracy"][name]
            bar = errors.barh(place, row["volume_median"], 0.62, color=colour, edgecolor=INK, linewidth=0.5)
            said = f"{row['volume_median']:.1f} %"
            if time := _time(row["seconds_per_crystal"]):
                said += f", {time}"
            errors.bar_label(bar, [said], padding=3)
        errors.set_yticks(range(len(BARS)), [word for word, _ in BARS.values()])
        errors.set(title="error of the volume, time per crystal", xlabel="median (%)")
        errors.set_xlim(0, 1.18 * found["accuracy"]["nothing"]["volume_median"])
        for place, name in enumerate(_POTENTIALS):
            row = found["saved"][name]
            for side, (start, colour) in enumerate((("raw", BOND), ("ours", DARK))):
                mean = row[f"steps_from_{start}_sum"] / row["n"]
                label = ("from the candidate", "from empnn's answer")[side] if not place else None
                where = place + (side - 0.5) * 0.38
                look = {"color": colour, "edgecolor": INK, "linewidth": 0.5}
                bar = steps.barh(where, mean, 0.36, label=label, **look)
                inside = {"label_type": "center", "color": ink_on(colour)}
                steps.bar_label(bar, [f"{mean:.1f}"], **inside)
        steps.set_yticks(range(len(_POTENTIALS)), _POTENTIALS.values())
        steps.set(title="steps to relax on", xlabel="mean number of steps")
        figure.legend(loc="outside lower right", ncols=2)
        for axes in (errors, steps):
            axes.invert_yaxis()
            axes.spines[["top", "right"]].set_visible(False)
        save(figure, PICTURE)


def main() -> None:
    """Draw, and fill the table."""
    found = figures()
    draw(found)
    fill(PAGE, "candidates", markdown(found))
    print(f"wrote {PICTURE} and {PAGE}")


if __name__ == "__main__":
    main()
