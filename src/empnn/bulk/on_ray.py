"""Files of crystals gone through on a cluster, by Ray Data: read where the workers are, which hold the model."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from empnn.bulk.pipeline import Outcome, Summary, Work, check_apart, run_of
from empnn.bulk.shards import MANIFESTS, Manifest, Shard, ShardRun, Span, manifests, manifests_in
from empnn.bulk.spans import LOCAL, RECORDS, SLOW_RECORDS, Group, Place, SpanWorker, grouped, spans_of
from empnn.bulk.state import other_settings, say_how_to_go_on
from empnn.data.naming import STREAM
from empnn.data.reading import files_of
from empnn.errors import ConfigError, CrystalError

try:
    import ray
    import ray.data
except ModuleNotFoundError:
    raise ConfigError("`cluster` needs Ray: pip install 'empnn[cluster]'") from None

_READER, _WORKER = 0.1, 0.9
"""The parts of a core that what reads and what works ask for, so that there is always somebody to read."""
_STORE = 1 << 28
"""Bytes of memory that the store of a local cluster takes for what waits between the two."""


def process(
    inputs: list[Path],
    place: Place,
    work: Work,
    on_outcome: Callable[[Outcome], None],
    on_progress: Callable[[int, float], None] = lambda count, share: None,
    strict: bool = False,
    resume: bool = False,
) -> Summary:
    """Do something with all structures of all inputs, on a cluster; see `empnn.bulk.pipeline.process`.

    Workers that die are replaced, and what they were at is done again; a crystal that kills them is refused.

    Args:
        inputs: Files, folders and patterns, which all nodes see under the same names.
        place: Where.
        work: What is done; sent to the workers as it is.
        on_outcome: Called for each structure in the order of the inputs, once all are done.
        on_progress: Told of so many more structures that are done, and which part of the groups of files is.
        strict: Stop at a structure that is refused.
        resume: Leave alone what an earlier run has done; otherwise its shards are removed.

    Raises:
        ConfigError: If the output cannot be what it is asked to be, or the cluster cannot be reached.
        CrystalError: If a structure is refused and `strict` is set.
        OSError: If the output cannot be written.
    """
    files = [file for path in inputs for file in files_of(path)]
    if STREAM in map(str, files):
        raise ConfigError("`cluster`: what comes from a stream cannot be shared among machines; use files")
    check_apart(place.folder, inputs)
    run, groups = run_of(files, work), grouped(files)
    Shard(place.folder, place.ending, Span(0, len(groups), 0, True)).make_place()
    found = _found(place.folder)
    if resume:
        done = _done(found, run, place)
    else:
        done = {}
        for one in found:
            one.path.unlink()
            one.shard.file.unlink(missing_ok=True)
    summary = Summary()
    summary.resumed = sum(1 for shards in done.values() for one in shards for _ in one.entries())
    on_progress(summary.resumed, 0.0)
    left = [group for group in groups if not _is_done(done.get(group.number, []))]
    if left:
        try:
            with _connected(place.address):
                _go(
                    left,
                    {number: [_span(one).number for one in shards] for number, shards in done.items()},
                    place,
                    SpanWorker(work, run, place.folder.absolute(), place.ending, strict),
                    on_progress,
                    work.slow,
                )
        except (KeyboardInterrupt, OSError, CrystalError) as error:
            say_how_to_go_on(error)
            raise
    for folder in (place.folder, place.folder / MANIFESTS):
        for leftover in folder.glob(".span-*"):
            if leftover.is_file():
                leftover.unlink()
    for one in manifests([place.folder]):
        for entry in one.entries():
            outcome = Outcome(**entry["note"])
            summary.count(outcome)
            summary.written += entry["written"]
            on_outcome(outcome)
    return summary


def _found(folder: Path) -> list[Manifest]:
    """The shards of spans that are in a folder.

    Raises:
        ConfigError: If shards of another kind are there.
    """
    found = manifests_in(folder)
    for one in found:
        if not isinstance(one.shard.part, Span):
            raise ConfigError(f"{folder}: it holds shards of `shard`; choose another folder")
    return found


def _span(manifest: Manifest) -> Span:
    part = manifest.shard.part
    if not isinstance(part, Span):
        raise TypeError(part)
    return part


def _done(found: list[Manifest], run: ShardRun, place: Place) -> dict[int, list[Manifest]]:
    done: dict[int, list[Manifest]] = {}
    for one in found:
        if (one.digest, one.header["times"], one.shard.ending) != (run.digest, run.times, place.ending):
            raise other_settings(one.shard.file)
        done.setdefault(_span(one).files, []).append(one)
    return done


def _is_done(shards: list[Manifest]) -> bool:
    return any(_span(one).last and _span(one).number + 1 == len(shards) for one in shards)


def _go(
    groups: list[Group],
    done: dict[int, list[int]],
    place: Place,
    worker: SpanWorker,
    on_progress: Callable[[int, float], None],
    slow: bool,
) -> None:
    """Read and work until everything is done."""
    cores = int(ray.cluster_resources().get("CPU", 1))
    tasks = [{"group": pickle.dumps((group, done.get(group.number, [])))} for group in groups]
    # This process owns what all actors are made of, those too that take the place of dead ones.
    made_of = [ray.put(worker)]
    spans = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
        _Reading(SLOW_RECORDS if slow else RECORDS), batch_size=1, num_cpus=_READER
    )
    counts = spans.map_batches(
        _Working,
        fn_constructor_args=(made_of,),
        batch_size=1,
        num_cpus=_WORKER,
        compute=ray.data.ActorPoolStrategy(size=cores),
    )
    share = 1 - len(groups) / groups[0].of
    for row in counts.iter_rows():
        if row["error"]:
            raise pickle.loads(row["error"])  # noqa: S301
        share += row["part"]
        on_progress(int(row["count"]), share)


@dataclass(frozen=True)
class _Reading:
    """Reads a group of files, a span at a time."""

    records: int

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for packed in batch["group"]:
            group, done = pickle.loads(packed)  # noqa: S301
            for span, content, part in spans_of(group, done, self.records):
                yield {"span": [pickle.dumps(span)], "content": [content], "part": [part / group.of]}


class _Working:
    """Holds the model in a process of the cluster, with one thread and the settings of `empnn relax`."""

    def __init__(self, made_of: list[Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._worker: SpanWorker = ray.get(made_of[0])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        from empnn.nn.runtime.cpu import tuned

        (span,), (content,) = batch["span"], batch["content"]
        count, error = 0, b""
        try:
            with tuned():
                count = self._worker(pickle.loads(span), content)  # noqa: S301
        except (CrystalError, ConfigError, OSError) as caught:
            # Raised here, Ray would keep no more of it than its text.
            error = pickle.dumps(caught)
        return {"count": [count], "part": batch["part"], "error": [error]}


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster; the local one is started, and ended with it.

    Raises:
        ConfigError: If it cannot be reached.
    """
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        local, _, cores = address.partition(":")
        if local == LOCAL:
            number = int(cores) if cores else None
            ray.init(num_cpus=number, include_dashboard=False, object_store_memory=_STORE, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"`cluster` {address}: no cluster answers there ({error}); give local or HOST:PORT") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A span is a block of its own, so that whoever is free takes the next.
    context.target_max_block_size = 1
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
