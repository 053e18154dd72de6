"""Names in any spelling, and what was meant by one that is none."""

import pytest

from empnn.names import nearest, respelled, suggestion

KNOWN = ("carbon_24", "perov_5", "mp_20", "sample")


@pytest.mark.parametrize("name", ["mp_20", "MP-20", "mp20", "Mp 20", "mp.20"])
def test_a_name_is_found_in_any_spelling(name: str) -> None:
    assert respelled(name, KNOWN) == "mp_20"


@pytest.mark.parametrize("name", ["mp_2", "mp_200", "mp", "", "20mp"])
def test_another_name_is_no_spelling(name: str) -> None:
    assert respelled(name, KNOWN) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [("mp20", "mp_20"), ("mp_2", "mp_20"), ("Perov", "perov_5"), ("carbon", "carbon_24"), ("samples", "sample")],
)
def test_the_nearest_name_is_suggested(name: str, meant: str) -> None:
    assert nearest(name, KNOWN) == meant
    assert suggestion(name, KNOWN) == f"; did you mean {meant}?"
    assert suggestion(name, KNOWN, "data={}") == f"; did you mean data={meant}?"


@pytest.mark.parametrize("name", ["", "runs/mine.cif", "candidates", "-_."])
def test_nothing_is_suggested_where_nothing_is_near(name: str) -> None:
    assert nearest(name, KNOWN) is None
    assert suggestion(name, KNOWN) == ""
