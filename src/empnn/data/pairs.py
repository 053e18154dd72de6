"""Pairs of unrelaxed and relaxed crystals: read, checked one by one, and kept in the cache as crystals are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np

from empnn.checks.pairs import far_apart, other_atoms
from empnn.corruption.pairs import in_nearest_basis
from empnn.crystals import CrystalBatch
from empnn.data import reading
from empnn.data.array_files import Layout, Spool, load_arrays
from empnn.data.pair_files import SIDES, PairFiles
from empnn.data.parsing import Origin, line, parsed, with_file
from empnn.data.records import Entry, refuse
from empnn.data.store import CACHE_VERSION, StoredCrystals, check_files, content_key, lines_in
from empnn.errors import ConfigError
from empnn.files import cache_folder

_VERSION = "1"
"""To be raised when pairs are checked otherwise."""
_CHUNK = 1024
"""Pairs that are parsed and checked together."""
_LAYOUT: Layout = {
    "cell_before": ("F64", np.float64, (3, 3)),
    "cell_relaxed": ("F64", np.float64, (3, 3)),
    "frac_before": ("F64", np.float64, (3,)),
    "frac_relaxed": ("F64", np.float64, (3,)),
    "starts": ("I64", np.int64, ()),
    "index": ("I64", np.int64, ()),
    "numbers": ("U8", np.uint8, ()),
    "refused": ("U8", np.uint8, ()),
}


@dataclass(frozen=True)
class PairSet:
    """Unrelaxed and relaxed crystals in arrays that may lie on disk.

    Attributes:
        before: The unrelaxed crystals.
        relaxed: What they relax to: the same atoms in the same order, in the basis nearest to theirs.
        refused: `file[index] (id): what; what to do` for each pair that cannot be used.
    """

    before: StoredCrystals
    relaxed: StoredCrystals
    refused: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.before)

    def subset(self, index: Sequence[int] | np.ndarray) -> PairSet:
        """Some of the pairs, without copying them."""
        return PairSet(self.before.subset(index), self.relaxed.subset(index), self.refused)


def load_pairs(files: PairFiles) -> PairSet:
    """All pairs of some files, parsed and checked once and then taken from the cache.

    Raises:
        ConfigError: If a file does not exist, two files do not hold as many structures, or no pair can be used.
    """
    names = list(chain.from_iterable(files))
    check_files(names)
    cached = cache_folder() / f"{content_key(names)}-pairs-v{CACHE_VERSION}.{_VERSION}.safetensors"
    arrays = load_arrays(cached, _LAYOUT)
    if arrays is None:
        with Spool(_LAYOUT) as spool:
            _parse(files, names, spool)
            arrays = spool.stored(cached)
    refused = tuple(with_file(text, names) for text in lines_in(arrays["refused"]))
    return PairSet(_side_of(arrays, "before"), _side_of(arrays, "relaxed"), refused)


def _side_of(arrays: dict[str, np.ndarray], side: str) -> StoredCrystals:
    own = {name: arrays[f"{name}_{side}"] for name in ("cell", "frac")}
    return StoredCrystals({**own, "starts": arrays["starts"], "numbers": arrays["numbers"]}, arrays["index"])


def _parse(files: PairFiles, names: list[Path], spool: Spool) -> None:
    """Read pairs, check each, and put them into arrays."""
    pairs = (pair for number, sides in enumerate(files) for pair in _entries(number, sides))
    all_ids: tuple[set[str], set[str]] = (set(), set())
    kept: list[tuple[Origin, str, str]] = []
    refused: list[str] = []
    atoms = 0
    spool.append("starts", np.zeros(1))
    while chunk := list(islice(pairs, _CHUNK)):
        found = _checked(chunk, names)
        for known, ids in zip(all_ids, found.ids, strict=True):
            known.update(ids)
        kept += [(found.origins[place], found.ids[0][place], found.ids[1][place]) for place in found.places]
        refused += [text for _, text in sorted(found.lines.items())]
        spool.append("cell_before", found.before.cell.numpy())
        spool.append("cell_relaxed", found.relaxed.cell.numpy())
        spool.append("frac_before", found.before.frac.numpy())
        spool.append("frac_relaxed", found.relaxed.frac.numpy())
        spool.append("numbers", found.before.numbers.numpy())
        spool.append("starts", found.before.starts.numpy()[1:] + atoms)
        atoms += found.before.n_atoms
    index = []
    for row, (origin, first, second) in enumerate(kept):
        if first and second and first != second and (first in all_ids[1] or second in all_ids[0]):
            reason = f"relaxed, it is {second}, which is another pair; put both files in the same order"
            refused.append(line(origin, first, reason))
        else:
            index.append(row)
    if not index:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ConfigError(f"data.pairs: no pair can be used: {with_file(refused[0], names)}{more}")
    spool.append("index", np.array(index))
    spool.append_lines("refused", refused)


_Side = tuple[Origin, Entry]


def _entries(number: int, files: tuple[Path, Path]) -> Iterator[tuple[_Side, _Side]]:
    """The structures of two files, or of both sides of one, in pairs; files are counted by sides.

    Raises:
        ConfigError: If there are not as many on both sides, or a file of both holds neither.
    """
    sides = SIDES if files[0] == files[1] else ("", "")
    streams = [reading.entries(file, side) for file, side in zip(files, sides, strict=True)]
    heads: list[Entry | None] = [None, None]
    for index, found in enumerate(zip_longest(*streams)):
        first, second = found
        heads = heads if index else [first, second]
        if first is None or second is None:
            counts = [
                index + (one is not None) + sum(1 for _ in more) for one, more in zip(found, streams, strict=True)
            ]
            raise ConfigError(_unequal(files, counts, heads))
        yield ((2 * number, index), first), ((2 * number + 1, index), second)
    whole = _refusal(files, [index + 1] * 2, heads) if files[0] == files[1] else None
    if whole is not None:
        raise ConfigError(whole)


def _unequal(files: tuple[Path, Path], counts: list[int], heads: list[Entry | None]) -> str:
    return _refusal(files, counts, heads) or (
        f"data.pairs: {files[0]} holds {counts[0]:,} structures and {files[1]} {counts[1]:,}; "
        "give each structure a place in both, in the same order"
    )


def _refusal(files: tuple[Path, Path], counts: list[int], heads: list[Entry | None]) -> str | None:
    """What is said of a whole file in the place of its structures."""
    for file, count, head in zip(files, counts, heads, strict=True):
        if count == 1 and head is not None and head.parse is refuse:
            return f"{file}: {head.content}"
    return None


@dataclass
class _Checked:
    """Pairs as they are checked.

    Attributes:
        before: The unrelaxed crystals of the pairs that fit so far.
        relaxed: What they relax to.
        places: Their places among all.
        origins: Where the unrelaxed crystal of each of all pairs comes from.
        ids: The identifiers of all, by side.
        lines: A line about each of the others, by place.
    """

    before: CrystalBatch
    relaxed: CrystalBatch
    places: np.ndarray
    origins: list[Origin]
    ids: tuple[list[str], list[str]]
    lines: dict[int, str]

    def note(self, place: int, origin: Origin, reason: str) -> None:
        """Say why a pair cannot be used, unless something was said of it before."""
        self.lines.setdefault(place, line(origin, self.ids[0][place] or self.ids[1][place], reason))

    def leave_out(self, misfits: list[str | None]) -> None:
        """Keep the pairs of which nothing is said."""
        for place, reason in zip(self.places.tolist(), misfits, strict=True):
            if reason is not None:
                self.note(place, self.origins[place], reason)
        rows = np.array([row for row, reason in enumerate(misfits) if reason is None], dtype=np.int64)
        self.places = self.places[rows]
        self.before, self.relaxed = self.before.select(rows), self.relaxed.select(rows)


def _checked(chunk: list[tuple[_Side, _Side]], names: list[Path]) -> _Checked:
    first, second = (parsed([pair[side] for pair in chunk], names) for side in range(2))
    places = np.intersect1d(first.kept, second.kept).astype(np.int64)
    before, relaxed = (part.crystals.select(np.searchsorted(part.kept, places)) for part in (first, second))
    pairs = _Checked(before, relaxed, places, first.origins, (first.ids, second.ids), {})
    for side, part in zip(SIDES, (first, second), strict=True):
        for place, reason in part.reasons.items():
            shared = names[first.origins[place][0]] == names[second.origins[place][0]]
            pairs.note(place, part.origins[place], f"{side}: {reason}" if shared else reason)
    pairs.leave_out(other_atoms(pairs.before, pairs.relaxed))
    pairs.relaxed = in_nearest_basis(pairs.before, pairs.relaxed)
    pairs.leave_out(far_apart(pairs.before, pairs.relaxed))
    return pairs
