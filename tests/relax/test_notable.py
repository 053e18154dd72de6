"""The largest of a stream, found as they come."""

import numpy as np
from support.outcomes import predicted, refused, relaxed

from empnn.relax.notable import Largest, Notable


def test_the_largest_are_those_of_all_sorted():
    keys = np.random.default_rng(0).integers(0, 50, 400).tolist()
    largest = Largest(20)
    kept = [largest.add(key, position) for position, key in enumerate(keys)]
    expected = sorted(range(400), key=lambda position: (-keys[position], position))[:20]
    assert largest.items() == expected
    assert {position for position, one in enumerate(kept) if one} >= set(expected)
    assert sum(kept) < 150


def test_none_are_kept_where_none_are_asked_for():
    assert not Largest(0).add(1.0, "x")
    assert not Notable(0).add(relaxed(0, strain=1.0, status="suspect"))


def names(outcomes):
    return [one.index for one in outcomes]


def test_doubtful_and_changed():
    notable = Notable(2)
    given = [relaxed(0, strain=0.1), relaxed(1, strain=0.5), refused(2), relaxed(3, 20, 0.6, status="suspect")]
    given += [relaxed(4, strain=0.2), relaxed(5, -30, 0.01, status="suspect"), relaxed(6, 5, 0.4, status="suspect")]
    kept = [notable.add(one) for one in given]
    assert names(notable.doubtful) == [5, 3]
    assert names(notable.changed) == [1, 6]
    assert kept == [True, True, False, True, True, True, True]


def test_predicted_errors_order_what_is_doubtful():
    notable = Notable(3)
    given = [relaxed(0, 50, errors=predicted(1.0)), relaxed(1, errors=predicted(9.0))]
    given += [relaxed(2, status="suspect", errors=predicted(2.0)), relaxed(3, status="suspect", errors=predicted(3.0))]
    for one in given:
        notable.add(one)
    assert names(notable.doubtful) == [3, 2, 1]


def test_without_strain_displacements_tell():
    """As in a fixed cell, whose strain is rounding."""
    notable = Notable(1)
    for one in (relaxed(1, strain=3e-16), relaxed(7, strain=1e-16), relaxed(3, strain=2e-16)):
        notable.add(one)
    assert names(notable.changed) == [7]


def test_a_run_that_goes_on_draws_what_one_that_never_stopped_draws():
    """What was noted with a picture is all that has to be learned of what was done before."""
    rng = np.random.default_rng(1)
    given = [relaxed(i, rng.normal(), rng.random(), "suspect" if rng.random() < 0.1 else "relaxed") for i in range(300)]
    whole, resumed = Notable(4), Notable(4)
    noted = [one for one in given[:200] if whole.add(one)]
    for one in noted:
        assert resumed.add(one)
    assert [whole.add(one) for one in given[200:]] == [resumed.add(one) for one in given[200:]]
    assert (whole.doubtful, whole.changed) == (resumed.doubtful, resumed.changed)
