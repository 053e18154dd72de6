"""Inputs in spans that any process can work on, whichever, however often and in whatever order.

Files are put together until they are large enough to be read by a process of their own; what is read is cut into spans
of some thousand records. Both depend on the inputs only: a span that was lost is made again as it was.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from empnn.bulk.pipeline import REFUSED, Done, Outcome, Reached, Work, chunks, outcome_of, written
from empnn.bulk.shards import Shard, ShardOutput, ShardRun, Span
from empnn.data.naming import names_of
from empnn.data.reading import Located, located_in
from empnn.data.records import Record
from empnn.processes import Died, Worker

RECORDS = 4_096
"""Most records of a span, and
SLOW_RECORDS: of one in which each takes seconds."""
SLOW_RECORDS = 32
CONTENT = 1 << 25
"""Characters after which a span ends."""
FILES, BYTES = 1_024, 1 << 26
"""Most files that are read by one process, and their bytes, unless one alone is larger."""
_TRIES = 2
"""Tries that may die for any reason; in the next each part is worked on in a process of its own."""


LOCAL = "local"
"""The address of a cluster that is this machine, for as long as it takes."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cluster, and the folder of shards, which all its nodes see under the same name.

    Attributes:
        address: That of the cluster; `local` or `local:N` for one on this machine, with all cores or N.
        folder: The folder.
        ending: The format of shards.
    """

    address: str
    folder: Path
    ending: str


@dataclass(frozen=True)
class Group:
    """Files that are read by one process.

    Attributes:
        number: Which of all groups it is.
        of: How many there are.
        files: The files.
        names: What they are called, see `names_of`.
        folder: Where relative paths begin.
    """

    number: int
    of: int
    files: tuple[Path, ...]
    names: tuple[str, ...]
    folder: Path


def grouped(files: Sequence[Path]) -> list[Group]:
    """All files, in order, in groups."""
    groups: list[list[int]] = []
    size = BYTES
    for number, file in enumerate(files):
        own = file.stat().st_size if file.is_file() else 0
        if size + own > BYTES or len(groups[-1]) >= FILES:
            groups.append([])
            size = 0
        groups[-1].append(number)
        size += own
    names = names_of(files)
    return [
        Group(number, len(groups), tuple(files[i] for i in group), tuple(names[i] for i in group), Path.cwd())
        for number, group in enumerate(groups)
    ]


def spans_of(group: Group, done: Collection[int], records: int) -> Iterator[tuple[Span, bytes, float]]:
    """The spans of a group of files, each with its records for `unpacked`, and what part of the group it is.

    Args:
        group: The files.
        done: The numbers of spans that are left out.
        records: Most records of a span.
    """
    found = located_in(group.files, group.names, group.folder)
    following = next(found, None)
    reached, before, number = Reached(group.files), 0.0, 0
    while following is not None:
        taken, size = [following], _size(following)
        following = None
        for one in found:
            if len(taken) >= records or size > CONTENT:
                following = one
                break
            taken.append(one)
            size += _size(one)
        now = 1.0 if following is None else reached.with_it(taken[-1].file, taken[-1].entry.share) or before
        if number not in done:
            yield Span(group.number, group.of, number, following is None), _packed(taken), now - before
        number, before = number + 1, now


def _size(located: Located) -> int:
    content = located.entry.content
    return sum(map(len, content)) if isinstance(content, list) else len(content) if isinstance(content, str) else 0


def _packed(located: list[Located]) -> bytes:
    """Records for another process: as they lie in the file where that can be sent, parsed where it cannot."""
    try:
        return pickle.dumps(located)
    except (TypeError, pickle.PicklingError):
        return pickle.dumps([one.record() for one in located])


def unpacked(content: bytes) -> Iterator[Record]:
    """The records of a span."""
    yield from (one.record() if isinstance(one, Located) else one for one in pickle.loads(content))  # noqa: S301


class SpanWorker:
    """Works on spans, and writes each as a shard.

    Whatever kills the process while it is at a span (a crystal, a lack of memory, somebody) leaves a mark. A span with
    several is worked on in a process apart, in ever smaller parts where that dies too, down to the record that kills
    it: that is refused.

    Args:
        work: What is done.
        run: What all shards of the run share.
        folder: The folder of shards.
        ending: Their format.
        strict: Stop at the first structure that is refused.
    """

    def __init__(self, work: Work, run: ShardRun, folder: Path, ending: str, strict: bool = False) -> None:
        self._work = work
        self._run = run
        self._folder = folder
        self._ending = ending
        self._strict = strict

    def __call__(self, span: Span, content: bytes) -> int:
        """Write the shard of a span, and say how many records it has.

        Raises:
            CrystalError: If a structure is refused and that is to stop it.
            OSError: If the shard cannot be written.
        """
        shard = Shard(self._folder, self._ending, span)
        marks = shard.manifest.with_suffix(".tries")
        tries = marks.stat().st_size if marks.exists() else 0
        with marks.open("a") as handle:
            handle.write(".")
        count = 0
        with ShardOutput(shard, self._run) as sink:
            for chunk in chunks(unpacked(content)):
                done = self._work(chunk) if tries < _TRIES else _apart(self._work, chunk)
                for record, (outcome, atoms) in zip(chunk, done, strict=True):
                    written(sink, outcome, atoms, str(record.name), self._strict)
                    count += 1
        marks.unlink()
        return count


def _apart(work: Work, records: list[Record]) -> Done:
    """What becomes of records, each worked on in another process, which may die."""
    waiting = [records]
    with Worker(_Doing(work)) as worker:
        while waiting:
            part = waiting.pop()
            worker.begin(None, (part,))
            while not worker.hear(lambda count: None):
                pass
            if not isinstance(worker.result, Died):
                yield from worker.result
            elif len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
            else:
                died = f"the process that worked on it died (status {worker.result.status})"
                yield outcome_of(part[0], REFUSED, message=f"{died}; leave it out, or give more memory"), None


@dataclass(frozen=True)
class _Doing:
    work: Work

    def __call__(self, report: Any, records: list[Record]) -> list[tuple[Outcome, Atoms | None]]:
        from empnn.nn.runtime.cpu import tuned

        with tuned():
            return list(self.work(records))
