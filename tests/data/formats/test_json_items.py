"""JSON of any length: item by item as `json.loads` has them, and its errors."""

import json
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from support.memory import gone_through

from empnn import files
from empnn.data.formats.json_items import items
from empnn.data.reading import read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SALT = Structure(Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def small_portions(monkeypatch):
    monkeypatch.setattr(files, "_BUFFER", 1 << 15)


def portions(text, size):
    return [text[start : start + size] for start in range(0, len(text), size)]


def whole(text):
    try:
        return json.loads(text)
    except ValueError as error:
        return str(error)


def piecewise(text, size):
    try:
        found = list(items(portions(text, size)))
    except ValueError as error:
        return str(error)
    return [item.value for item in found] if text.lstrip()[:1] == "[" else found[0].value


@given(
    content=st.lists(JSON, max_size=4) | JSON,
    size=st.sampled_from([1, 2, 5, 20, 1000]),
    indent=st.sampled_from([None, 1]),
    damage=st.none() | st.tuples(st.integers(0, 300), st.sampled_from('{}[],:"\\ \n1N-.ex') | st.just("")),
    cut=st.booleans(),
)
def test_the_same_as_of_the_whole_text(content, size, indent, damage, cut):
    text = json.dumps(content, indent=indent)
    if damage is not None:
        place, mark = damage
        text = text[:place] if cut else text[:place] + mark + text[place + (not mark) :]
    assert repr(piecewise(text, size)) == repr(whole(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[",
        "[]",
        " [ ] \n",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1]]",
        "[1]\n[2]",
        "{}\n{}",
        "[NaN, -Infinity]",
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_ends_and_gaps(text, size):
    assert repr(piecewise(text, size)) == repr(whole(text))


def test_an_error_far_inside_has_its_place():
    lines = [json.dumps({"a": "b" * (n * n % 91)}) for n in range(300)]
    text = "[" + ",\n".join([*lines, '{"a" 1}']) + "]"
    assert piecewise(text, 64) == whole(text)
    assert "line 301 column 6" in whole(text)


def test_nesting_without_end_is_an_error():
    with pytest.raises(RecursionError):
        list(items(portions("[" * 200_000, 1000)))


def test_a_long_item_is_decoded_a_few_times_only(monkeypatch):
    decoded = []
    real = json.JSONDecoder().raw_decode
    monkeypatch.setattr(
        "empnn.data.formats.json_items._DECODER",
        type("Counting", (), {"raw_decode": lambda self, text, at: decoded.append(len(text)) or real(text, at)})(),
    )
    text = json.dumps(["x" * 100_000])
    assert next(items(portions(text, 100))).value == "x" * 100_000
    assert len(decoded) < 15


def array(path, count):
    path.write_text("[\n" + ",\n".join([SALT.to_json()] * count) + "\n]\n")
    return path


def test_the_first_crystal_comes_before_the_file_is_read(tmp_path, small_portions):
    found = read(array(tmp_path / "a.json", 300))
    shares = [record.share for record in islice(found, 2)]
    assert 0 < shares[0] <= shares[1] < 0.7
    assert [record.share for record in found][-1] == 1


def test_memory_does_not_grow_with_the_file(tmp_path, small_portions):
    peaks = []
    for count in (1000, 4000):
        path = array(tmp_path / f"{count}.json", count)
        found, peak = gone_through(path)
        assert found == count
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 1 << 20 < path.stat().st_size


def test_a_file_that_was_cut_off_gives_what_is_whole(tmp_path):
    path = array(tmp_path / "a.json", 3)
    path.write_text(path.read_text()[:-60])
    *good, last = read(path)
    assert [len(record.atoms) for record in good] == [2, 2]
    assert last.index == 2
    assert last.error.startswith("cannot be read (")
