"""CIF of any length: cut where blocks begin, in whatever portions it comes, no more kept of it than is needed."""

import gzip
from itertools import islice

import gemmi
import numpy as np
import pytest
from support import cif_texts as cif
from support.memory import gone_through

from empnn import files
from empnn.data import reading
from empnn.data.formats.cif import blocks, crystals
from empnn.data.reading import read
from empnn.errors import CrystalError

FIELD = "_t\n;\n data_inside\n_a 1\nDATA_again\n;\n"
LINES = ["data_x\n", "  Data_y\n", ";\n", ";data_z\n", "_t 1\n", "loop_\n", "# data_n\n", "'data_q'\n", "_u\n;\n"]


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(files, "_BUFFER", 1 << 15)


def many(count, text=cif.P1):
    return "".join(text.replace("data_CsZrNO2", f"data_{number}") for number in range(count))


def portions(text, size):
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 60])
def test_portions_make_no_difference(size):
    drawn = np.random.default_rng(size)
    for _ in range(200):
        text = "".join(drawn.choice(LINES, 12))
        assert list(blocks.parts(portions(text, size))) == list(blocks.parts([text]))


@pytest.mark.parametrize("first", ["", "# a comment\n\n", "global_\n_x 1\n"])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_sound_is_cut_as_by_gemmi(first, seed):
    """The blocks of a whole document, be there text fields with heads of blocks in them."""
    drawn = np.random.default_rng(seed)
    texts = [cif.P1, cif.BY_SYMBOL, cif.BY_OPERATORS, cif.DEUTERIUM, "data_none\n_x 1\n", "data_empty\n"]
    chosen = [
        drawn.choice(texts).replace("data_", f"data_{number}_", 1) + drawn.choice(["", FIELD, FIELD + "# data_c\n"])
        for number in range(6)
    ]
    text = first + "".join(chosen)
    found = [entry.cif.as_string() for entry in reading.TEXTS["cif"](text)]
    document = gemmi.cif.read_string(text)
    assert found == [block.as_string() for block in document if blocks.describes_crystal(block)]


def test_all_blocks_are_named_if_none_is_a_crystal(tmp_path):
    (tmp_path / "a.cif").write_text("data_one\n_x 1\ndata_two\n_x 1\n")
    records = list(read(tmp_path / "a.cif"))
    assert [record.id for record in records] == ["one", "two"]
    assert all("no unit cell" in record.error for record in records)


def test_the_first_crystal_comes_before_the_file_is_read(tmp_path):
    (tmp_path / "a.cif").write_text(many(300))
    found = read(tmp_path / "a.cif")
    shares = [record.share for record in islice(found, 2)]
    assert 0 < shares[0] <= shares[1] < 0.5
    assert [record.share for record in found][-1] == 1


@pytest.mark.parametrize("text", [cif.P1, cif.P1 + FIELD, cif.P1 + "_a 1\n_a 2\n"], ids=["plain", "field", "damaged"])
def test_memory_does_not_grow_with_the_file(tmp_path, text):
    peaks = []
    for count in (500, 2000):
        path = tmp_path / f"{count}.cif"
        path.write_text(many(count, text))
        found, peak = gone_through(path)
        assert found == count
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 1 << 20 < path.stat().st_size


def test_what_is_passed_over_is_not_parsed(tmp_path, monkeypatch):
    (tmp_path / "a.cif").write_text(many(20))
    parsed = []
    monkeypatch.setattr(
        crystals, "atoms_from_block", lambda block: parsed.append(block.name) or crystals.atoms_from_text(cif.P1)
    )
    monkeypatch.setattr(crystals, "atoms_from_text", lambda text: refused())
    indices = [record.index for record in read(tmp_path / "a.cif", start=3, step=6)]
    assert indices == [3, 9, 15]
    assert parsed == ["3", "9", "15"]


def refused():
    raise CrystalError("not asked for")


def test_a_field_that_is_never_closed_does_not_hold_up_the_rest(monkeypatch):
    monkeypatch.setattr(blocks, "FARTHEST", 1000)
    taken = []

    def portions_taken():
        for number in range(1000):
            taken.append(number)
            yield f"data_{number}\n_x {'x' * 50}\n" + ("_t\n;\n" if number == 0 else "")

    found = blocks.parts(portions_taken())
    assert next(found).startswith("data_0\n")
    assert len(taken) < 30
    assert [part.split()[0] for part in found] == [f"data_{number}" for number in range(1, 1000)]


@pytest.mark.parametrize("damage", ["cut off", "null"])
def test_what_comes_before_a_damage_far_inside_comes_out(tmp_path, damage):
    content = many(300).encode()
    path = tmp_path / ("a.cif.gz" if damage == "cut off" else "a.cif")
    path.write_bytes(gzip.compress(content, 0)[:-100] if damage == "cut off" else content[:-100] + b"\0" * 100)
    *good, last = read(path)
    assert len(good) > 200
    assert all(record.atoms is not None for record in good)
    assert ("Compressed file ended" if damage == "cut off" else "not a text file") in last.error
