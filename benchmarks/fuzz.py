"""20,000 damaged CIF, POSCAR and extxyz files: each refused in words, or read as pymatgen or ASE reads it.

A failure is an exception that escapes, a death of the process, more than 5 s, a refusal without words, a crystal that
no other parser finds in the file, or a difference between the fast path for CIF and the ordinary one.
Usage: python benchmarks/fuzz.py [--cases 20000] [--seed 0] [--processes 2]   (EMPNN_DATA adds the benchmark sets)
       python benchmarks/fuzz.py --seed S --case N   judges one case again and prints it
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from support import fuzzing, judges

from empnn.files import replacing

LIMIT = 5.0
"""Seconds that one case may take."""
_MEMORY = 8 << 30
_SAMPLES = Path(fuzzing.cif.__file__).parent / "samples"


def crystals() -> list[Atoms]:
    """A few dozen crystals: the package's samples, and some of each benchmark set where they are at hand."""
    chosen: list[Atoms] = ase.io.read(_SAMPLES / "strained.extxyz", ":")[:12]
    root = Path(os.environ.get("EMPNN_DATA", ""))
    for name in ("carbon_24", "mp_20", "perov_5"):
        files = sorted((root / name).glob("val.csv*")) if str(root) != "." else []
        if files:
            from empnn.data.reading import read

            records = [record for record, _ in zip(read(files[0]), range(2000), strict=False)]
            chosen += [record.atoms for record in records[::160] if record.atoms is not None]
    return chosen


class Worker:
    """A process that judges every n-th case, and says which one it is at."""

    def __init__(self, context: Any, options: argparse.Namespace, first: int, texts: dict[str, list[str]]) -> None:
        self.at = context.Value("q", first)
        self.since = context.Value("d", 0.0)
        self.results = context.SimpleQueue()
        arguments = (options, first, texts, self.at, self.since, self.results)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()

    def too_slow(self) -> bool:
        """Whether our own reading of a case takes longer than it may."""
        since = self.since.value
        return since > 0 and time.monotonic() - since > LIMIT


def _work(options: argparse.Namespace, first: int, texts: dict[str, list[str]], at: Any, since: Any, out: Any) -> None:
    # A parser that is made to ask for the memory of the whole machine must not get it.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))

    def on_phase(ours: bool) -> None:
        since.value = time.monotonic() if ours else 0.0

    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, options.cases, options.processes):
            at.value = number
            case = fuzzing.case(texts, options.seed, number)
            verdict = judges.judge(case, Path(folder), on_phase)
            out.put((number, case.kind, verdict.outcome, verdict.detail, verdict.seconds))
    out.put(None)


def run(options: argparse.Namespace, texts: dict[str, list[str]]) -> list[tuple[int, str, str, str, float]]:
    """Judge all cases; a process that dies or hangs is a failure of the case it was at, and a new one goes on."""
    context = multiprocessing.get_context("fork")
    workers = [Worker(context, options, first, texts) for first in range(options.processes)]
    results: list[tuple[int, str, str, str, float]] = []
    while workers:
        time.sleep(0.05)
        for worker in list(workers):
            finished = False
            while not worker.results.empty():
                result = worker.results.get()
                finished = result is None
                if result is not None:
                    results.append(result)
            if finished:
                workers.remove(worker)
            elif worker.too_slow() or not worker.process.is_alive():
                reason = "slow" if worker.process.is_alive() else f"died ({worker.process.exitcode})"
                worker.process.kill()
                number = worker.at.value
                kind = fuzzing.case(texts, options.seed, number).kind
                results.append((number, kind, f"FAILURE: {reason}", "", LIMIT))
                workers.remove(worker)
                workers.append(Worker(context, options, number + options.processes, texts))
    return sorted(results)


def report(options: argparse.Namespace, results: list[tuple[int, str, str, str, float]], seconds: float) -> int:
    """Write the figures; the number of failures."""
    failures = [result for result in results if result[2].startswith("FAILURE")]
    for number, kind, outcome, detail, _ in failures:
        print(f"--seed {options.seed} --case {number}: {kind}: {outcome}: {detail}", file=sys.stderr)
    outcomes = Counter(outcome for _, _, outcome, _, _ in results)
    agreed = {name: sum(n for o, n in outcomes.items() if name in o.split("+")) for name in ("pymatgen", "ase", "hand")}
    content = {
        "description": (__doc__ or "").strip().split("\n")[0],
        "cases": len(results),
        "seed": options.seed,
        "refused": outcomes["refused"],
        "agreed_with": agreed,
        "read_and_explained": {o: n for o, n in sorted(outcomes.items()) if o.startswith("explained")},
        "failures": len(failures),
        "by_kind": {k: dict(Counter(o for _, kind, o, _, _ in results if kind == k)) for k in fuzzing.NAMES},
        "longest_reading_seconds": max(took for *_, took in results),
        "seconds": seconds,
        "versions": {name: version(name) for name in ("ase", "pymatgen", "gemmi", "numpy")},
        "python": platform.python_version(),
    }
    with replacing(options.out) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    return len(failures)


def show(options: argparse.Namespace, texts: dict[str, list[str]]) -> None:
    """One case again: its damage, its text and its verdict."""
    case = fuzzing.case(texts, options.seed, options.case)
    print(case.kind, *case.damage)
    print(case.content.decode("utf-8", "backslashreplace"))
    with tempfile.TemporaryDirectory() as folder:
        print(judges.judge(case, Path(folder)))


def main() -> None:
    """Judge the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fuzz.json")
    options = parser.parse_args()
    texts = fuzzing.texts_of(crystals())
    if options.case is not None:
        show(options, texts)
        return
    started = time.monotonic()
    results = run(options, texts)
    raise SystemExit(1 if report(options, results, time.monotonic() - started) else 0)


if __name__ == "__main__":
    main()
