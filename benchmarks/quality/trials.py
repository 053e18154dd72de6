"""The trials behind the packaged `pbe` as a table of docs/method.md; nothing is trained here.

pbe_trials.json keeps them with what each was: runs of a quarter of an hour of a core from nothing (`fifteen_minutes`),
scored as runs select their weights, a trial counting only beyond the spread of three seeds of the reference.
Usage: python -m benchmarks.quality.trials
"""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.bench import RESULTS, ROOT
from benchmarks.pages import fill

PAGE = ROOT / "docs" / "method.md"
RESULT = RESULTS / "pbe_trials.json"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Score, and what is left of strain and displacements by kind, over doing nothing."""
    kinds = ("strain", "symmetric", "decorated")
    lines = [f"| trial | steps | score | {' | '.join(f'`{kind}`: strain / displacements left' for kind in kinds)} |"]
    lines.append(f"|---|---:|---:|{'---:|' * len(kinds)}")
    for row in rows:
        left = " | ".join(f"{row[kind][0]:.2f} / {row[kind][1]:.2f}" for kind in kinds)
        lines.append(f"| {row['what']} | {row['steps']:,} | {row['score']:.3f} | {left} |")
    return "\n".join(lines)


def main() -> None:
    """Put the table into its page."""
    fill(PAGE, "trials", table(json.loads(RESULT.read_text())["fifteen_minutes"]["rows"]))


if __name__ == "__main__":
    main()
