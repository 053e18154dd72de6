"""Shards joined into what one process would have written, in the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ase import Atoms

from empnn.bulk.folder import Folder
from empnn.bulk.pipeline import Outcome, Summary, check_apart, written
from empnn.bulk.shards import Manifest, Span
from empnn.bulk.sinks import opened
from empnn.data.naming import STREAM
from empnn.data.reading import entries
from empnn.data.records import refuse
from empnn.data.writing import Copy, Format, format_called, read_back, writer
from empnn.errors import ConfigError
from empnn.files import check_outputs


def merge(shards: Sequence[Manifest], output: Path | Folder, on_outcome: Callable[[Outcome], None]) -> Summary:
    """Write the structures of shards in the order of the inputs, those of (file, index), and tell what became of each.

    Args:
        shards: All shards of a run, in order, see `manifests`.
        output: The file or folder to write; see `process`.
        on_outcome: Called for each record of the inputs, those that were refused too.

    Raises:
        ConfigError: If a shard lacks records or was damaged, or the output cannot be what it is asked to be.
        OSError: If the output cannot be written.
    """
    files = [Path(name) for name in shards[0].run["files"]]
    read_from = [one.shard.file for one in shards]
    if isinstance(output, Folder):
        check_apart(output.path, [one.shard.folder for one in shards])
    else:
        check_outputs([None if str(output) == STREAM else output], read_from)
    summary = Summary()
    same = None if isinstance(output, Folder) or str(output) == STREAM else writer(output).format
    with opened(output, files, {}, False, None) as sink:
        for outcome, atoms, name in _in_order(shards, files, same):
            settled = written(sink, outcome, atoms, name, strict=False)
            summary.count(settled)
            on_outcome(settled)
    summary.written, summary.discarded, summary.replaced = sink.written, sink.discarded, sink.replaced
    return summary


Content = Iterator[tuple[Outcome, Atoms | Copy | None, str]]


def _in_order(shards: Sequence[Manifest], files: Sequence[Path], same: Format | None) -> Content:
    """What became of each record of the inputs, its structure and its name."""
    streams = [_contents(one, same) for one in shards]
    place, last = 0, -1
    spans = isinstance(shards[0].shard.part, Span)
    for outcome, atoms, name in chain.from_iterable(streams) if spans else _interleaved(streams, shards):
        if outcome.index != last + 1:
            place, last = place + 1, -1
        if outcome.index != last + 1 or place >= len(files) or outcome.file != str(files[place]):
            source = f"{outcome.file}[{outcome.index}]"
            raise ConfigError(f"{source} is not what follows in the inputs; the shards were damaged: make them again")
        last = outcome.index
        yield outcome, atoms, name


def _interleaved(streams: Sequence[Content], shards: Sequence[Manifest]) -> Content:
    """One of each in turn; the first that ends must be followed by the ends of all others."""
    number = 0
    while (found := next(streams[number % len(streams)], None)) is not None:
        yield found
        number += 1
    for stream, shard in zip(streams, shards, strict=True):
        if next(stream, None) is not None:
            short = shards[number % len(shards)]
            raise ConfigError(f"{short.path} has fewer records than {shard.path}; it was cut short: make it again")


def _contents(manifest: Manifest, same: Format | None) -> Content:
    """What became of each record of a shard, with its structure, if that was written, and its name.

    Args:
        manifest: The shard.
        same: The format of the output; what is in that already is copied.
    """
    file, form = manifest.shard.file, format_called(manifest.shard.ending)
    copy = form.copied if form is same else None
    structures = entries(file)
    for noted in manifest.entries():
        atoms: Atoms | Copy | None = None
        if noted["written"]:
            entry = next(structures, None)
            if entry is None or entry.parse is refuse:
                raise ConfigError(f"{file} lacks structures that {manifest.path} names; make it again")
            atoms = read_back(entry.record(str(file), 0)) if copy is None else Copy(*copy(entry.content))
        yield Outcome(**noted["note"]), atoms, noted["name"]
