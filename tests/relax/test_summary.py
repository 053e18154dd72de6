"""The last lines of a run: what changed in the median and most, and who is suspect."""

import numpy as np
import pytest
from support.outcomes import predicted, refused, relaxed, then

from empnn.relax.summary import Overall, Values


def lines(*outcomes):
    overall = Overall()
    for one in outcomes:
        overall.add(one)
    return list(overall.lines())


def test_median_and_largest_with_the_name():
    given = [relaxed(0, 1.0), relaxed(1, -8.25), relaxed(2, 3.0), refused(3), relaxed(4, 2.0, id=None)]
    assert lines(*given) == [
        "volume changed by: 2.5 % in the median, -8.2 % at most (mp-1)",
        "atoms moved by: 0.015 Å in the median, 0.040 Å at most (in.cif[4])",
    ]


def test_of_one_there_is_no_median():
    assert lines(relaxed(2, 1.0)) == ["volume changed by: +1.0 % (mp-2)", "atoms moved by: 0.020 Å (mp-2)"]


ONE = "1 atom keeps its fractional coordinates: fixed in the input"
SOME = "2 atoms keep some of their fractional coordinates: fixed in the input"
IGNORED = "constraints that fix no fractional coordinate are ignored: "


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ([[ONE]], "1 crystal keeps fixed coordinates"),
        ([[ONE, SOME], ["a doubt"], [SOME], []], "2 crystals keep fixed coordinates"),
        ([["deuterium", IGNORED + "FixCartesian"]], "1 crystal has constraints that are ignored (FixCartesian)"),
        (
            [[IGNORED + "FixCartesian"], [ONE, IGNORED + "FixBondLengths, FixCartesian"]],
            "1 crystal keeps fixed coordinates; 2 have constraints that are ignored (FixBondLengths, FixCartesian)",
        ),
        (
            [[ONE], [SOME], [ONE, SOME, IGNORED + "FixedPlane"]],
            "3 crystals keep fixed coordinates; 1 has constraints that are ignored (FixedPlane)",
        ),
    ],
)
def test_what_the_input_fixes_is_counted(notes, said):
    given = [relaxed(0, id=f"mp-{number}", warnings=warnings) for number, warnings in enumerate(notes)]
    assert lines(*given) == [said]


def test_what_did_not_change_is_not_mentioned():
    assert lines(relaxed(0, 1e-7, status="unchanged"), refused(1)) == []
    assert lines(refused(0)) == []


def test_predicted_errors():
    given = [relaxed(0, errors=predicted(1.0, 2.0)), relaxed(0, errors=predicted(4.0, 9.0), id="far"), refused(1)]
    assert lines(*given) == [
        "predicted error of lengths: 0.050 Å in the median, 0.080 Å at most (far)",
        "predicted error of volume: 2.5 % in the median, 4.0 % at most (far)",
    ]


def test_what_an_oracle_changed_from_there():
    overall = Overall(oracle="chgnet")
    for one in (relaxed(0, then=then(62.72)), relaxed(1, then=then(64.64)), relaxed(2, then=then(None)), refused(3)):
        overall.add(one)
    first, *_ = overall.lines()
    assert first == "volume changed by chgnet from there: 1.5 % in the median, -2.0 % at most (mp-0)"


def test_suspects_by_name_with_the_main_reason():
    found = lines(*(relaxed(0, status="suspect", id=f"x{i}") for i in range(12)))
    assert found == [*(f"suspect: x{i} (a doubt, with <tags> & more)" for i in range(5)), "suspect: 7 more"]
    assert lines(*(relaxed(0, status="suspect", id=f"x{i}") for i in range(5)))[-1].startswith("suspect: x4 (")


@pytest.mark.parametrize("count", [1, 2, 7, 100_000])
def test_the_median_is_that_of_all_to_a_tenth_of_what_is_shown(count):
    given = np.random.default_rng(count).normal(0, 5, count)
    values = Values("%")
    for value in given.tolist():
        values.add(value, "x")
    assert len(values) == count
    assert values.median == pytest.approx(np.median(np.abs(given)), abs=0.005 + 1e-9)
    assert values.largest == given[np.abs(given).argmax()]


def test_many_values_take_no_more_memory_than_the_sizes_that_differ():
    values = Values("Å")
    for value in np.random.default_rng(0).uniform(0, 0.1, 100_000).tolist():
        values.add(value, "x")
    assert len(values.counts) <= 1001


def test_what_is_no_number_does_not_count():
    values = Values("%")
    for value in (float("nan"), float("inf"), 2.0):
        values.add(value, "x")
    assert (len(values), values.median, values.largest) == (1, 2.0, 2.0)


def test_of_none_the_median_is_0():
    assert Values("Å").median == 0
