"""Names of blocks differ throughout a CIF, also one that was written in parts; identifiers stay what they are."""

from contextlib import suppress

import gemmi
import pytest
from support.relaxing import salt

from empnn.bulk.resumable import PartedOutput
from empnn.data.formats.cif.names import BlockNames
from empnn.data.reading import read
from empnn.data.writing import writer
from empnn.files import read_text

IDS = ["a", "A", "a_1", "a", "two words", "two_words", None, "café", "caf_", "a_3", None, "structure"]


def write_in_parts(path, structures, interrupted_after=None):
    """Write as a run does, or as one that is interrupted and resumed."""
    if interrupted_after is not None:
        with suppress(KeyboardInterrupt), PartedOutput(path, {}) as output:
            for atoms in structures[:interrupted_after]:
                output.add({}, atoms, "a")
            raise KeyboardInterrupt
    with PartedOutput(path, {}, resume=interrupted_after is not None) as output:
        done = len(list(output.journal()))
        for atoms in structures[done:]:
            output.add({}, atoms, "a")


@pytest.mark.parametrize("name", ["a.cif", "a.cif.gz", "a.cif.bz2", "a.cif.xz"])
@pytest.mark.parametrize("records", [1, 4, 100])
@pytest.mark.parametrize("interrupted_after", [None, 1, 7])
def test_parts_make_the_file_that_is_written_at_once(tmp_path, monkeypatch, name, records, interrupted_after):
    monkeypatch.setattr("empnn.bulk.resumable.RECORDS", records)
    structures = [salt(name) for name in IDS]
    writer(tmp_path / f"whole-{name}")(structures)
    write_in_parts(tmp_path / name, structures, interrupted_after)
    text = read_text(tmp_path / name)
    assert text == read_text(tmp_path / f"whole-{name}")
    names = [block.name for block in gemmi.cif.read_string(text)]
    assert len({name.lower() for name in names}) == len(IDS)
    assert names[:4] == ["a", "A_1", "a_1_2", "a_3"]
    assert [record.id for record in read(tmp_path / name)] == [
        given or block for given, block in zip(IDS, names, strict=True)
    ]


def test_lines_of_a_text_that_look_like_names_are_left_alone():
    text = "data_a\n_x\n;\ndata_a\n;\n_y 1\ndata_a\n"
    assert BlockNames().renamed(text) == text[:-1] + "_1\n"
