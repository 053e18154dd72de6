"""Structures of files parsed and checked, some thousand at a time: usable crystals, and why the others are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from empnn import crystals
from empnn.checks.refusals import refusals
from empnn.crystals import CrystalBatch
from empnn.data.formats.cif.plain import PlainCrystals
from empnn.data.records import Entry
from empnn.errors import CrystalError

CHUNK = 4096
"""Structures that are parsed and checked together."""


Origin = tuple[int, int]
"""Where a structure comes from: the number of its file among those that are read, and its place there."""


@dataclass(frozen=True)
class Parsed:
    """What became of some entries.

    Attributes:
        crystals: The usable crystals.
        kept: Their places among the entries, ascending.
        origins: Where each entry comes from.
        ids: The identifier of each entry, empty where it has none.
        reasons: `what; what to do` for each of the others, by place.
    """

    crystals: CrystalBatch
    kept: list[int]
    origins: list[Origin]
    ids: list[str]
    reasons: dict[int, str]

    def lines(self) -> list[str]:
        """A line about each of the others."""
        return [line(self.origins[place], self.ids[place], self.reasons[place]) for place in sorted(self.reasons)]


def line(origin: Origin, identifier: str, reason: str) -> str:
    """A message that names the file by its number, for the same content may lie elsewhere when it is shown."""
    number, index = origin
    label = f"[{index}] ({identifier})" if identifier else f"[{index}]"
    return f"{number}\t{label}: {reason}"


def with_file(line: str, files: Sequence[Path]) -> str:
    """The message with the name of its file."""
    number, _, rest = line.partition("\t")
    return f"{files[int(number)]}{rest}"


def parsed(entries: Iterable[tuple[Origin, Entry]], files: Sequence[Path]) -> Parsed:
    """The usable crystals of some entries, and what is wrong with the others."""
    plain, others = PlainCrystals(), []
    origins: list[Origin] = []
    ids: list[str] = []
    readable: list[int] = []
    place: list[int] = []
    reasons: dict[int, str] = {}
    for position, (origin, entry) in enumerate(entries):
        if entry.cif is not None and plain.add(entry.cif):
            identifier = entry.id
            place.append(-len(plain.sizes))
        else:
            record = entry.record(str(files[origin[0]]), origin[1])
            identifier = record.id
            try:
                if record.atoms is None:
                    raise CrystalError(str(record.error))
                others.append(crystals.from_atoms(record.atoms))
                place.append(len(others) - 1)
            except CrystalError as error:
                reasons[position] = str(error)
        origins.append(origin)
        ids.append(identifier or "")
        if position not in reasons:
            readable.append(position)
    n_plain = len(plain.sizes)
    order = [-p - 1 if p < 0 else n_plain + p for p in place]
    batch = CrystalBatch.cat([crystals.from_ragged(*plain.arrays()), *others]).select(order)
    for position, reason in zip(readable, refusals(batch), strict=True):
        if reason is not None:
            reasons[position] = reason
    kept = [row for row, position in enumerate(readable) if position not in reasons]
    return Parsed(batch.select(kept), [readable[row] for row in kept], origins, ids, reasons)
