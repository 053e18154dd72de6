"""Work shared among processes: tasks in, results and progress out; an interruption leaves no process behind."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from empnn.errors import ConfigError

Report = Callable[[int], None]
Function = Callable[..., Any]

_POLL = 1.0
"""Seconds after which a silent process is asked whether it lives."""


def run(function: Function, tasks: Iterable[tuple[Any, ...]], workers: int, on_progress: Report) -> list[Any]:
    """The results of `function(report, *task)` for all tasks, in order.

    Args:
        function: A function of a module; `report(n)` in it calls `on_progress(n)` here.
        tasks: Arguments that can be pickled; taken as they are needed.
        workers: Processes to use; with one, everything happens in this one.
        on_progress: Called with what the function reports.

    Raises:
        ConfigError: If a process is killed.
    """
    if workers <= 1:
        return [function(on_progress, *task) for task in tasks]
    # Fresh processes: one forked while threads of torch run may hang.
    context = multiprocessing.get_context("spawn")
    given, returned = context.Queue(), context.Queue()
    processes = [context.Process(target=_work, args=(function, given, returned), daemon=True) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        return _collect(enumerate(tasks), given, returned, processes, on_progress)
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        for channel in (given, returned):
            channel.cancel_join_thread()
            channel.close()


def _collect(tasks: Any, given: Any, returned: Any, processes: list[Any], on_progress: Report) -> list[Any]:
    results: dict[int, Any] = {}
    waiting = 0
    for task in islice(tasks, 2 * len(processes)):
        given.put(task)
        waiting += 1
    while waiting:
        try:
            number, value, error = returned.get(timeout=_POLL)
        except queue.Empty:
            if not all(process.is_alive() for process in processes):
                raise ConfigError("a worker process was killed (out of memory?); use fewer --workers") from None
            continue
        if error is not None:
            raise error
        if number is None:
            on_progress(value)
            continue
        results[number] = value
        waiting -= 1
        for task in islice(tasks, 1):
            given.put(task)
            waiting += 1
    return [results[number] for number in sorted(results)]


def _work(function: Function, given: Any, returned: Any) -> None:
    """The life of a process: it ends with the one that started it, which alone heeds Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        number, task = given.get()
        try:
            returned.put((number, function(lambda count: returned.put((None, count, None)), *task), None))
        except Exception as error:
            returned.put((number, None, error))
