"""Tables as pandas leaves them: an index without a name is no info, and text in it is the identifier."""

import pandas
import pyarrow
import pyarrow.feather
import pytest
from support import cif_texts as cif

from empnn.data.reading import read

INDEXES = {
    "numbers": ([5, 7], [None, None]),
    "names": (["mp-1", "mp-2"], ["mp-1", "mp-2"]),
    "two levels": (pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)]), ["a", "b"]),
}


def frame(index: object) -> pandas.DataFrame:
    return pandas.DataFrame({"cif": [cif.P1] * 2, "gap": [1.5, 2.5]}, index=index)


@pytest.mark.parametrize("ending", ["parquet", "feather"])
@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_without_a_name_leaves_nothing_behind(tmp_path, kind: str, ending: str) -> None:
    index, ids = INDEXES[kind]
    path = tmp_path / f"a.{ending}"
    table = frame(index)
    if ending == "parquet":
        table.to_parquet(path, index=True)
    else:
        pyarrow.feather.write_feather(pyarrow.Table.from_pandas(table, preserve_index=True), str(path))
    records = list(read(path))
    assert [record.id for record in records] == ids
    for record, gap, name in zip(records, (1.5, 2.5), ids, strict=True):
        kept = {"gap": gap} if name is None else {"gap": gap, "material_id": name}
        assert record.atoms.info == kept


def test_identifiers_of_a_column_win_over_the_index(tmp_path) -> None:
    table = frame(["x", "y"]).assign(material_id=["mp-1", "mp-2"])
    table.to_parquet(tmp_path / "a.parquet")
    records = list(read(tmp_path / "a.parquet"))
    assert [record.id for record in records] == ["mp-1", "mp-2"]
    assert set(records[0].atoms.info) == {"gap", "material_id"}


def test_an_index_with_a_name_is_info(tmp_path) -> None:
    table = frame(pandas.Index([5, 7], name="number"))
    table.to_parquet(tmp_path / "a.parquet")
    assert [record.atoms.info["number"] for record in read(tmp_path / "a.parquet")] == [5, 7]


def test_a_feather_file_without_rows_or_crystals_says_so(tmp_path) -> None:
    frame([1, 2]).iloc[:0].reset_index().to_feather(tmp_path / "a.feather")
    frame([1, 2]).drop(columns="cif").reset_index().to_feather(tmp_path / "b.feather")
    assert [record.error for record in read(tmp_path / "a.feather")] == ["the file holds no structure; nothing to read"]
    (record,) = read(tmp_path / "b.feather")
    assert "the table has no column named cif or structure" in record.error
