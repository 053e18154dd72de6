"""Processes that share work end together, whatever happens to one of them."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from empnn.errors import ConfigError
from empnn.processes import Died, Worker, completed, run


def working(report, what):
    """A task for processes: what they may meet with."""
    report(1)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "dying":
        os._exit(9)
    if what == "printing":
        print("aloud")  # noqa: T201
    if what == "failing":
        raise ConfigError("this one fails")
    time.sleep(60 if what == "slow" else 0)
    return what


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    counts = []
    assert run(working, ((what,) for what in "abcdefgh"), workers, counts.append) == list("abcdefgh")
    assert counts == [1] * 8


@pytest.mark.parametrize(
    ("what", "message"), [("killed", "a worker process was killed"), ("failing", "this one fails")]
)
def test_what_goes_wrong_in_a_process_ends_them_all(what, message):
    with pytest.raises(ConfigError, match=message):
        run(working, [("quick",), (what,), ("slow",)], 2, lambda count: None)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_who_gives_tasks_can_wait_for_results(workers):
    """No more than one task is under way or not yet heard of when the next is given."""
    heard = []

    def tasks():
        for number, what in enumerate("abc"):
            while len(heard) < number:
                yield "wait", None
            yield what, (what,)

    for key, result in completed(working, tasks(), workers, lambda count: None):
        if key != "wait":
            heard.append((key, result))
    assert heard == [("a", "a"), ("b", "b"), ("c", "c")]


def test_waiting_for_nothing_is_a_result():
    assert list(completed(working, iter([("wait", None)]), 2, lambda count: None)) == [("wait", None)]


def test_a_process_that_dies_costs_one_task():
    tasks = ((what, (what,)) for what in ["a", "dying", "b", "printing"])
    found = dict(completed(working, tasks, 1, lambda count: None))
    assert [found[what] for what in ("a", "b", "printing")] == ["a", "b", "printing"]
    assert isinstance(found["dying"], Died)
    assert found["dying"].status == 9
    assert found["dying"].seconds > 0
    assert multiprocessing.active_children() == []


def test_a_process_that_died_while_idle_is_replaced(capfd):
    with Worker(working) as worker:
        for what in ("a", "printing"):
            worker.begin(what, (what,))
            while not worker.hear(lambda count: None):
                pass
            assert (worker.key, worker.result) == (what, what)
            worker._process.kill()
            worker._process.join()
    captured = capfd.readouterr()
    assert captured.out == ""


def test_an_interruption_leaves_no_process():
    # A suite that runs in the background would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()

    def interrupt(count):
        threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()

    with pytest.raises(KeyboardInterrupt):
        run(working, [("slow",)], 2, interrupt)
    assert time.monotonic() - started < 30
    assert multiprocessing.active_children() == []
