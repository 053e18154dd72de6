"""Output in parts that survive a kill, joined into one file at the end.

While it grows, the output lies in a hidden folder beside its place: some thousands of structures per file, each with a
journal of what became of every input record. A part is there with its journal or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ase import Atoms

from empnn.data.writing import writer
from empnn.errors import ConfigError, CrystalError
from empnn.files import replacing

try:
    import fcntl
except ImportError:  # Windows, where two processes that write one output are not kept apart
    fcntl = None  # type: ignore[assignment]

RECORDS = 4_096
"""Most input records per part."""
ATOMS = 200_000
"""Atoms after which a part ends: it is in memory until then."""

_GO_ON = "the same command with `resume` goes on from here"
_SETTINGS = "settings.json"
_JOURNAL = ".jsonl"


class PartedOutput:
    """One output file, written part by part.

    Use as a context manager: leaving it without an error joins the parts; otherwise they stay for a run that resumes.

    Args:
        path: The output.
        settings: What decides the content, in JSON types; a run resumes only what was begun with the same.
        resume: Go on where a run that was stopped had come to; otherwise what it did is discarded.

    Raises:
        ConfigError: If the output cannot be written, another process is writing it, or it was begun
            with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool = False) -> None:
        self._write = writer(path)
        self._settings = settings
        self._folder = path.parent / f".{path.name}.parts"
        self._resume = resume
        self._entries: list[tuple[dict[str, Any], Any | None]] = []
        self._atoms = 0
        self._lock: IO[str] | None = None
        self.written = 0
        """Structures in the output so far."""
        self.discarded = 0
        """Records that a run that was stopped had done."""

    def __enter__(self) -> PartedOutput:
        self._lock = self._locked()
        try:
            if self._resume:
                self._check_settings()
            else:
                self._clear()
            with replacing(self._folder / _SETTINGS) as temporary:
                temporary.write_text(json.dumps(self._settings))
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        complete = False
        try:
            if error is None or isinstance(error, KeyboardInterrupt):
                self._flush()
            if error is None:
                if parts := self._parts():
                    self._write.join(parts)
                complete = True
        except BaseException as failure:
            error = failure
            raise
        finally:
            if complete or not self._journals():
                shutil.rmtree(self._folder, ignore_errors=True)
            elif error is not None:
                _say_how_to_go_on(error)
            if self._lock is not None:
                self._lock.close()

    def journal(self) -> Iterator[dict[str, Any]]:
        """What earlier runs noted of each input record, in order."""
        for path in self._journals():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self.written += entry["written"]
                yield entry["note"]

    def losses(self, atoms: Atoms) -> list[str]:
        """Notes on what the format has no place for."""
        return self._write.losses(atoms)

    def add(self, note: dict[str, Any], atoms: Atoms | None) -> None:
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
        self._entries.append((note, prepared))
        if len(self._entries) >= RECORDS or self._atoms >= ATOMS:
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
        lines = (json.dumps({"note": note, "written": prepared is not None}) + "\n" for note, prepared in entries)
        with replacing(self._folder / f"{number:06d}{_JOURNAL}") as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def _journals(self) -> list[Path]:
        """Those that are complete: one that was being written when a run was killed has another name."""
        return sorted(self._folder.glob(f"[0-9]*{_JOURNAL}"))

    def _parts(self) -> list[Path]:
        """The files of structures whose journal is complete."""
        named = (self._folder / f"{path.stem}-{self._write.path.name}" for path in self._journals())
        return [path for path in named if path.exists()]

    def _locked(self) -> IO[str]:
        try:
            self._folder.mkdir(exist_ok=True)
            lock = (self._folder / "lock").open("w")
        except OSError as error:
            raise OSError(error.errno, f"cannot be written ({error.strerror})", str(self._write.path)) from None
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise ConfigError(
                    f"{self._write.path}: another process is writing it; wait or choose another"
                ) from None
        return lock

    def _check_settings(self) -> None:
        begun = self._folder / _SETTINGS
        if begun.exists() and json.loads(begun.read_text()) != json.loads(json.dumps(self._settings)):
            raise ConfigError(
                f"{self._write.path}: it was begun with other inputs, options or weights; "
                "give the same, or leave out `resume` to begin again"
            )

    def _clear(self) -> None:
        for journal in self._journals():
            with journal.open("rb") as lines:
                self.discarded += sum(1 for _ in lines)
        for path in self._folder.iterdir():
            if path.name != "lock":
                path.unlink()


def _say_how_to_go_on(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        error.args = (_GO_ON,)
    elif isinstance(error, OSError):
        error.strerror = f"{error.strerror}; once that is mended, {_GO_ON}"
    elif isinstance(error, CrystalError | ConfigError):
        error.args = (f"{error}; {_GO_ON}",)


def fingerprint(paths: Sequence[Path]) -> list[list[Any]]:
    """What tells that input files are still the same: name, size and time of the last change."""
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.is_file()]
