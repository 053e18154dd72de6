"""A row for each structure, in a table that others read."""

import pandas as pd
import pytest
from support.outcomes import predicted, refused, relaxed, then

from empnn.relax.rows import row_of, write_csv

SAID = ("change", "errors")


def test_a_table_for_others(tmp_path):
    path = tmp_path / "report.csv"
    given = [relaxed(0, 12.3456789, errors=predicted(2.0, 5.0)), refused(1), relaxed(2, status="suspect")]
    write_csv(path, (one.as_dict(SAID) for one in given), ["length", "volume", "length_90", "volume_90"])
    table = pd.read_csv(path)
    assert table.status.tolist() == ["relaxed", "refused", "suspect"]
    assert table["index"].tolist() == [0, 1, 2]
    assert table.volume_change.tolist()[::2] == [12.345679, 0]
    assert table.loc[0, ["a_before", "a_after", "gamma_after"]].tolist() == [4.0, 4.1, 90.0]
    assert table.space_group_after[0] == "P4/mmm (123)"
    assert table.loc[0, ["error_volume", "error_volume_90"]].tolist() == [2.0, 5.0]
    assert table.loc[1, ["volume_before", "strain", "a_after", "error_length", "warnings"]].isna().all()
    assert table.message[1] == "it has no atoms; add some"
    assert table.warnings[2] == "a doubt, with <tags> & more; a note"
    assert "error_position" not in table


def test_what_an_oracle_made_of_it(tmp_path):
    path = tmp_path / "report.csv"
    given = [relaxed(0, then=then(63.0)), relaxed(1, then=then(None)), refused(2)]
    write_csv(path, (one.as_dict((*SAID, "then")) for one in given), [], relaxed_on=True)
    table = pd.read_csv(path)
    assert table.then.tolist()[:2] == ["chgnet", "chgnet"]
    assert table.then_status.tolist()[:2] == ["converged", "failed"]
    assert table.loc[0, ["then_volume", "then_energy_per_atom", "then_steps"]].tolist() == [63.0, -3.5, 7]
    assert table.loc[1, ["then_volume", "then_energy_per_atom", "then_steps"]].isna().all()
    assert table.then.isna()[2]
    write_csv(path, (one.as_dict((*SAID, "then")) for one in given[2:]), [], relaxed_on=True)
    assert set(row_of(given[0].as_dict((*SAID, "then")))) == set(pd.read_csv(path))


def test_nothing_is_left_of_a_table_that_fails(tmp_path):
    path = tmp_path / "report.csv"
    path.write_text("old")

    def broken():
        yield relaxed(0).as_dict(SAID)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_csv(path, broken(), [])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_columns_do_not_depend_on_what_became_of_them(tmp_path):
    for name, given in (("some", [relaxed(0)]), ("none", [refused(0)]), ("no", [])):
        write_csv(tmp_path / name, (one.as_dict(SAID) for one in given), [])
    some, none, no = ((tmp_path / name).read_text().splitlines()[0].split(",") for name in ("some", "none", "no"))
    assert some == none == no
    assert set(row_of(relaxed(0).as_dict(SAID))) == set(some)
