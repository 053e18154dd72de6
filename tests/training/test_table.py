"""The lines of a run fit 80 columns, and stand under what they are."""

import pytest

from empnn.training.table import heading, line
from empnn.training.task import Outcome, Removed

STRAIN: Removed = {"": {"lengths": 0.845, "angles": 0.906, "atoms": -0.02}}
MIXED: Removed = {kind: {"cell": 0.8, "atoms": 0.5} for kind in ("strain", "symmetric", "decorated", "pairs")}
AWFUL: Removed = {kind: {"cell": -12.5, "atoms": -99.0} for kind in MIXED}


@pytest.mark.parametrize("removed", [STRAIN, MIXED, AWFUL])
def test_columns_stand_under_their_names(removed: Removed) -> None:
    outcome = Outcome(removed, {})
    lines = heading(removed)
    lines += [
        line(500_000, 0.03125, removed, outcome.score, True, "23:59:59"),
        line(0, None, removed, 0.0, False, ""),
    ]
    assert max(map(len, lines)) <= 80
    names, figures = lines[-3], lines[-2]
    assert names.split() == ["step", "loss", *(name for parts in removed.values() for name in parts), "mean", "left"]
    for name in ("step", "loss", "left"):
        assert figures[names.index(name) + len(name) - 1].isdigit()
    assert len(figures.replace(" * ", " ").split()) == len(names.split())


def test_figures_are_per_cent() -> None:
    outcome = Outcome(STRAIN, {})
    assert line(500, 0.03125, STRAIN, outcome.score, True, "0:12:30") == (
        "    500  0.0312    84.5   90.6  -2.0  57.7 *  0:12:30"
    )


def test_kinds_stand_above_their_parts() -> None:
    above, names = heading(MIXED)[-2:]
    for kind in MIXED:
        end = above.index(kind) + len(kind)
        assert names[:end].endswith("atoms")
    assert len(heading(STRAIN)) == 2


def test_what_is_worse_than_doing_nothing_has_a_name() -> None:
    assert Outcome(STRAIN, {}).worse == ["atoms"]
    assert Outcome({"symmetric": {"cell": -0.1, "atoms": 0.0}, "pairs": {"cell": 0.1}}, {}).worse == [
        "cell (symmetric)"
    ]
    assert Outcome(MIXED, {}).score == pytest.approx(0.65)
