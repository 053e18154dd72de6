"""A folder with one file per structure, each under the name of its input, there whole or not at all.

What became of every input record is noted in a hidden folder, which stays: a run that was stopped is resumed from it,
a complete one is not done again, and the names of all files that were ever written tell which ones may be replaced.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ase import Atoms

from empnn.bulk.state import check_settings, keep_settings, locked, say_how_to_go_on
from empnn.data.naming import names_of, numbered
from empnn.data.writing import Copy, Writer, format_called
from empnn.errors import ConfigError, CrystalError
from empnn.files import check_parent

_STATE = ".empnn"
_POSCAR = "poscar"
_OF_OTHERS = "was there before and is not of an earlier run; move it away or choose another folder"


@dataclass(frozen=True)
class Folder:
    """A folder to write to, and the ending that tells the format of the files in it.

    With `poscar` each structure gets a folder of its own name with a file POSCAR in it, for VASP to run there.

    Attributes:
        path: The folder; made if need be.
        ending: `cif`, `vasp`, `extxyz.gz`, or whatever else ends the name of a file that can be written.
    """

    path: Path
    ending: str

    def file(self, name: str) -> Path:
        """Where the structure of a name goes."""
        return self.path / name / "POSCAR" if self.ending == _POSCAR else self.path / f"{name}.{self.ending}"


class FolderOutput:
    """One file per structure.

    Use as a context manager.

    Args:
        folder: Where to, and in which format.
        inputs: The files that are read, whose names those of the output are.
        settings: What decides the content, in JSON types; a run resumes only what was begun with the same.
        resume: Go on where a run that was stopped had come to.

    Raises:
        ConfigError: If the folder cannot be written, there is no such format, another process is writing it, it was
            begun with other settings, or a file is there that no earlier run has written, is also an input, or is two
            outputs.
    """

    def __init__(self, folder: Folder, inputs: Sequence[Path], settings: dict[str, Any], resume: bool = False) -> None:
        self._format = format_called(folder.ending)
        self._folder = folder
        self._inputs = inputs
        self._settings = {**settings, "ending": folder.ending}
        self._resume = resume
        self._state = folder.path / _STATE
        self._made: set[Path] = set()
        self._ours: set[str] = set()
        self._done: set[str] = set()
        self._notes = 0
        self._open: list[IO[str]] = []
        self.complete = False
        """Whether an earlier run has done everything: what is gone must be found by going through the inputs."""
        self.written = 0
        """Structures in the output so far."""
        self.discarded = 0
        """Records whose work is thrown away; none are, for files stay until they are replaced."""
        self.replaced = 0
        """Files of earlier runs that were replaced."""

    def __enter__(self) -> FolderOutput:
        path = self._folder.path
        check_parent(path)
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path}: it is a file; name a folder")
        self._made = {place for place in (path, self._state) if not place.exists()}
        path.mkdir(exist_ok=True)
        self._open = [locked(self._state, path)]
        try:
            self._clear()
            self._ours = set(map(json.loads, _lines(self._names)))
            self._check_places()
            if self._resume:
                check_settings(self._state, self._settings, path)
                # From a file on that is gone, all is done again.
                _cut_off(self._journal, self._is_there)
            else:
                self._journal.unlink(missing_ok=True)
            keep_settings(self._state, self._settings)
            self._open += [self._names.open("a", encoding="utf-8"), self._journal.open("a", encoding="utf-8")]
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and self._notes:
            say_how_to_go_on(error)
        self._leave()

    def journal(self) -> Iterator[dict[str, Any]]:
        """What earlier runs noted of each input record, in order."""
        for line in _lines(self._journal):
            entry = json.loads(line)
            if entry["file"] is not None:
                self._done.add(entry["file"])
                self.written += 1
            self._notes += 1
            yield entry["note"]

    def losses(self, atoms: Atoms | Copy, name: str) -> list[str]:
        """Notes on what the format has no place for."""
        return Writer(self._folder.file(name), self._format).losses(atoms)

    def add(self, note: dict[str, Any], atoms: Atoms | Copy | None, name: str) -> None:
        """Take what became of the next input record: a note, and the structure unless there is none to be written.

        Raises:
            CrystalError: If the format cannot hold the structure, or its file would replace one of somebody else.
        """
        file = None if atoms is None else self._written(atoms, name)
        self._open[2].write(json.dumps({"note": note, "file": file}) + "\n")
        self._open[2].flush()
        self._notes += 1

    def _written(self, atoms: Atoms | Copy, name: str) -> str:
        """Write a structure; what its file is called in the folder."""
        place = self._folder.file(name)
        file = self._called(place)
        writer = Writer(place, self._format)
        prepared = writer.prepared(atoms)
        was_there = place.exists()
        if file in self._done:
            raise CrystalError(f"another structure is written to {place} too; rename one of the inputs")
        if was_there and file not in self._ours:
            raise CrystalError(f"{place} {_OF_OTHERS}")
        temporary = self._state / f"new.{self._folder.ending}"
        try:
            writer.whole(temporary, [prepared])
        except ConfigError as error:
            raise CrystalError(str(error)) from None
        if file not in self._ours:
            # Before the file is there, so that it is known for ours whenever this process dies.
            self._open[1].write(json.dumps(file) + "\n")
            self._open[1].flush()
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(place)
        self._ours.add(file)
        self._done.add(file)
        self.replaced += was_there
        self.written += 1
        return file

    def _clear(self) -> None:
        """Remove what a run that was killed left half-written."""
        _cut_off(self._names)
        for path in self._state.glob("*new.*"):
            path.unlink()

    def _check_places(self) -> None:
        """Refuse, before anything is done, to replace what is not ours.

        Of the structures of an input that holds several, the first stands for all.
        """
        names = names_of(self._inputs)
        for name, count in Counter(names).items():
            if count > 1:
                raise ConfigError(f"{self._folder.file(name)} would be written twice; give each input once")
        places = [self._folder.file(name) for one in names for name in (one, numbered(one, 0))]
        there = [place for place in places if place.exists()]
        read_from = {os.path.realpath(path) for path in self._inputs}
        for place in there:
            if os.path.realpath(place) in read_from:
                raise ConfigError(f"{place} is also an input; choose another output")
        others = [place for place in there if self._called(place) not in self._ours]
        if others:
            more = f" (and {len(others) - 1:,} more)" if len(others) > 1 else ""
            raise ConfigError(f"{others[0]}{more} {_OF_OTHERS}")

    def _called(self, place: Path) -> str:
        return place.relative_to(self._folder.path).as_posix()

    @property
    def _journal(self) -> Path:
        return self._state / "journal.jsonl"

    @property
    def _names(self) -> Path:
        return self._state / "files.jsonl"

    def _is_there(self, line: bytes) -> bool:
        """Whether the file that a line of the journal tells of is there."""
        file = json.loads(line)["file"]
        return file is None or (self._folder.path / file).exists()

    def _leave(self) -> None:
        """Close, and remove what was made for nothing."""
        for handle in reversed(self._open):
            handle.close()
        if not self._notes and not self._ours:
            if self._state in self._made:
                shutil.rmtree(self._state, ignore_errors=True)
            if self._folder.path in self._made:
                with suppress(OSError):
                    self._folder.path.rmdir()


def _cut_off(path: Path, keep: Callable[[bytes], bool] = lambda line: True) -> None:
    """Cut a file off where a line is not whole or not to be kept."""
    if not path.exists():
        return
    kept = 0
    with path.open("rb+") as handle:
        for line in handle:
            if not (line.endswith(b"\n") and keep(line)):
                break
            kept += len(line)
        handle.truncate(kept)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file without their ends."""
    if path.exists():
        with path.open(encoding="utf-8") as handle:
            yield from (line.rstrip("\n") for line in handle)
