"""Files of crystals in, one file of crystals out, some at a time, with a word on each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from ase import Atoms

from empnn.bulk.resumable import PartedOutput, fingerprint
from empnn.checks.doubts import doubts_when_read
from empnn.crystals import from_atoms
from empnn.data.reading import STREAM, files_of, read
from empnn.data.records import Record, named
from empnn.data.writing import FORMATS, Writer
from empnn.errors import ConfigError, CrystalError
from empnn.files import check_outputs

CHUNK = 256
CHUNK_ATOMS = 32_768
REFUSED = "refused"
CONVERTED = "converted"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one structure; the fields are those of the JSON interface."""

    file: str
    index: int
    id: str | None
    status: str
    warnings: list[str] = field(default_factory=list)
    message: str | None = None

    @property
    def line(self) -> str:
        """`file[index] (id): what; what to do`."""
        record = Record(file=self.file, index=self.index, id=self.id)
        return f"{record.label}: {self.message}"


@dataclass
class Summary:
    """How many structures became what.

    Attributes:
        done: Structures that were not refused.
        suspect: Those of them with doubts.
        skipped: Structures that could not be read or were refused.
        resumed: Structures that an earlier run had done.
        written: Structures in the output.
        discarded: Structures that a run that was stopped had done, and that were done again.
    """

    done: int = 0
    suspect: int = 0
    skipped: int = 0
    resumed: int = 0
    written: int = 0
    discarded: int = 0

    def count(self, outcome: Outcome) -> None:
        """Add one structure."""
        refused = outcome.status == REFUSED
        self.skipped += refused
        self.done += not refused
        self.suspect += outcome.status == "suspect" or (outcome.status == CONVERTED and bool(outcome.warnings))


class Work:
    """What is done with structures.

    Attributes:
        settings: What decides the result besides the input, in JSON types.
    """

    settings: dict[str, Any]

    def __call__(self, records: Sequence[Record]) -> Iterable[tuple[Outcome, Atoms | None]]:
        """What becomes of each, and what is written, if anything."""
        raise NotImplementedError

    def passed(self, outcome: Outcome) -> None:
        """Learn of a structure that an earlier run had done."""


class Conversion(Work):
    """Nothing is done but reading and writing."""

    settings: dict[str, Any] = {"converted": True}  # noqa: RUF012

    def __call__(self, records: Sequence[Record]) -> Iterator[tuple[Outcome, Atoms | None]]:
        """The structures as they are."""
        for record in records:
            try:
                if record.atoms is None:
                    raise CrystalError(str(record.error))
                from_atoms(record.atoms)
            except CrystalError as error:
                yield outcome_of(record, REFUSED, message=str(error)), None
            else:
                yield outcome_of(record, CONVERTED, doubts_when_read(record.atoms)), named(record)


def process(
    inputs: Sequence[Path],
    output: Path,
    work: Work,
    on_outcome: Callable[[Outcome], None],
    strict: bool = False,
    resume: bool = False,
    on_share: Callable[[float], None] = lambda share: None,
) -> Summary:
    """Do something with all structures of all inputs; the output appears only when everything is done.

    Memory does not grow with the number of structures where the formats let them be read and written a part at a time
    (extxyz, CSV, parquet, feather).

    Args:
        inputs: Files, folders, patterns, or `-` for standard input.
        output: The file to write; its name tells the format. `-` is extxyz on standard output.
        work: What is done.
        on_outcome: Called for each structure, also for those that an earlier run had done.
        strict: Stop at the first structure that is refused, and write nothing.
        resume: Go on where a run that was stopped had come to.
        on_share: Told, now and then, which part of the bytes of the inputs has been gone through; not of streams.

    Raises:
        ConfigError: If the output cannot be what it is asked to be.
        CrystalError: If a structure is refused and `strict` is set.
        OSError: If the output cannot be written.
    """
    files = [file for path in inputs for file in files_of(path)]
    check_outputs([None if str(output) == STREAM else output], files)
    if resume and STREAM in (str(output), *map(str, files)):
        raise ConfigError("`resume`: what comes from or goes to a stream cannot be resumed; use files")
    summary, share = Summary(), _Share(files)
    with _sink(output, {"inputs": fingerprint(files), **work.settings}, resume) as sink:
        for note in sink.journal():
            outcome = Outcome(**note)
            work.passed(outcome)
            summary.count(outcome)
            summary.resumed += 1
            on_outcome(outcome)
        for chunk in _chunks(read(*files, start=summary.resumed)):
            for outcome, atoms in work(chunk):
                settled = _written(sink, outcome, atoms, strict)
                summary.count(settled)
                on_outcome(settled)
            share.reach(chunk[-1], on_share)
    summary.written, summary.discarded = sink.written, sink.discarded
    return summary


class _Share:
    """How much of files has been gone through, by their sizes."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [str(file) for file in files]
        self._ends = list(accumulate((file.stat().st_size if file.is_file() else 0 for file in files), initial=0))
        self._at = 0

    def reach(self, record: Record, tell: Callable[[float], None]) -> None:
        """Tell how much has been gone through with this record; of a file given twice the first one counts."""
        self._at = self._files.index(record.file, self._at)
        start, end = self._ends[self._at : self._at + 2]
        if self._ends[-1]:
            tell((start + record.share * (end - start)) / self._ends[-1])


def _written(sink: PartedOutput | _Stream, outcome: Outcome, atoms: Atoms | None, strict: bool) -> Outcome:
    """The outcome of a structure once it is handed on; refused if the format cannot hold it."""
    if outcome.status == REFUSED and strict:
        raise CrystalError(outcome.line)
    try:
        if atoms is not None:
            outcome = replace(outcome, warnings=[*outcome.warnings, *sink.losses(atoms)])
        sink.add(asdict(outcome), atoms)
    except CrystalError as error:
        refused = replace(outcome, status=REFUSED, warnings=[], message=str(error))
        return _written(sink, refused, None, strict)
    return outcome


def outcome_of(record: Record, status: str, warnings: Sequence[str] = (), message: str | None = None) -> Outcome:
    """What became of a record."""
    return Outcome(
        file=record.file, index=record.index, id=record.id, status=status, warnings=list(warnings), message=message
    )


def marked(record: Record, atoms: Atoms, status: str, warnings: Sequence[str] = ()) -> Atoms:
    """Say in the structure itself what became of it and where it comes from."""
    if record.id is not None:
        atoms.info.setdefault("material_id", record.id)
    atoms.info["empnn_status"] = status
    atoms.info["empnn_source"] = record.source
    atoms.info.pop("empnn_warnings", None)
    if warnings:
        atoms.info["empnn_warnings"] = "; ".join(warnings)
    return atoms


class _Stream:
    """Extxyz on standard output, as it comes."""

    written = 0
    discarded = 0

    def journal(self) -> Iterator[dict[str, Any]]:
        yield from ()

    def __init__(self) -> None:
        self._write = Writer(Path(STREAM), FORMATS[".extxyz"])

    def losses(self, atoms: Atoms) -> list[str]:
        return self._write.losses(atoms)

    def add(self, note: dict[str, Any], atoms: Atoms | None) -> None:
        if atoms is not None:
            sys.stdout.write(self._write.prepared(atoms))
            self.written += 1


def _sink(output: Path, settings: dict[str, Any], resume: bool) -> AbstractContextManager[PartedOutput | _Stream]:
    return nullcontext(_Stream()) if str(output) == STREAM else PartedOutput(output, settings, resume)


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Records that are done together: so many, or so many atoms."""
    chunk: list[Record] = []
    atoms = 0
    for record in records:
        chunk.append(record)
        atoms += 0 if record.atoms is None else len(record.atoms)
        if len(chunk) >= CHUNK or atoms >= CHUNK_ATOMS:
            yield chunk
            chunk, atoms = [], 0
    if chunk:
        yield chunk
