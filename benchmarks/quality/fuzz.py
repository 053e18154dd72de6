"""Thousands of hostile files, command lines, objects: each refused or doubted in words, or read as the judges read it.

Half of the cases are damaged CIF, POSCAR and extxyz files; most of the others are files of all kinds that no longer say
what they said (`tests/support/semantics`); the rest are options of the command line and objects for the Python
interface. A failure is an exception that escapes, a death of the process, more than 5 s, a refusal without words, or
nonsense: a crystal read without a doubt that is not what is known to be right, or that no judge finds in the file.
A silent difference is nonsense where the judges that can read the file agree on another crystal, or it is known.

Usage: python -m benchmarks.quality.fuzz [--cases 20000] [--seed 0] [--processes 2]   (EMPNN_DATA adds its sets)
       python -m benchmarks.quality.fuzz --seed S --case N   judges one case again and prints it
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
from ase import Atoms
from support import fuzzing, judges, objects, options, semantics
from support.rewriting import Source

import empnn.data
from benchmarks.bench import RESULTS
from empnn.data.reading import read
from empnn.files import replacing

LIMIT = 5.0
"""Seconds that our reading of a file may take."""
LONG = 120.0
"""Seconds that a command may take, which may start a process."""
SHARES = {"damaged": 50, "changed": 43, "object": 5, "command": 2}
SILENT = ("FAILURE: silent difference", "FAILURE: not what is written")
_MEMORY = 16 << 30


class Outcome(NamedTuple):
    """What became of a case: its number, its group and kind, and the verdict."""

    number: int
    group: str
    kind: str
    outcome: str
    detail: str
    seconds: float


class Cases:
    """All cases, told by a seed and a number.

    Args:
        seed: The seed.
        folder: Where to work.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self._crystals = crystals()

    @cached_property
    def texts(self) -> dict[str, list[str]]:
        """Sound files to be damaged."""
        return fuzzing.texts_of(self._crystals)

    @cached_property
    def sources(self) -> list[Source]:
        """Crystals to be written down."""
        bare = [Atoms(one.numbers, cell=one.cell, positions=one.positions, pbc=True) for one in self._crystals]
        return [source for source in map(Source, bare) if source.settings]

    @cached_property
    def objects(self) -> objects.Judge:
        """Who calls the Python interface."""
        return objects.Judge(self.folder)

    @cached_property
    def prepared(self) -> Path:
        """Files for commands."""
        folder = self.folder / "prepared"
        folder.mkdir()
        options.prepare(folder)
        return folder

    def group(self, number: int) -> str:
        """Which kind of case it is."""
        (group,) = random.Random(f"{self.seed}/{number}").choices(list(SHARES), list(SHARES.values()))  # noqa: S311
        return group

    def file(self, number: int) -> fuzzing.Case:
        """The file of this number."""
        if self.group(number) == "damaged":
            return fuzzing.case(self.texts, self.seed, number)
        return semantics.case(self.sources, self.seed, number)

    def judge(self, number: int, on_phase: Callable[[float], None] = lambda limit: None) -> Outcome:
        """Judge a case; `on_phase` is told how long what begins may take, 0 for ever."""
        group = self.group(number)
        if group == "command":
            command = options.command(self.seed, number)
            on_phase(LONG)
            verdict = options.judge(command, self.prepared, self.folder / "work")
            kind = command.arguments[0]
        elif group == "object":
            on_phase(LONG)
            verdict = self.objects(self.seed, number)
            kind = "" if verdict.failed else verdict.outcome
        else:
            case = self.file(number)
            verdict = judges.judge(case, self.folder, lambda ours: on_phase(LIMIT if ours else 0.0))
            kind = case.kind if group == "damaged" else f"{case.kind}: {case.damage[0]}"
        on_phase(0.0)
        return Outcome(number, group, kind, verdict.outcome, verdict.detail, verdict.seconds)


def crystals() -> list[Atoms]:
    """A few dozen crystals: the package's samples, and some of each benchmark set where they are at hand."""
    chosen: list[Atoms] = ase.io.read(Path(empnn.data.__file__).parent / "samples" / "strained.extxyz", ":")[:12]
    root = Path(os.environ.get("EMPNN_DATA", ""))
    for name in ("carbon_24", "mp_20", "perov_5"):
        files = sorted((root / name).glob("val.csv*")) if str(root) != "." else []
        if files:
            records = [record for record, _ in zip(read(files[0]), range(2000), strict=False)]
            chosen += [record.atoms for record in records[::160] if record.atoms is not None]
    return chosen


class Worker:
    """A process that judges every n-th case, and says which one it is at, and until when it may be."""

    def __init__(self, context: Any, given: argparse.Namespace, first: int) -> None:
        self.at = context.Value("q", first)
        self.until = context.Value("d", 0.0)
        self.results = context.SimpleQueue()
        arguments = (given, first, self.at, self.until, self.results)
        self.process = context.Process(target=_work, args=arguments)
        self.process.start()

    def too_slow(self) -> bool:
        """Whether a case takes longer than it may."""
        return 0 < self.until.value < time.monotonic()


def _work(given: argparse.Namespace, first: int, at: Any, until: Any, out: Any) -> None:
    # A parser that is made to ask for the memory of the whole machine must not get it.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("ignore")

    def on_phase(limit: float) -> None:
        until.value = time.monotonic() + limit if limit else 0.0

    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(given.seed, Path(folder))
        for number in range(first, given.cases, given.processes):
            at.value = number
            out.put(cases.judge(number, on_phase))
    out.put(None)


def run(given: argparse.Namespace) -> list[Outcome]:
    """Judge all cases; a process that dies or hangs is a failure of the case it was at, and a new one goes on."""
    context = multiprocessing.get_context("spawn")
    workers = [Worker(context, given, first) for first in range(given.processes)]
    results: list[Outcome] = []
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
                results.append(Outcome(number, "", "", f"FAILURE: {reason}", "", LIMIT))
                workers.remove(worker)
                workers.append(Worker(context, given, number + given.processes))
    return sorted(results)


def report(given: argparse.Namespace, results: list[Outcome], seconds: float) -> int:
    """Write the figures; the number of failures."""
    failures = [result for result in results if result.outcome.startswith("FAILURE")]
    for one in failures:
        print(f"--seed {given.seed} --case {one.number}: {one.kind}: {one.outcome}: {one.detail}", file=sys.stderr)
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for one in results:
        outcome = one.outcome if one.group in ("damaged", "changed") or one not in failures else "FAILURE"
        counts[one.group][one.kind][outcome] += 1
    outcomes = Counter(one.outcome for one in results if one.group in ("damaged", "changed"))
    agreed = {name: sum(n for o, n in outcomes.items() if name in o.split("+")) for name in ("book", "pymatgen", "ase")}
    content = {
        "description": (__doc__ or "").strip().split("\n")[0],
        "cases": len(results),
        "seed": given.seed,
        "groups": dict(Counter(one.group for one in results)),
        "refused": outcomes["refused"],
        "doubted": outcomes["doubted"],
        "as_is_known_to_be_right": outcomes["as written"],
        "agreed_with": agreed,
        "disputed_among_judges": sum(n for o, n in outcomes.items() if o.startswith("disputed")),
        "read_and_explained": {o: n for o, n in sorted(outcomes.items()) if o.startswith("explained")},
        "silent_differences": sum(outcomes[name] for name in SILENT),
        "failures": len(failures),
        "by_kind": counts,
        "longest_reading_seconds": max(one.seconds for one in results if one.group in ("damaged", "changed")),
        "seconds": seconds,
        "versions": {name: version(name) for name in ("ase", "pymatgen", "gemmi", "spglib", "numpy")},
        "python": platform.python_version(),
    }
    with replacing(given.out) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=False) + "\n")
    print(json.dumps({key: value for key, value in content.items() if key != "by_kind"}, indent=1))
    return len(failures)


def show(given: argparse.Namespace) -> None:
    """One case again: its damage, its text and its verdict."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(given.seed, Path(folder))
        group = cases.group(given.case)
        if group in ("damaged", "changed"):
            case = cases.file(given.case)
            print(case.kind, *case.damage)
            print(case.content.decode("utf-8", "backslashreplace"))
        elif group == "command":
            print(options.command(given.seed, given.case).arguments)
        print(cases.judge(given.case))


def main() -> None:
    """Judge the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "fuzz.json")
    given = parser.parse_args()
    os.environ["SPGLIB_WARNING"] = "OFF"
    if given.case is not None:
        show(given)
        return
    started = time.monotonic()
    results = run(given)
    raise SystemExit(1 if report(given, results, time.monotonic() - started) else 0)


if __name__ == "__main__":
    main()
