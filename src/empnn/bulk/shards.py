"""Shards: files that each hold a part of an output, with a manifest that names every record of the input in it.

A folder of shards holds, beside the files of crystals, a folder `_manifest`: in it, of each shard, a JSON line on the
shard and one on each of its records; and what all shards of a run share, once, for it names all inputs. A shard is
there when its manifest is: that is written last.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from empnn.bulk.resumable import PartedOutput
from empnn.bulk.state import other_settings
from empnn.data.writing import format_called
from empnn.errors import ConfigError
from empnn.files import check_parent, replacing

MANIFESTS = "_manifest"
"""The folder of manifests: what reads a folder of tables passes over such a name."""
_SUFFIX = ".jsonl"
_FEW = 5
"""Shards that a message names."""


@dataclass(frozen=True)
class Share:
    """Every `of`-th record of the inputs, from the `number`-th on (0 is first)."""

    number: int
    of: int

    @property
    def name(self) -> str:
        """What the files of it are called."""
        return f"{self.number:05d}-of-{self.of:05d}"

    @property
    def header(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"shard": [self.number, self.of]}


ALL = Share(0, 1)


@dataclass(frozen=True)
class Span:
    """Records that follow each other, some thousand of those of one or several files.

    Attributes:
        files: The number of those files among `of`, which hold all inputs.
        of: Into how many such the inputs are parted.
        number: Which of their spans it is.
        last: Whether it is the last of them.
    """

    files: int
    of: int
    number: int
    last: bool

    @property
    def name(self) -> str:
        """What the files of it are called."""
        return f"span-{self.files:05d}-{self.number:05d}"

    @property
    def header(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"span": [self.files, self.of, self.number, self.last]}


@dataclass(frozen=True)
class ShardRun:
    """What all shards of a run share.

    Attributes:
        work: What is done, in one word.
        said: What is said of each record besides what is said of all.
        files: The inputs, in order.
        inputs: What tells that they are still the same, see `fingerprint`.
        settings: What else decides the content, in JSON types.
    """

    work: str
    said: Sequence[str]
    files: Sequence[str]
    inputs: Sequence[Sequence[Any]]
    settings: dict[str, Any]

    @property
    def content(self) -> dict[str, Any]:
        """It in JSON types, but for the times at which inputs were changed: a copy elsewhere has others."""
        told = {"work": self.work, "said": list(self.said), "files": list(self.files), "settings": self.settings}
        return {**told, "inputs": [[name, size] for name, size, _ in self.inputs]}

    @cached_property
    def digest(self) -> str:
        """A word for the content."""
        return _digest(self.content)

    @cached_property
    def times(self) -> str:
        """A word for the times at which the inputs were changed."""
        return _digest([time for _, _, time in self.inputs])


@dataclass(frozen=True)
class Shard:
    """Where a shard goes.

    Attributes:
        folder: The folder of all shards; made if need be.
        ending: The format of its crystals, as the ending of a file.
        part: What is in it.
    """

    folder: Path
    ending: str
    part: Share | Span

    @property
    def file(self) -> Path:
        """The crystals."""
        return self.folder / f"{self.part.name}.{self.ending}"

    @property
    def manifest(self) -> Path:
        """The file that names its records."""
        return self.folder / MANIFESTS / f"{self.part.name}{_SUFFIX}"

    def make_place(self) -> None:
        """Make the folders.

        Raises:
            ConfigError: If there can be none, or the format is none that keeps all digits of many crystals.
        """
        if format_called(self.ending).copied is None:
            raise ConfigError(
                f"`ending` {self.ending}: shards are extxyz, parquet, feather or csv; what is merged is any"
            )
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"{self.folder}: it is a file; name a folder")
        check_parent(self.folder)
        self.manifest.parent.mkdir(parents=True, exist_ok=True)

    def header(self, run: ShardRun) -> dict[str, Any]:
        """What its manifest says of it as a whole."""
        return {"run": run.digest, "times": run.times, **self.part.header, "ending": self.ending}

    def write_manifest(self, run: ShardRun, lines: Iterable[str]) -> None:
        """Say that the shard is complete.

        Raises:
            OSError: If it cannot be written.
        """
        shared = _shared(self.manifest.parent, run.digest)
        if not shared.exists():
            with replacing(shared) as temporary:
                temporary.write_text(json.dumps(run.content), encoding="utf-8")
        with replacing(self.manifest) as temporary, temporary.open("w", encoding="utf-8") as handle:
            handle.write(json.dumps(self.header(run)) + "\n")
            handle.writelines(lines)


class ShardOutput(PartedOutput):
    """The output of one shard, resumed like a file, and left alone by a run that resumes if it is complete.

    Args:
        shard: Where it goes.
        run: What all shards of the run share; a run resumes only what was begun with the same.
        resume: Go on where a run that was stopped had come to.
        records: Most input records that are kept together.

    Raises:
        ConfigError: If the shard cannot be written, another process is writing it, or it was begun with other settings.
    """

    def __init__(self, shard: Shard, run: ShardRun, resume: bool = False, records: int | None = None) -> None:
        shard.make_place()
        super().__init__(shard.file, shard.header(run), resume, records)
        self._shard = shard
        self._run = run

    def __enter__(self) -> ShardOutput:
        super().__enter__()
        try:
            if not self._resume:
                self._shard.manifest.unlink(missing_ok=True)
            elif self._shard.manifest.exists():
                self._check_manifest()
                self.complete = True
        except BaseException:
            self._release()
            raise
        return self

    def journal(self) -> Iterator[dict[str, Any]]:
        """What earlier runs noted of each input record, in order."""
        if not self.complete:
            yield from super().journal()
            return
        for entry in Manifest(self._shard.manifest).entries():
            self.written += entry["written"]
            yield entry["note"]

    def _check_manifest(self) -> None:
        begun = Manifest(self._shard.manifest)
        if begun.header != json.loads(json.dumps(self._shard.header(self._run))):
            raise other_settings(self._shard.file)

    def _finish(self) -> None:
        if not self.complete:
            super()._finish()
            self._shard.write_manifest(self._run, self._lines())


class Manifest:
    """What a shard says of itself, read back.

    Args:
        path: The manifest.

    Attributes:
        header: What it says of the shard as a whole.
        digest: What tells whether another is of the same run.
        shard: The shard.

    Raises:
        ConfigError: If it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open(encoding="utf-8") as handle:
            try:
                self.header: dict[str, Any] = dict(json.loads(handle.readline()))
                self.digest = str(self.header["run"])
                self.shard = Shard(path.parent.parent, self.header["ending"], _part(self.header))
            except (ValueError, TypeError, KeyError):
                raise ConfigError(f"{path}: it is no manifest of a shard; remove it, or make the shard again") from None

    @cached_property
    def run(self) -> dict[str, Any]:
        """What all shards of its run share, see `ShardRun.content`.

        Raises:
            ConfigError: If that is gone.
        """
        try:
            content: dict[str, Any] = json.loads(_shared(self.path.parent, self.digest).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path}: what all shards share is gone ({error}); make a shard again") from None
        return content

    def entries(self) -> Iterator[dict[str, Any]]:
        """Of each record, in order: the note on it, whether a crystal of it was written, and its name."""
        with self.path.open(encoding="utf-8") as handle:
            next(handle)
            yield from map(json.loads, handle)


def _shared(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.run"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _part(header: dict[str, Any]) -> Share | Span:
    return Span(*header["span"]) if "span" in header else Share(*header["shard"])


def write_result(folder: Path, share: Share, content: dict[str, Any]) -> None:
    """What came out of a share of structures, where that is figures and no structures.

    Raises:
        OSError: If it cannot be written.
    """
    folder.mkdir(exist_ok=True)
    with replacing(folder / f"{share.name}.json") as temporary:
        temporary.write_text(json.dumps({**share.header, **content}, allow_nan=False) + "\n")


def results(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What `write_result` has written to folders, all of one run, in order; nothing if it has written nothing.

    Raises:
        ConfigError: If one is missing or there twice, or they are of several runs.
    """
    paths = [path for folder in folders for path in sorted(folder.glob("[0-9]*-of-[0-9]*.json"))]
    found = [(path, json.loads(path.read_text())) for path in paths]
    if found:
        check_parts(
            [(path, Share(*content.pop("shard")), _digest({**content, "part": None})) for path, content in found]
        )
    return [content for _, content in sorted(found, key=lambda one: one[0].name)]


def check_parts(found: Sequence[tuple[Path, Share | Span, str]]) -> None:
    """Make sure that there are all parts of a run.

    Args:
        found: Of each, the file that is named in messages, the part, and a word that tells its run.

    Raises:
        ConfigError: If one is missing or there twice, or they are of several runs.
    """
    first, part, run = found[0]
    there: dict[str, Path] = {}
    for path, other, its_run in found:
        if (type(other), other.of, its_run) != (type(part), part.of, run):
            raise ConfigError(
                f"{path} was made from other inputs, or with other options or weights, than {first}; "
                "merge the shards of one run"
            )
        if other.name in there:
            raise ConfigError(f"{there[other.name]} and {path} are the same shard; leave one out")
        there[other.name] = path
    missing = _missing([one for _, one, _ in found])
    if missing:
        more = f" and {len(missing) - _FEW:,} more" if len(missing) > _FEW else ""
        named = ", ".join(missing[:_FEW])
        folder = first.parent.parent if first.parent.name == MANIFESTS else first.parent
        raise ConfigError(f"{folder}: {named}{more} missing; make it, or name its folder too")


def _missing(parts: Sequence[Share | Span]) -> list[str]:
    """The names of parts that are not there."""
    shares = {part.number for part in parts if isinstance(part, Share)}
    if shares:
        return [f"`shard` {number}/{parts[0].of}" for number in range(parts[0].of) if number not in shares]
    spans = [part for part in parts if isinstance(part, Span)]
    counts = Counter(span.files for span in spans)
    ends = {span.files: span.number + 1 for span in spans if span.last}
    return [f"some of span-{files:05d}" for files in range(parts[0].of) if counts[files] != ends.get(files)]


def manifests_in(folder: Path) -> list[Manifest]:
    """The manifests in a folder of shards, whatever they are of; not what a process that was killed had begun."""
    return [Manifest(path) for path in sorted((folder / MANIFESTS).glob(f"[!.]*{_SUFFIX}"))]


def manifests(folders: Sequence[Path]) -> list[Manifest]:
    """The manifests in folders of shards, all of one run, in order.

    Raises:
        ConfigError: If a folder has none, one is missing or there twice, or they are of several runs.
    """
    found: list[Manifest] = []
    for folder in folders:
        here = manifests_in(folder)
        if not here:
            raise ConfigError(f"{folder}: there is no complete shard here; name a folder that `shard` has written to")
        found += here
    check_parts([(one.path, one.shard.part, one.digest) for one in found])
    return sorted(found, key=lambda one: one.shard.part.name)
