"""Output in parts that survive a kill, joined into one file at the end.

While it grows, the output lies in a hidden folder beside its place: some thousands of structures per file, each with a
journal of what became of every input record. A part is there with its journal or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ase import Atoms

from empnn.bulk.state import check_settings, keep_settings, locked, say_how_to_go_on
from empnn.data.writing import Copy, writer
from empnn.files import replacing

RECORDS = 4_096
"""Most input records per part, unless told otherwise."""
ATOMS = 200_000
"""Atoms after which a part ends: it is in memory until then."""

_JOURNAL = ".jsonl"


class PartedOutput:
    """One output file, written part by part.

    Use as a context manager: leaving it without an error joins the parts; otherwise they stay for a run that resumes.

    Args:
        path: The output.
        settings: What decides the content, in JSON types; a run resumes only what was begun with the same.
        resume: Go on where a run that was stopped had come to; otherwise what it did is discarded.
        records: Most input records per part.

    Raises:
        ConfigError: If the output cannot be written, another process is writing it, or it was begun
            with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool = False, records: int | None = None) -> None:
        self._records = records or RECORDS
        self._write = writer(path)
        self._settings = settings
        self._folder = path.parent / f".{path.name}.parts"
        self._resume = resume
        self._entries: list[tuple[dict[str, Any], Any | None]] = []
        self._atoms = 0
        self._lock: IO[str] | None = None
        self.complete = False
        """Whether an earlier run has done everything."""
        self.written = 0
        """Structures in the output so far."""
        self.discarded = 0
        """Records that a run that was stopped had done."""
        self.replaced = 0
        """Files that were there before."""

    def __enter__(self) -> PartedOutput:
        self._lock = locked(self._folder, self._write.path)
        try:
            if self._resume:
                check_settings(self._folder, self._settings, self._write.path)
            else:
                self._clear()
            keep_settings(self._folder, self._settings)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        complete = False
        try:
            if error is None or isinstance(error, KeyboardInterrupt):
                self._flush()
            if error is None:
                self._finish()
                complete = True
        except BaseException as failure:
            error = failure
            raise
        finally:
            if complete or not self._journals():
                self._remove_parts()
                shutil.rmtree(self._folder, ignore_errors=True)
            elif error is not None:
                say_how_to_go_on(error)
            self._release()

    def journal(self) -> Iterator[dict[str, Any]]:
        """What earlier runs noted of each input record, in order."""
        for line in self._lines():
            entry = json.loads(line)
            self.written += entry["written"]
            yield entry["note"]

    def losses(self, atoms: Atoms | Copy, name: str) -> list[str]:
        """Notes on what the format has no place for."""
        return self._write.losses(atoms)

    def add(self, note: dict[str, Any], atoms: Atoms | Copy | None, name: str) -> None:
        """Take what became of the next input record: a note, and the structure unless there is none to be written.

        Raises:
            CrystalError: If the format cannot hold the structure; nothing is taken then.
        """
        prepared = None
        if atoms is not None:
            prepared = self._write.prepared(atoms)
            self._atoms += len(atoms)
            self.written += 1
            self._write.check(self.written)
        self._entries.append(({"note": note, "written": prepared is not None, "name": name}, prepared))
        if len(self._entries) >= self._records or self._atoms >= ATOMS:
            self._flush()

    def _flush(self) -> None:
        if not self._entries:
            return
        # Whatever happens from here on, no record is written twice: what is not noted is done again.
        entries, self._entries, self._atoms = self._entries, [], 0
        number = len(self._journals())
        structures = [prepared for _, prepared in entries if prepared is not None]
        if structures:
            self._write.part(self._folder / f"{number:06d}-{self._write.path.name}", structures)
        lines = (json.dumps(entry) + "\n" for entry, _ in entries)
        with replacing(self._folder / f"{number:06d}{_JOURNAL}") as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def _finish(self) -> None:
        """Make the output of its parts."""
        if parts := self._parts():
            self.replaced = int(self._write.path.is_file())
            self._write.join(parts)

    def _lines(self) -> Iterator[str]:
        """All that is noted, a line per record."""
        for path in self._journals():
            with path.open(encoding="utf-8") as handle:
                yield from handle

    def _journals(self) -> list[Path]:
        """Those that are complete: one that was being written when a run was killed has another name."""
        return sorted(self._folder.glob(f"[0-9]*{_JOURNAL}"))

    def _parts(self) -> list[Path]:
        """The files of structures whose journal is complete."""
        named = (self._folder / f"{path.stem}-{self._write.path.name}" for path in self._journals())
        return [path for path in named if path.exists()]

    def _clear(self) -> None:
        for journal in self._journals():
            with journal.open("rb") as lines:
                self.discarded += sum(1 for _ in lines)
        self._remove_parts()
        for path in self._folder.iterdir():
            if path.name != "lock":
                path.unlink()

    def _remove_parts(self) -> None:
        """The last first, each journal before its part: whenever this is broken off, what is left is a beginning."""
        for path in sorted(self._folder.glob("[0-9]*"), reverse=True):
            path.unlink()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
