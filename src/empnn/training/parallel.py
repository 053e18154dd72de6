"""Processes that train one network together: who starts them, where they meet, and how they end.

Each holds the whole network and sees a part of every step's crystals. `DistributedDataParallel` takes the mean of their
gradients, by NCCL on GPUs and by gloo on CPUs; whatever else they tell each other goes by gloo, for which nobody waits
for a GPU. Lightning knows of one process: of several it would ask on the GPU, at every step, whether it is to end.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from empnn.errors import ConfigError, CrystalError
from empnn.processes import ignoring_interrupts
from empnn.training.group import ALONE, Group
from empnn.training.options import TrainConfig
from empnn.training.report import Reporter

P = ParamSpec("P")
T = TypeVar("T")

ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""What is sent to end a run: by Ctrl-C, and by queues and services."""
_MEETING = timedelta(minutes=10)
"""How long processes wait for each other to begin."""
_PATIENCE = timedelta(days=7)
"""How long they wait later: one may read data, or validate. Who ends is noticed at once."""
_POLL = 0.05
_FIRST_PORT, _PORTS = 15_000, 10_000


def together(
    function: Callable[Concatenate[Group, Reporter, P], T],
    settings: TrainConfig,
    reporter: Reporter,
    *arguments: P.args,
    **named: P.kwargs,
) -> T:
    """What a function gives in as many processes as a run is to have, all of which call it; in the first one, if here.

    `torchrun` and `srun` have started them all, this one too. Otherwise this one is the first, and starts the others on
    this machine: a script must then have its beginning under `if __name__ == "__main__"`. The others say nothing, and
    where a run ends early they leave by SystemExit.

    Args:
        function: What is done, with the group and who is told.
        settings: `devices` and `nodes`.
        reporter: Who is told by the first process.
        *arguments: What else the function is given; they can be pickled.
        **named: Likewise.

    Raises:
        ConfigError: If other processes were started than are to be, there are too few GPUs, or a process dies.
    """
    place = _place(settings)
    with _as_told(place.rank):
        _check(place, settings)
    if settings.devices * settings.nodes == 1:
        return function(ALONE, reporter, *arguments, **named)
    if place.size == 1:
        return _with_others(function, settings.devices, reporter, *arguments, **named)
    with _as_told(place.rank), _connected(place, place.store()) as group:
        return function(group, reporter if group.first else Reporter(quiet=True), *arguments, **named)


def is_first(settings: TrainConfig) -> bool:
    """Whether this process is the first or only one of those that `torchrun` or `srun` started for a run."""
    return _place(settings).rank == 0


@dataclass(frozen=True)
class _Place:
    """Where a process is among those of a run, and where they meet: at an address, or as torchrun has it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    starter: str = ""
    address: tuple[str, int] | None = None

    def store(self) -> TCPStore | None:
        """What they find each other by.

        Raises:
            ConfigError: If others do not come.
        """
        if self.address is None:
            return None
        try:
            return TCPStore(*self.address, self.size, is_master=self.rank == 0, timeout=_MEETING)
        except RuntimeError:
            host, port = self.address
            raise ConfigError(
                f"the {self.size} processes of the run did not come together at {host}, port {port}; start them all by "
                "srun, and set MASTER_ADDR and MASTER_PORT if this place is wrong"
            ) from None


def _place(settings: TrainConfig) -> _Place:
    """Where this process is among those that were started for a run; by default it was started alone."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if all(name in os.environ for name in names) and os.environ["WORLD_SIZE"] != "1":
        rank, size, local_rank = (int(os.environ[name]) for name in names[:3])
        return _Place(rank, size, local_rank, "torchrun")
    # In a batch script, outside of `srun`, there is no step; and of its tasks each may well do something of its own.
    size = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    if size == 1 or settings.devices * settings.nodes == 1:
        return _Place()
    # The first of the machines: of `gpu[03-05,09],login` it is gpu03.
    host = re.sub(r"\[([^],-]*)[^]]*\]", r"\1", os.environ["SLURM_STEP_NODELIST"]).partition(",")[0]
    step = int(os.environ.get("SLURM_JOB_ID", 0)) + int(os.environ.get("SLURM_STEP_ID", 0))
    port = _FIRST_PORT + step % _PORTS
    address = os.environ.get("MASTER_ADDR", host), int(os.environ.get("MASTER_PORT", port))
    return _Place(int(os.environ["SLURM_PROCID"]), size, int(os.environ["SLURM_LOCALID"]), "srun", address)


def _check(place: _Place, settings: TrainConfig) -> None:
    """Make sure that a run has the processes that were started, and GPUs for them.

    Raises:
        ConfigError: If it has not.
    """
    devices, size = settings.devices, settings.devices * settings.nodes
    asked = f"train.devices={devices} train.nodes={settings.nodes}"
    if place.size == 1 and settings.nodes > 1:
        raise ConfigError(
            f"{asked}: only this process was started; start train.devices processes on each machine with torchrun or "
            "srun (docs/training.md)"
        )
    if place.size not in (1, size):
        raise ConfigError(f"{place.starter} started {place.size} processes, which are not {asked}; make them equal")
    if place.size > 1 and place.rank % devices != place.local_rank:
        raise ConfigError(
            f"{place.starter} started process {place.rank} as number {place.local_rank} of its machine, where {asked} "
            f"want {devices} on each, one after the other"
        )
    if size > 1 and torch.cuda.is_available() and torch.cuda.device_count() < devices:
        raise ConfigError(
            f"train.devices={devices}: this process sees {torch.cuda.device_count()} GPUs, and must see all that the "
            "processes of its machine use; with CUDA_VISIBLE_DEVICES= they train on the CPU"
        )


def _with_others(
    function: Callable[Concatenate[Group, Reporter, P], T],
    size: int,
    reporter: Reporter,
    *arguments: P.args,
    **named: P.kwargs,
) -> T:
    """What the function gives here, in the first process, while others of our own call it too."""
    store = TCPStore("127.0.0.1", 0, size, is_master=True, timeout=_MEETING, wait_for_workers=False)
    threads = torch.get_num_threads()
    each = max(1, threads // size)
    # Spawned, for a copy of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    method = multiprocessing.get_start_method(allow_none=True)
    places = [_Place(rank, size, rank, address=("127.0.0.1", store.port)) for rank in range(size)]
    others: list[BaseProcess] = [
        context.Process(target=_serve, args=(place, each, method, function, arguments, named)) for place in places[1:]
    ]
    try:
        torch.set_num_threads(each)
        with ignoring_interrupts():
            for other in others:
                other.start()
        _await(others, store)
        with _as_told(0), _connected(places[0], store) as group:
            found = function(group, reporter, *arguments, **named)
        for other in others:
            other.join()
        return found
    except _LeftError:
        raise _death(others) from None
    finally:
        for other in others:
            if other.pid is not None:
                other.kill()
                other.join()
        torch.set_num_threads(threads)


def _await(others: Sequence[BaseProcess], store: TCPStore) -> None:
    """Go on when all others have begun."""
    while not store.check([_key(rank) for rank, _ in enumerate(others, 1)]):
        if not all(other.is_alive() for other in others):
            raise _LeftError
        time.sleep(_POLL)


def _death(others: Sequence[BaseProcess]) -> ConfigError:
    """What became of the first of the others that is no more."""
    gone = wait([other.sentinel for other in others], timeout=1)
    for rank, other in enumerate(others, 1):
        if other.sentinel in gone:
            other.join()
            return ConfigError(
                f"process {rank} of the {len(others) + 1} that train ended with status {other.exitcode} (out of "
                "memory?); go on with `resume`, or with fewer train.devices"
            )
    return ConfigError("the processes that train lost each other; go on with `resume`")


def _serve(
    place: _Place, threads: int, method: str | None, function: Callable[..., Any], arguments: Any, named: Any
) -> None:
    """The life of a process that another one started: signals are for the first one, and it ends with that."""
    # What prepares batches begins as it does there; from here it would be spawned, too, and be sent all crystals.
    multiprocessing.set_start_method(method, force=True)
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with _as_told(place.rank):
        if place.address is None:
            raise TypeError(place)
        store = TCPStore(*place.address, place.size, is_master=False, timeout=_MEETING, wait_for_workers=False)
        store.set(_key(place.rank), "")
        with _connected(place, store) as group:
            function(group, Reporter(quiet=True), *arguments, **named)


def _key(rank: int) -> str:
    return f"begun/{rank}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


class _LeftError(ConfigError):
    """Another process of the run is no more."""


@contextmanager
def _as_told(rank: int) -> Iterator[None]:
    """Tell, in the first process, that another one is no more; the others end without a word where it has some."""
    try:
        yield
    except KeyboardInterrupt:
        if rank == 0:
            raise
        sys.exit(130)
    except (ConfigError, CrystalError):
        if rank == 0:
            raise
        sys.exit(1)
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        if rank:
            sys.exit(1)
        raise _LeftError("another process of the run ended (out of memory?); go on with `resume`") from None


@contextmanager
def _connected(place: _Place, store: TCPStore | None) -> Iterator[Group]:
    """The group, for as long as all of it are at work."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if store is None:
        distributed.init_process_group(backend, rank=place.rank, world_size=place.size)
    else:
        distributed.init_process_group(backend, store=store, rank=place.rank, world_size=place.size)
    try:
        channel = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        group = Group(place.rank, place.size, place.local_rank, channel)
        yield group
        group.wait()
    finally:
        distributed.destroy_process_group()
