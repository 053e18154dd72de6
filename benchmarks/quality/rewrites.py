"""Valid files of real crystals rewritten equivalently: how many of each kind are read, and right.

Setting (by spglib's Hall numbers), origin, operators listed or not, order of loops, columns and atoms, choice of cell,
direct or Cartesian, scale, and what else may be written in several ways. The crystal must come out as it was written:
lattice, species and coordinates, without a doubt. Kinds that may be refused stand apart.

Usage: python -m benchmarks.quality.rewrites [--crystals 300] [--seed 0] [--as after]   (EMPNN_DATA names the data sets)
       PYTHONPATH=OLD/src python -m benchmarks.quality.rewrites --as before   measures other sources (column `before`)
"""

import argparse
import json
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from support.readings import reading_of, same
from support.rewriting import DOUBTFUL, VALID, Rewrite, Source

from benchmarks.bench import RESULTS
from empnn.checks.refusals import refusals as checking
from empnn.crystals import from_atoms
from empnn.data.reading import read
from empnn.data.sets import locate, split_file

OUT = RESULTS / "rewrites.json"
RIGHT = 0.99
MAX_ATOMS = 24


def main() -> None:
    """Rewrite, read, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as", dest="column", choices=("before", "after"), default="after")
    parser.add_argument("--show", type=int, default=1, help="Failures of each kind that are printed.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sources = [Source(atoms) for atoms in chosen(options.crystals)]
    figures = {
        title: {kind: figures_of(kind, rewriting, sources, options) for kind, rewriting in kinds.items()}
        for title, kinds in (("valid", VALID), ("doubtful", DOUBTFUL))
    }
    write(figures, options)
    short = [kind for kind, counts in figures["valid"].items() if counts["right"] < RIGHT * counts["files"]]
    wrong = [kind for kinds in figures.values() for kind, counts in kinds.items() if counts["wrong"]]
    if options.column == "after" and (short or wrong):
        raise SystemExit(
            f"under {RIGHT:.0%} right: {', '.join(short) or 'none'}; read wrong: {', '.join(wrong) or 'none'}"
        )


def chosen(count: int) -> list[Atoms]:
    """Crystals of MP-20's val in turn from each space group, small ones first come."""
    by_group: dict[str, list[Atoms]] = {}
    for record in read(split_file(locate(None, "mp_20"), "val")):
        if record.atoms is not None and len(record.atoms) <= MAX_ATOMS:
            by_group.setdefault(str(record.atoms.info.get("spacegroup.number")), []).append(record.atoms)
    rounds = range(max(map(len, by_group.values())))
    in_turn = (group[turn] for turn in rounds for group in by_group.values() if turn < len(group))
    return [
        Atoms(a.numbers, cell=a.cell, positions=a.positions, pbc=True)
        for a, _ in zip(in_turn, range(count), strict=False)
    ]


def figures_of(kind: str, rewriting: Any, sources: Sequence[Source], options: argparse.Namespace) -> dict[str, int]:
    """How many files of a kind are read right, doubted, refused or read wrong."""
    counts: Counter[str] = Counter()
    for index, source in enumerate(sources):
        rng = random.Random(f"{options.seed}/{kind}/{index}")  # noqa: S311
        rewrite = rewriting(source, rng)
        if rewrite is None:
            continue
        outcome, why = outcome_of(rewrite)
        counts[outcome] += 1
        if outcome != "right" and counts[outcome] <= options.show:
            text = rewrite.content.decode("latin-1")
            print(f"--- {kind}: {outcome}: {why}\n{text if options.show > 1 else ''}", file=sys.stderr)
    found = {name: counts[name] for name in ("right", "doubted", "refused", "wrong")}
    print(f"{kind:60s}", found, flush=True)
    return {"files": sum(counts.values()), **found}


def outcome_of(rewrite: Rewrite) -> tuple[str, str]:
    """What became of a file, and why."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / rewrite.name
        path.write_bytes(rewrite.content)
        records = list(read(path))
    for record in records:
        if record.atoms is None or (why := refused(record.atoms)):
            return "refused", str(record.error if record.atoms is None else why)
    if len(records) != 1 or not same(reading_of(records[0].atoms), rewrite.crystal):
        return "wrong", f"{len(records)} structures, {records[0].atoms}"
    doubts = records[0].atoms.info.get("empnn_doubts")
    return ("doubted", str(doubts)) if doubts else ("right", "")


def refused(atoms: Atoms) -> str | None:
    """Why a crystal is refused, if it is."""
    # In the sources of before the function stood where its module stands now.
    refusals = getattr(checking, "refusals", checking)
    reason: str | None = refusals(from_atoms(atoms))[0]
    return reason


def write(figures: dict[str, dict[str, dict[str, int]]], options: argparse.Namespace) -> None:
    """Put the figures into their column, and leave the other one."""
    content: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    content |= {"description": str(__doc__).partition("\n")[0], "crystals": options.crystals, "seed": options.seed}
    for title, kinds in figures.items():
        columns = content.setdefault(title, {})
        for kind, counts in kinds.items():
            columns.setdefault(kind, {})[options.column] = counts
        total = {name: sum(counts[name] for counts in kinds.values()) for name in next(iter(kinds.values()))}
        shares = {f"share_{name}": round(total[name] / total["files"], 4) for name in ("right", "refused")}
        content.setdefault(f"{title}_in_all", {})[options.column] = {**total, **shares}
    OUT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
