"""Files of crystals in, one file or a folder of files out, some at a time, with a word on each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from ase import Atoms

from empnn.bulk.folder import Folder
from empnn.bulk.shards import ALL, Shard, ShardOutput, ShardRun, Share
from empnn.bulk.sinks import Sink, opened
from empnn.bulk.state import fingerprint
from empnn.checks.doubts import doubts_when_read
from empnn.crystals import from_atoms
from empnn.data.naming import STREAM
from empnn.data.reading import files_of, read
from empnn.data.records import Record, named
from empnn.data.writing import Copy
from empnn.errors import ConfigError, CrystalError
from empnn.files import check_outputs, check_parent

CHUNK = 256
CHUNK_ATOMS = 32_768
REFUSED = "refused"
SUSPECT = "suspect"
CONVERTED = "converted"
UNDONE = (REFUSED, "failed")
"""Statuses under `Outcome.then` of what an oracle did not relax."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one structure, in JSON types.

    Attributes:
        file: Name of the file as the caller gave it.
        index: Position in the file, from 0.
        id: Identifier in the file, where there is one.
        status: What became of it.
        warnings: Doubts and notes, in words.
        message: `what; what to do` of one that was refused.
        change: What changed of one that was relaxed, by name.
        errors: The errors that its model predicts, by name.
        picture: What a picture of it before and after takes; only of the few that are to be drawn.
        then: How far an oracle got that relaxed it on; None unless that was asked for.
        figures: What an oracle found, by name; None unless that was asked for.
    """

    file: str
    index: int
    id: str | None
    status: str
    warnings: list[str] = field(default_factory=list)
    message: str | None = None
    change: dict[str, Any] | None = None
    errors: dict[str, float] | None = None
    picture: dict[str, Any] | None = None
    then: dict[str, Any] | None = None
    figures: dict[str, Any] | None = None

    @property
    def line(self) -> str:
        """`file[index] (id): what; what to do`."""
        record = Record(file=self.file, index=self.index, id=self.id)
        return f"{record.label}: {self.message}"

    def as_dict(self, said: Sequence[str] = ()) -> dict[str, Any]:
        """What the JSON interface says of it, whatever is done, and what else is to be said."""
        entry = {name: getattr(self, name) for name in ("file", "index", "id", "status", "warnings", "message", *said)}
        return {**entry, **(self.figures or {})}

    @property
    def name(self) -> str:
        """The identifier, or without one `file[index]`."""
        return self.id or Record(file=self.file, index=self.index).source

    def refused(self, message: str) -> Outcome:
        """What became of it if nothing did, for this reason."""
        return Outcome(file=self.file, index=self.index, id=self.id, status=REFUSED, message=message)


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
        replaced: Files that were there before.
        then: How many of those that an oracle relaxed on got how far.
    """

    done: int = 0
    suspect: int = 0
    skipped: int = 0
    resumed: int = 0
    written: int = 0
    discarded: int = 0
    replaced: int = 0
    then: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        """Add one structure."""
        if outcome.then is not None:
            self.then[outcome.then["status"]] += 1
        refused = outcome.status in UNDONE
        self.skipped += refused
        self.done += not refused
        self.suspect += outcome.status == SUSPECT or (outcome.status == CONVERTED and bool(outcome.warnings))


Done = Generator[tuple[Outcome, Atoms | None], None, None]
"""What becomes of structures, one after the other."""


class Work:
    """What is done with structures.

    Attributes:
        name: What it is called, in one word.
        settings: What decides the result besides the input, in JSON types.
        said: What the JSON interface says of each outcome besides what it says of all.
        say: Takes a line on what takes long, as soon as there is something to be said.
        slow: Whether a structure takes so long that each is to be kept at once.
    """

    name: str
    settings: dict[str, Any]
    said: Sequence[str] = ()
    slow = False
    say: Callable[[str], None] = staticmethod(lambda line: None)

    def __call__(self, records: Sequence[Record]) -> Done:
        """What becomes of each, in order, and what is written, if anything."""
        raise NotImplementedError

    def passed(self, outcome: Outcome) -> None:
        """Learn of a structure that an earlier run had done."""


class Conversion(Work):
    """Nothing is done but reading and writing."""

    name = "convert"
    settings: dict[str, Any] = {"converted": True}  # noqa: RUF012

    def __call__(self, records: Sequence[Record]) -> Done:
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
    output: Path | Folder | Shard,
    work: Work,
    on_outcome: Callable[[Outcome], None],
    strict: bool = False,
    resume: bool = False,
    on_share: Callable[[float], None] = lambda share: None,
) -> Summary:
    """Do something with all structures of all inputs.

    An output file appears only when everything is done; in a folder each file as soon as its structure is done.

    Memory does not grow with the number of structures where the formats let them be read and written a part at a time
    (extxyz, CSV, parquet, feather).

    Args:
        inputs: Files, folders, patterns, or `-` for standard input.
        output: The file to write; its name tells the format. `-` is extxyz on standard output. Or a folder, in which
            each structure gets a file of its own, called as its input is (see `empnn.data.naming`). Or a shard of an
            output, for which only its share of the structures is worked on; `merge` joins it with the others.
        work: What is done.
        on_outcome: Called for each structure, also for those that an earlier run had done.
        strict: Stop at the first structure that is refused; an output file is not written then.
        resume: Go on where a run that was stopped had come to.
        on_share: Told, now and then, which part of the bytes of the inputs has been gone through; not of streams.

    Raises:
        ConfigError: If the output cannot be what it is asked to be.
        CrystalError: If a structure is refused and `strict` is set.
        OSError: If the output cannot be written.
    """
    files = [file for path in inputs for file in files_of(path)]
    streams = STREAM in (str(output), *map(str, files))
    if isinstance(output, Path):
        check_outputs([None if str(output) == STREAM else output], files)
    else:
        check_apart(output.folder if isinstance(output, Shard) else output.path, inputs)
    if resume and streams:
        raise ConfigError("`resume`: what comes from or goes to a stream cannot be resumed; use files")
    if isinstance(output, Shard) and streams:
        raise ConfigError("`shard`: what comes from a stream cannot be shared among processes; use files")
    summary, reached = Summary(), Reached(files)
    share = output.part if isinstance(output, Shard) and isinstance(output.part, Share) else ALL
    records = 1 if work.slow else None
    sinking: AbstractContextManager[Sink]
    if isinstance(output, Shard):
        sinking = ShardOutput(output, run_of(files, work), resume, records)
    else:
        sinking = opened(output, files, {"inputs": fingerprint(files), **work.settings}, resume, records)
    with sinking as sink:
        for note in sink.journal():
            outcome = Outcome(**note)
            work.passed(outcome)
            summary.count(outcome)
            summary.resumed += 1
            on_outcome(outcome)
        start = share.number + summary.resumed * share.of
        for chunk in chunks(iter(()) if sink.complete else read(*files, start=start, step=share.of)):
            with closing(work(chunk)) as done:
                for record, (outcome, atoms) in zip(chunk, done, strict=True):
                    settled = written(sink, outcome, atoms, str(record.name), strict)
                    summary.count(settled)
                    on_outcome(settled)
            share_done = reached.with_it(chunk[-1].file, chunk[-1].share)
            if share_done is not None:
                on_share(share_done)
    summary.written, summary.discarded, summary.replaced = sink.written, sink.discarded, sink.replaced
    return summary


def run_of(files: Sequence[Path], work: Work) -> ShardRun:
    """What all shards of a run share."""
    names = list(map(str, files))
    return ShardRun(work.name, work.said, names, fingerprint(files), work.settings)


def check_apart(folder: Path, inputs: Sequence[Path]) -> None:
    """Refuse a folder within one whose files are read: the next time its own would be among them."""
    check_parent(folder)
    place = Path(os.path.realpath(folder))
    for path in inputs:
        if path.is_dir() and place.is_relative_to(os.path.realpath(path)):
            raise ConfigError(f"{folder} is in the input folder {path}, and would be read with it; choose another")


class Reached:
    """How much of files has been gone through, by their sizes."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [str(file) for file in files]
        self._ends = list(accumulate((file.stat().st_size if file.is_file() else 0 for file in files), initial=0))
        self._at = 0

    def with_it(self, file: str, share: float) -> float | None:
        """How much has been gone through with this share of a file; of one given twice the first counts.

        None if the files have no size, as streams.
        """
        self._at = self._files.index(file, self._at)
        start, end = self._ends[self._at : self._at + 2]
        return (start + share * (end - start)) / self._ends[-1] if self._ends[-1] else None


def written(sink: Sink, outcome: Outcome, atoms: Atoms | Copy | None, name: str, strict: bool) -> Outcome:
    """The outcome of a structure once it is handed on; refused if the format cannot hold it."""
    if outcome.status == REFUSED and strict:
        raise CrystalError(outcome.line)
    try:
        if atoms is not None:
            outcome = replace(outcome, warnings=[*outcome.warnings, *sink.losses(atoms, name)])
        sink.add(asdict(outcome), atoms, name)
    except CrystalError as error:
        return written(sink, outcome.refused(str(error)), None, name, strict)
    return outcome


def outcome_of(record: Record, status: str, warnings: Sequence[str] = (), message: str | None = None) -> Outcome:
    """What became of a record."""
    return Outcome(
        file=record.file, index=record.index, id=record.id, status=status, warnings=list(warnings), message=message
    )


def marked(
    record: Record, atoms: Atoms, status: str, warnings: Sequence[str] = (), figures: Mapping[str, float] | None = None
) -> Atoms:
    """Say in the structure itself what became of it and where it comes from, and figures on that by name."""
    if record.id is not None:
        atoms.info.setdefault("material_id", record.id)
    atoms.info["empnn_status"] = status
    atoms.info["empnn_source"] = record.source
    for name in [name for name in atoms.info if name == "empnn_warnings" or name.startswith("empnn_error_")]:
        del atoms.info[name]
    if warnings:
        atoms.info["empnn_warnings"] = "; ".join(warnings)
    atoms.info.update({f"empnn_{name}": round(value, 6) for name, value in (figures or {}).items()})
    return atoms


def chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
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
