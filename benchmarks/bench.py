"""What benchmarks share: data, the paper's network, alternating runs, results as files, and their table.

Usage: python -m benchmarks.bench   writes the tables of docs/performance.md and docs/data.md from benchmarks/results
"""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.pages import fill
from empnn.corruption.strain import with_fixed_noise
from empnn.crystals import CrystalBatch
from empnn.data.sets import load_split, locate
from empnn.files import replacing
from empnn.nn import EMPNN, build
from empnn.nn.runtime.cpu import tuned
from empnn.nn.runtime.threads import share
from empnn.training.config import load_config

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_SETTINGS = ExitStack()
RADIAL = 16
"""Radial functions of the benchmarks, see benchmarks/quality/radial.py."""


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "threads": share(lambda _: torch.get_num_threads(), [None])[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def strained(n: int) -> CrystalBatch:
    """The first n crystals of the validation split of MP-20, strained."""
    crystals = load_split(locate(None, "mp_20"), "val").crystals.select(range(n))
    return with_fixed_noise(crystals, 0.1, 0)


def paper_network(fields: str) -> EMPNN:
    """A network of the paper's size: 128 features, 6 + 4 layers, k = 8."""
    torch.manual_seed(0)
    return build(load_config("paper", [f"model.fields={fields}", f"model.radial.count={RADIAL}"]).model)


def fast_process() -> None:
    """The settings that the command line makes, until the process ends."""
    _SETTINGS.enter_context(tuned())


def with_all_threads(run: Callable[[], Any]) -> Callable[[], Any]:
    """A yardstick with all threads that PyTorch has; our networks share them out themselves."""
    return lambda: share(lambda _: run(), [None])[0]


def alternate(
    subjects: dict[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each subject; they take turns, after one turn that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(repeats + 1):
        for name, run in subjects.items():
            started = clock()
            run()
            if turn:
                seconds[name].append(clock() - started)
    return {name: median(values) for name, values in seconds.items()}


def write(name: str, description: str, result: dict[str, Any]) -> None:
    """Keep a result, and print it."""
    keep(RESULTS / f"{name}.json", description, result)
    for row in result["rows"]:
        print(f"{row['what']:<66} {row['ours']:>10} {row['yardstick']:>24} {row.get('ratio', ''):>8}")


def keep(path: Path, description: str, result: dict[str, Any]) -> None:
    """Write a result file."""
    content = {"description": description.strip(), "machine": machine(), **result}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def row(what: str, ours: str, yardstick: str, ratio: float | None = None) -> dict[str, Any]:
    """A line of the table."""
    return {"what": what, "ours": ours, "yardstick": yardstick, "ratio": "" if ratio is None else f"{ratio:.1f}"}


PAGES = {
    "performance.md": ("train_step", "memory", "relax_throughput", "neighbours", "scaling", "roofline", "breakdown"),
    "data.md": ("reading", "stream", "stream_train"),
}
"""Pages of docs and the results whose rows stand in their tables."""


def main() -> None:
    """Write the tables."""
    for page, names in PAGES.items():
        write_table(ROOT / "docs" / page, names)


def write_table(page: Path, names: Sequence[str]) -> None:
    """Put the rows of some results into a page."""
    results = [json.loads((RESULTS / f"{name}.json").read_text()) for name in names]
    lines = ["| what | ours | yardstick | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {r['what']} | {r['ours']} | {r['yardstick']} | {r['ratio']} |" for each in results for r in each["rows"]
    ]
    where = results[0]["machine"]
    lines += ["", f"{where['cpu']}, {where['threads']} threads, torch {where['torch']}, Python {where['python']}."]
    fill(page, "bench", "\n".join(lines))


if __name__ == "__main__":
    main()
