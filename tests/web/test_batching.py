"""Crystals of many requests in one pass: turns, errors and deadlines."""

from typing import Any

import pytest
from support.relaxing import salt, tiny_network, triclinic

from empnn.relax import Relaxer
from empnn.relax.files import How, answered
from empnn.web.batching import Batcher
from empnn.web.limits import Deadline, RequestError

FOREVER = Deadline(1e6)


class Watched(Relaxer):
    """Notes how many crystals come in each pass."""

    def __init__(self) -> None:
        super().__init__(tiny_network(), {})
        self.seen: list[list[int]] = []

    def relax(self, structures: Any, **how: Any) -> Any:
        self.seen.append([len(atoms) for atoms in structures])
        if any(atoms.info.get("bad") for atoms in structures):
            raise RuntimeError("out of luck")
        return super().relax(structures, **how)


def test_what_waits_goes_together_in_turns() -> None:
    relaxer, batcher = Watched(), Batcher()
    how = How(batch_atoms=10)
    large = batcher.submit(relaxer, how, [salt() for _ in range(9)], FOREVER)
    small = batcher.submit(relaxer, how, [triclinic()], FOREVER)
    other = batcher.submit(relaxer, How(batch_atoms=10, passes=2), [salt()], FOREVER)
    with batcher:
        assert len(small.result()) == 1
        assert len(other.result()) == 1
        assert len(large.result()) == 9
    assert relaxer.seen[0] == [2, 2, 2, 5] or relaxer.seen[0] == [2, 2, 5] or relaxer.seen[0] == [2, 2, 2, 2, 5]
    assert relaxer.seen[1] == [2]
    assert sum(map(len, relaxer.seen)) == 11
    assert all(sum(sizes) <= 10 + 5 for sizes in relaxer.seen)


def test_answers_are_those_of_each_alone() -> None:
    relaxer = Watched()
    with Batcher() as batcher:
        futures = [batcher.submit(relaxer, How(), [make(), salt()], FOREVER) for make in (salt, triclinic, salt)]
        found = [future.result() for future in futures]
    for make, answers in zip((salt, triclinic, salt), found, strict=True):
        for (one, change), (expected, _) in zip(answers, answered(relaxer, [make(), salt()], How()), strict=True):
            assert change is not None
            assert one.trajectory == pytest.approx(expected.trajectory, abs=1e-5)


def test_an_error_costs_the_request_that_has_it_only() -> None:
    relaxer, batcher = Watched(), Batcher()
    bad = salt()
    bad.info["bad"] = True
    futures = [batcher.submit(relaxer, How(), [atoms], FOREVER) for atoms in (salt(), bad, triclinic())]
    with batcher:
        with pytest.raises(RuntimeError, match="out of luck"):
            futures[1].result()
        assert [len(futures[place].result()) for place in (0, 2)] == [1, 1]


def test_who_is_late_is_given_up_and_who_left_is_forgotten() -> None:
    relaxer, batcher = Watched(), Batcher()
    late = batcher.submit(relaxer, How(), [salt()], Deadline(0.0))
    gone = batcher.submit(relaxer, How(), [salt()], FOREVER)
    assert gone.cancel()
    with batcher:
        with pytest.raises(RequestError, match="takes longer than 0 s"):
            late.result()
        assert batcher.submit(relaxer, How(), [], FOREVER).result() == []
        assert len(batcher.submit(relaxer, How(), [triclinic()], FOREVER).result()) == 1
    assert relaxer.seen == [[5]]
