"""Pairs in every form are the same pairs; what does not fit is left out with a line of its own."""

from pathlib import Path

import ase.io
import pytest
import torch
from ase import Atoms
from support.unrelaxed import pairs, write_json, write_table, write_two

from empnn.crystals import CrystalBatch, from_atoms
from empnn.data import reading
from empnn.data.pair_files import pair_files
from empnn.data.pairs import PairSet, load_pairs
from empnn.errors import ConfigError

Given = tuple[list[Atoms], list[Atoms]]


@pytest.fixture
def given() -> Given:
    return pairs()


def loaded(given: str | list[str]) -> PairSet:
    return load_pairs(pair_files(given))


def two(folder: Path, given: Given) -> PairSet:
    return loaded(write_two(folder, *given))


def parquet(folder: Path, given: Given) -> PairSet:
    import pyarrow.csv
    import pyarrow.parquet

    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(write_table(folder / "a.csv", *given), parse_options=options)
    pyarrow.parquet.write_table(table, folder / "a.parquet")
    return loaded(str(folder / "a.parquet"))


FORMS = {
    "two files": two,
    "a folder": lambda folder, given: (write_two(folder, *given), loaded(str(folder)))[1],
    "a table": lambda folder, given: loaded(str(write_table(folder / "a.csv", *given))),
    "a parquet file": parquet,
    "JSON": lambda folder, given: loaded(str(write_json(folder / "a_train.json.gz", *given))),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_hold_the_same_pairs(tmp_path: Path, given: Given, form: str) -> None:
    found = FORMS[form](tmp_path, given)
    assert (len(found), found.refused) == (12, ())
    for atoms, crystals in zip(given, (found.before, found.relaxed), strict=True):
        expected = CrystalBatch.cat(list(map(from_atoms, atoms)))
        read = crystals.select(range(12))
        assert torch.equal(read.numbers, expected.numbers)
        # Written as CIF, they are turned; their metric tensors are what they were.
        assert torch.allclose(read.cell @ read.cell.mT, expected.cell @ expected.cell.mT, atol=1e-5)
        apart = read.frac - expected.frac
        assert (apart - apart.round()).abs().max() < 1e-6


def test_each_pair_that_does_not_fit_has_its_line_and_the_others_are_used(tmp_path: Path, given: Given) -> None:
    before, after = given
    after[1].symbols[0] = "K"
    after[2] = after[2][[4, 1, 2, 3, 0, 5, 6, 7]]
    del before[3][0]
    after[4].set_cell(0.05 * after[4].cell.array, scale_atoms=True)
    before[5].positions[1] = before[5].positions[0]
    after[6].set_cell(1.9 * after[6].cell.array, scale_atoms=True)
    found = two(tmp_path, given)
    raw, relaxed = tmp_path / "unrelaxed.extxyz", tmp_path / "relaxed.extxyz"
    expected = {
        f"{raw}[1] (mp-1): it is F4Li4 unrelaxed and F4KLi3 relaxed; ": 0,
        f"{raw}[2] (mp-2): atom 0 is K unrelaxed and Br relaxed; write the atoms in the same order": 1,
        f"{raw}[3] (mp-3): it has 7 atoms unrelaxed (Mg3O4) and 8 relaxed (Mg4O4); ": 2,
        f"{relaxed}[4] (mp-4): its volume is ": 3,
        f"{raw}[5] (mp-5): atoms 0 and 1 overlap (0.000 angstrom apart); ": 4,
        f"{raw}[6] (mp-6): the cell changes by a strain of 1.26, over 1; ": 5,
    }
    assert len(found.refused) == len(expected)
    for start, row in expected.items():
        assert found.refused[row].startswith(start)
    assert len(found) == 6
    kept = [from_atoms(before[index]) for index in (0, 7, 8, 9, 10, 11)]
    assert torch.equal(found.before.select(range(6)).numbers, CrystalBatch.cat(kept).numbers)


def test_in_one_file_the_side_is_named(tmp_path: Path, given: Given) -> None:
    given[1][4].set_cell(0.05 * given[1][4].cell.array, scale_atoms=True)
    path = write_table(tmp_path / "a.csv", *given)
    (line,) = loaded(str(path)).refused
    assert line.startswith(f"{path}[4] (mp-4): relaxed: its volume is ")


def test_identifiers_tell_files_in_another_order(tmp_path: Path, given: Given) -> None:
    before, after = given
    for atoms in (*before, *after):
        atoms.symbols = ["Na"] * 4 + ["Cl"] * 4
    after[3], after[4] = after[4], after[3]
    # An identifier that the other side does not have says nothing.
    after[7].info["material_id"] = "7, relaxed"
    found = two(tmp_path, given)
    raw = tmp_path / "unrelaxed.extxyz"
    advice = "which is another pair; put both files in the same order"
    assert found.refused == (
        f"{raw}[3] (mp-3): relaxed, it is mp-4, {advice}",
        f"{raw}[4] (mp-4): relaxed, it is mp-3, {advice}",
    )
    assert len(found) == 10
    expected = CrystalBatch.cat([from_atoms(atoms) for index, atoms in enumerate(before) if index not in (3, 4)])
    assert torch.allclose(found.before.select(range(10)).cell, expected.cell, atol=1e-7)


def test_files_of_other_lengths(tmp_path: Path, given: Given) -> None:
    with pytest.raises(ConfigError, match=r"unrelaxed.extxyz holds 12 structures and .*/relaxed.extxyz 9; "):
        two(tmp_path, (given[0], given[1][:9]))


def test_a_side_that_cannot_be_read_is_named(tmp_path: Path, given: Given) -> None:
    unrelaxed, relaxed = write_two(tmp_path, *given)
    Path(relaxed).write_text("")
    with pytest.raises(ConfigError, match=r"relaxed.extxyz: the file is empty"):
        loaded([unrelaxed, relaxed])


def test_nothing_fits(tmp_path: Path, given: Given) -> None:
    with pytest.raises(ConfigError, match=r"no pair can be used: .*unrelaxed.extxyz\[0\] \(mp-0\): .* \(and 11 more\)"):
        two(tmp_path, (given[0], given[1][1:] + given[1][:1]))
    ase.io.write(tmp_path / "plain.cif", given[0][0])
    (tmp_path / "plain.csv").write_text("cif,cif_relaxed\na,b\n")
    with pytest.raises(ConfigError, match="the table has no column named cif_unrelaxed or structure_unrelaxed"):
        loaded(str(tmp_path / "plain.csv"))


@pytest.mark.parametrize(
    ("columns", "missing"),
    [("cif", "cif_unrelaxed or structure_unrelaxed"), ("cif_unrelaxed", "cif_relaxed or structure_relaxed")],
)
@pytest.mark.parametrize("rows", [1, 2])
def test_columns_are_missing_from_the_table_and_not_from_a_crystal(
    tmp_path: Path, given: Given, columns: str, missing: str, rows: int
) -> None:
    write_table(tmp_path / "plain.csv", given[0][:rows], given[1][:rows])
    text = (tmp_path / "plain.csv").read_text().replace("cif_unrelaxed,cif_relaxed", f"{columns},other", 1)
    (tmp_path / "plain.csv").write_text(text)
    with pytest.raises(ConfigError) as caught:
        loaded(str(tmp_path / "plain.csv"))
    assert str(caught.value).startswith(f"{tmp_path / 'plain.csv'}: the table has no column named {missing}; ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"species": []}]', "the file is no JSON of pairs by identifier"),
        ('{"a": {"species": ["H"]}}', r"\[0\] \(a\): unrelaxed: it has no lattice_unrelaxed; add it"),
        (
            '{"a": {"species": ["H"], "lattice_unrelaxed": [1], "frac_unrelaxed": [[0, 0, 0]]}}',
            r"\[0\] \(a\): unrelaxed: lattice_unrelaxed must be 3 x 3",
        ),
        ("{", "cannot be read"),
    ],
)
def test_json_that_holds_no_pairs(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        loaded(str(tmp_path / "a.json"))


def test_pairs_are_parsed_once(tmp_path: Path, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    entries = reading.entries

    def counting(path: Path, side: str = "") -> object:
        calls.append(path)
        return entries(path, side)

    monkeypatch.setattr(reading, "entries", counting)
    given[1][1].symbols[0] = "K"
    first = two(tmp_path, given)
    again = loaded(str(tmp_path))
    assert len(calls) == 2
    assert first.refused == again.refused
    assert torch.equal(first.relaxed.cell, again.relaxed.cell)
    moved = tmp_path / "moved"
    moved.mkdir()
    for side in ("unrelaxed", "relaxed"):
        (tmp_path / f"{side}.extxyz").rename(moved / f"{side}.extxyz")
    assert loaded(str(moved)).refused[0].startswith(f"{moved / 'unrelaxed.extxyz'}[1]")
    assert len(calls) == 2
