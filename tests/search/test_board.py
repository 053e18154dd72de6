"""Processes that share trials: each is done once, whoever dies when."""

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from optuna.trial import TrialState

from empnn.errors import ConfigError
from empnn.search import attempt as attempts
from empnn.search import board as boards
from empnn.search.attempt import Attempt, LostError
from empnn.search.board import TRIES, Board, Record
from empnn.search.owner import Owner, myself
from empnn.search.plan import Plan, load_plan
from empnn.search.storage import shown

GRID = load_plan(None, ["data=sample", "lr=[1e-3,1e-4,1e-5]", "model.weight_limit=[null,0.01]"])
OPEN = load_plan(None, ["data=sample", "lr=log(1e-5,1e-2)", "model.features=range(8,64)"], trials=5)


Join = Callable[..., Board]


@pytest.fixture
def join(tmp_path: Path) -> Join:
    """What takes part in a search, each time as another process would."""
    return lambda plan=GRID: Board(str(tmp_path / "search.journal"), plan, "search")


@pytest.fixture(params=["file", "database"])
def join_any(request: pytest.FixtureRequest, join: Join, tmp_path: Path) -> Join:
    """The same, by a file and by a database."""
    address = f"sqlite:///{tmp_path / 'search.db'}"
    return join if request.param == "file" else lambda plan=GRID: Board(address, plan, "search")


@pytest.fixture
def dead() -> Owner:
    """A process of this machine that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return Owner(myself().host, myself().place, process.pid, "1")


def begun_by(owner: Owner, board: Board, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """A trial in the hands of another process, which says no word of it ever again."""
    with monkeypatch.context() as patch:
        patch.setattr(boards, "myself", lambda: owner)
        attempt = board.next()
    assert attempt is not None
    return attempt


def finish_all(board: Board) -> list[int]:
    """Do whatever is left to do; the score is that of the place."""
    places = []
    while (attempt := board.next()) is not None:
        with attempt:
            attempt.report(10, attempt.begun.place / 10)
            attempt.finish(attempt.begun.place / 10, {"step": 10})
        places.append(attempt.begun.place)
    return places


def states(board: Board) -> list[tuple[int, TrialState]]:
    return [(record.place, record.state) for record in board.records()]


def all_attempts(board: Board) -> list[Record]:
    return board._attempts()


@pytest.mark.parametrize("plan", [GRID, OPEN], ids=["grid", "open"])
def test_shares_are_disjoint_and_together_all(tmp_path: Path, plan: Plan) -> None:
    boards = [Board(str(tmp_path / f"{n}.journal"), plan, "search", (n, 2)) for n in range(2)]
    apart = [finish_all(board) for board in boards]
    assert [[record.place for record in board.records()] for board in boards] == apart
    assert apart == [list(range(0, plan.count, 2)), list(range(1, plan.count, 2))]


def test_shares_may_have_one_storage(tmp_path: Path) -> None:
    storage = str(tmp_path / "search.journal")
    assert finish_all(Board(storage, GRID, "search", (1, 2))) == [1, 3, 5]
    assert finish_all(Board(storage, GRID, "search")) == [0, 2, 4]


def test_a_share_does_not_wait_for_trials_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = str(tmp_path / "search.journal")
    silent = begun_by(Owner("elsewhere", "there", 1, "1"), Board(storage, GRID, "search", (0, 2)), monkeypatch)
    assert silent.begun.place == 0
    assert finish_all(Board(storage, GRID, "search", (1, 2))) == [1, 3, 5]


def test_a_share_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`shard` 6/7: there are only 6 trials"):
        Board(str(tmp_path / "search.journal"), GRID, "search", (6, 7))


@pytest.mark.parametrize("plan", [GRID, OPEN], ids=["grid", "open"])
def test_each_trial_is_done_once(join_any: Join, plan: Plan) -> None:
    assert finish_all(join_any(plan)) == list(range(plan.count))
    assert finish_all(join_any(plan)) == []
    records = join_any(plan).records()
    assert [record.state for record in records] == [TrialState.COMPLETE] * plan.count
    assert [record.run["score"] for record in records] == [place / 10 for place in range(plan.count)]
    assert len({tuple(record.parameters.values()) for record in records}) == plan.count


def test_workers_at_the_same_time_share_the_trials(tmp_path: Path) -> None:
    plan = load_plan(None, ["data=sample", "lr=log(1e-5,1e-2)"], trials=12)
    done: list[int] = []

    def work() -> None:
        done.extend(finish_all(Board(str(tmp_path / "search.journal"), plan, "search")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(12))
    board = Board(str(tmp_path / "search.journal"), plan, "search")
    assert states(board) == [(place, TrialState.COMPLETE) for place in range(12)]


def test_more_trials_are_the_same_and_further_ones(join: Join) -> None:
    few = load_plan(None, ["data=sample", "lr=[1e-3,1e-4,1e-5]", "model.weight_limit=[null,0.01]"], trials=2)
    assert finish_all(join(few)) == [0, 1]
    assert finish_all(join()) == [2, 3, 4, 5]
    assert finish_all(join(few)) == []
    assert len(join(few).records()) == 6


def test_a_living_process_keeps_its_trial(join_any: Join) -> None:
    attempt = join_any().next()
    assert attempt is not None
    with attempt:
        assert finish_all(join_any()) == [1, 2, 3, 4, 5]
        attempt.finish(0.0, {})
    assert finish_all(join_any()) == []


def test_a_trial_of_a_dead_process_is_taken_up_where_it_was(
    join_any: Join, dead: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = begun_by(dead, join_any(OPEN), monkeypatch)
    lost.report(10, 0.25)
    taken = join_any(OPEN).next()
    assert taken is not None
    with taken:
        assert (taken.begun.place, taken.begun.parameters) == (0, lost.begun.parameters)
        assert (taken.scores, taken.begun.after) == ({10: 0.25}, "its process died")
        with pytest.raises(LostError):
            lost.report(20, 0.5)
        with pytest.raises(LostError):
            lost.check()
        taken.finish(0.75, {})
    with suppress(LostError):
        lost.finish(0.1, {})
    (record,) = [record for record in join_any(OPEN).records() if record.place == 0]
    assert (record.state, record.run) == (TrialState.COMPLETE, {"score": 0.75})


def test_proposals_do_not_depend_on_who_dies(tmp_path: Path, dead: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = (Board(str(tmp_path / name), OPEN, "search") for name in ("whole.journal", "broken.journal"))
    finish_all(whole)
    for _ in range(3):
        begun_by(dead, broken, monkeypatch).report(10, 0.0)
    finish_all(broken)
    assert [r.parameters for r in whole.records()] == [r.parameters for r in broken.records()]


def test_an_interrupted_trial_is_there_for_the_next(join_any: Join) -> None:
    attempt = join_any().next()
    assert attempt is not None
    with suppress(KeyboardInterrupt), attempt:
        attempt.report(10, 0.5)
        raise KeyboardInterrupt
    taken = join_any().next()
    assert taken is not None
    with taken:
        assert (taken.begun.place, taken.scores, taken.begun.after) == (0, {10: 0.5}, "it was interrupted")


def test_a_trial_that_was_given_up_stays_so_if_its_process_dies_then(
    join: Join, dead: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = begun_by(dead, join(), monkeypatch)
    lost.report(10, 0.5)
    lost.halt(10)
    taken = join().next()
    assert taken is not None
    with taken:
        assert taken.halted == 10
        taken.finish(0.5, {})
    assert states(join())[0] == (0, TrialState.PRUNED)


def test_a_process_elsewhere_is_dead_once_it_is_silent(join_any: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "SILENCE", 0.3)
    monkeypatch.setattr(boards, "_POLL", 0.01)
    elsewhere = Owner("node7", "another machine", 1, "1")
    lost = begun_by(elsewhere, join_any(), monkeypatch)
    assert sorted(finish_all(join_any())) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(LostError):
        lost.finish(0.9, {})


def test_a_process_elsewhere_that_gives_signs_of_life_keeps_its_trial(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "_POLL", 0.01)
    monkeypatch.setattr(attempts, "BEAT", 0.02)
    elsewhere = Owner("node7", "another machine", 1, "1")
    attempt = begun_by(elsewhere, join(), monkeypatch)
    with attempt:
        # This returns, for there is no doubt, long before the silence that is death.
        assert finish_all(join()) == [1, 2, 3, 4, 5]
        attempt.finish(0.0, {})


def test_of_two_attempts_that_live_the_first_counts(join_any: Join) -> None:
    """Two processes gave the same place another attempt at the same time."""
    board = join_any()
    board._fill()
    board._study.add_trial(board._another(0, []))
    assert finish_all(join_any()) == [0, 1, 2, 3, 4, 5]
    assert [record.state for record in all_attempts(join_any())].count(TrialState.COMPLETE) == 6
    assert len(join_any().records()) == 6


def test_a_trial_whose_process_dies_always_is_given_up(
    join_any: Join, dead: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(TRIES):
        assert begun_by(dead, join_any(), monkeypatch).begun.place == 0
    assert finish_all(join_any()) == [1, 2, 3, 4, 5]
    (record,) = [record for record in join_any().records() if record.place == 0]
    assert record.error == "its process died 5 times in a row; is there memory enough?"
    assert set(record.parameters) == set(GRID.dimensions)


def test_a_trial_that_comes_forward_between_deaths_is_not(
    join: Join, dead: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(2 * TRIES):
        begun_by(dead, join(), monkeypatch).report(step, 0.5)
    assert finish_all(join()) == [0, 1, 2, 3, 4, 5]


def test_values_that_lead_to_nothing_are_not_tried_again(join: Join) -> None:
    attempt = join().next()
    assert attempt is not None
    with attempt:
        attempt.fail("training diverged")
    assert finish_all(join()) == [1, 2, 3, 4, 5]
    assert join().records()[0].error == "training diverged"


def test_importances_are_told_once_there_is_enough(join: Join) -> None:
    plan = load_plan(None, ["data=sample", "lr=log(1e-5,1e-2)", "train.weight_decay=range(0,1)"], trials=30)
    board = join(plan)
    for number in range(30):
        if number == 9:
            assert board.importances() == {}
        attempt = board.next()
        assert attempt is not None
        with attempt:
            attempt.finish(-abs(attempt.begun.parameters["train.weight_decay"] - 0.5), {})
    found = board.importances()
    assert found["train.weight_decay"] > 0.6
    assert sum(found.values()) == pytest.approx(1)


def test_another_search_of_the_same_name_is_refused(join: Join) -> None:
    join()
    with pytest.raises(ConfigError, match=r"holds another search search: train.learning_rate=\[.*] there, \["):
        join(load_plan(None, ["data=sample", "lr=[1e-3,1e-4]", "model.weight_limit=[null,0.01]"]))
    with pytest.raises(ConfigError, match=r"train\.steps=10000 there, 5 here"):
        join(load_plan(None, ["data=sample", "lr=[1e-3,1e-4,1e-5]", "model.weight_limit=[null,0.01]", "steps=5"]))


def test_a_line_that_was_left_unfinished_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "search.journal"
    board = Board(str(path), GRID, "search")
    with path.open("a") as handle:
        handle.write('{"op_code": 6, "trial')
    assert finish_all(board) == list(range(6))
    assert states(Board(str(path), GRID, "search")) == [(place, TrialState.COMPLETE) for place in range(6)]


@pytest.mark.parametrize("content", ["hello\nworld\n", '{"a": 1}\n', "[1]\n"])
def test_a_file_that_is_no_storage_stays_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="not the storage of a search"):
        Board(str(path), GRID, "search")
    assert path.read_text() == content
    assert [file.name for file in tmp_path.iterdir()] == ["mine.json"]


@pytest.mark.parametrize("address", ["nonsense://x", "postgresql+nodriver://u:secret@h/d", "sqlite:////no/such/x.db"])
def test_a_database_that_cannot_be_opened(address: str) -> None:
    with pytest.raises(ConfigError, match="cannot be opened") as caught:
        Board(address, GRID, "search")
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    assert shown("postgresql://me:secret@host/x") == "postgresql://me:***@host/x"
    assert shown("sqlite:///x.db") == "sqlite:///x.db"
