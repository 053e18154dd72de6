"""Which runs are gone on with."""

import pytest

from empnn.search.halving import Halving

HALVING = Halving(first=100, factor=3)


def test_the_rungs_lie_before_the_end() -> None:
    assert list(HALVING.rungs(2700)) == [100, 300, 900]
    assert list(HALVING.rungs(100)) == []


@pytest.mark.parametrize(
    ("own", "others", "stops"),
    [
        ({100: 0.1}, [], False),
        ({50: 0.1}, [{50: 0.9}, {100: 0.9}], False),
        ({100: 0.1}, [{50: 0.9}], False),
        ({100: 0.1}, [{100: 0.9}], True),
        ({100: 0.9}, [{100: 0.1}, {100: 0.2}], False),
        # Two of six go on.
        ({100: 0.5}, [{100: s} for s in (0.1, 0.2, 0.3, 0.4, 0.9)], False),
        ({100: 0.5}, [{100: s} for s in (0.1, 0.2, 0.3, 0.8, 0.9)], True),
        # As good is good enough.
        ({100: 0.5}, [{100: 0.5}, {100: 0.5}], False),
        # What others found after the rung is not held against it, what they found before is.
        ({100: 0.5}, [{100: 0.1, 200: 0.9}], False),
        ({100: 0.5}, [{50: 0.9, 100: 0.1}], True),
        ({50: 0.95, 100: 0.5}, [{100: 0.9}], False),
        # Once at each rung, at the first validation there or beyond.
        ({100: 0.1, 150: 0.1}, [{100: 0.9}], False),
        ({80: 0.1, 160: 0.1}, [{100: 0.9}], True),
        ({80: 0.1, 400: 0.5}, [{100: 0.9}, {300: 0.1}], False),
        # The end is no rung.
        ({80: 0.1, 1000: 0.1}, [{900: 0.9, 1000: 0.9}], False),
    ],
)
def test_what_stops(own: dict[int, float], others: list[dict[int, float]], stops: bool) -> None:
    assert HALVING.stops(own, others, 1000) is stops


def test_so_many_go_on_as_are_promised() -> None:
    """Of runs that come to the rung from the worst to the best, each is the best by then; the other way round, few."""
    scores = [{100: float(n)} for n in range(27)]
    rising = [HALVING.stops(scores[n], scores[:n], 1000) for n in range(27)]
    falling = [HALVING.stops(scores[26 - n], scores[27 - n :], 1000) for n in range(27)]
    assert not any(rising)
    assert falling.count(False) == 1
