"""Relaxing files of crystals: read, relax in chunks, write, and one line for each that was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path

from ase import Atoms

from empnn.data.reading import Record, read
from empnn.data.writing import writer
from empnn.errors import ConfigError, CrystalError
from empnn.relax import Relaxer

CHUNK = 256
REFUSED = "refused"


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


@dataclass(frozen=True)
class RelaxedFiles:
    """What became of all structures.

    Attributes:
        outcomes: One per structure, in the order read.
        written: Structures in the output.
    """

    outcomes: list[Outcome]
    written: int

    @property
    def skipped(self) -> int:
        """Structures that could not be read or were refused."""
        return sum(o.status == REFUSED for o in self.outcomes)

    def as_dict(self) -> dict[str, object]:
        """The JSON interface of `empnn relax`."""
        return {
            "relaxed": len(self.outcomes) - self.skipped,
            "skipped": self.skipped,
            "structures": [asdict(o) for o in self.outcomes],
        }


@dataclass(frozen=True, kw_only=True)
class RelaxOptions:
    """How files are relaxed.

    Attributes:
        passes: Applications of the network; the model's own number if None.
        batch_atoms: Atoms per batch.
        strict: Stop at the first structure that is refused, and write nothing.
        keep_failed: Write refused structures that could be read, unchanged.
    """

    passes: int | None
    batch_atoms: int
    strict: bool
    keep_failed: bool


def relax_files(
    inputs: Sequence[Path],
    output: Path,
    relaxer: Relaxer,
    options: RelaxOptions,
    on_outcome: Callable[[Outcome], None],
) -> RelaxedFiles:
    """Relax all structures of all files into one file; the output appears only when everything is done.

    Raises:
        ConfigError: If the output cannot be what it is asked to be.
        CrystalError: If a structure is refused and `options.strict` is set.
        OSError: If the output cannot be written.
    """
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise ConfigError(f"{output} is also an input; choose another output")
    write = writer(output)
    outcomes: list[Outcome] = []
    kept: list[Atoms] = []
    records = chain.from_iterable(read(path) for path in inputs)
    for chunk in _chunks(records, CHUNK):
        for outcome, atoms in _relax_chunk(chunk, relaxer, options):
            if outcome.status == REFUSED and options.strict:
                raise CrystalError(outcome.line)
            outcomes.append(outcome)
            on_outcome(outcome)
            if atoms is not None:
                kept.append(atoms)
                write.check(len(kept))
    if kept:
        write(kept)
    return RelaxedFiles(outcomes, len(kept))


def _relax_chunk(
    records: Sequence[Record], relaxer: Relaxer, options: RelaxOptions
) -> Iterator[tuple[Outcome, Atoms | None]]:
    readable = [r.atoms for r in records if r.atoms is not None]
    result = relaxer.relax(readable, passes=options.passes, batch_atoms=options.batch_atoms)
    results = zip(result.structures, result.status, result.warnings, strict=True)
    for record in records:
        if record.atoms is None:
            yield _outcome(record, REFUSED, message=record.error), None
            continue
        atoms, status, warnings = next(results)
        if atoms is None:
            message = status.removeprefix(f"{REFUSED}: ")
            failed = _marked(record.atoms.copy(), record, REFUSED) if options.keep_failed else None
            yield _outcome(record, REFUSED, message=message), failed
        else:
            yield _outcome(record, status, warnings=warnings), _marked(atoms, record, status, warnings)


def _outcome(record: Record, status: str, warnings: list[str] | None = None, message: str | None = None) -> Outcome:
    return Outcome(
        file=record.file, index=record.index, id=record.id, status=status, warnings=warnings or [], message=message
    )


def _marked(atoms: Atoms, record: Record, status: str, warnings: Sequence[str] = ()) -> Atoms:
    """Say in the structure itself what became of it and where it comes from."""
    if record.id is not None:
        atoms.info.setdefault("material_id", record.id)
    atoms.info["empnn_status"] = status
    atoms.info["empnn_source"] = record.source
    atoms.info.pop("empnn_warnings", None)
    if warnings:
        atoms.info["empnn_warnings"] = "; ".join(warnings)
    return atoms


def _chunks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    iterator = iter(records)
    while chunk := list(islice(iterator, size)):
        yield chunk
