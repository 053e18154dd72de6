"""Tables with the paper's beside."""

import json
from pathlib import Path

import pytest

from empnn.reproduce.tables import Table

ABOUT = {"budget": "small"}


@pytest.fixture
def table() -> Table:
    better = {"lengths_improvement": 0.2, "angles_improvement": 3.0}
    half = {"lengths_improvement": 0.2, "angles_improvement": 1.0}
    return Table(
        "table2",
        ABOUT,
        {"ketbra-e": {"carbon_24": better, "mp_20": better}, "grad-r-e": {"carbon_24": half}, "ff": {"mp_20": half}},
    )


def test_rows_above_the_papers_are_so_in_lengths_and_angles(table: Table) -> None:
    assert table.better() == {"carbon_24": "1 of 2", "mp_20": "1 of 1"}


def test_markdown_has_ours_and_the_papers(table: Table) -> None:
    text = table.markdown()
    assert "| `ketbra-e` | **0.200** / 0.084 | **3.00** / 1.27 | **0.200** / 0.115 | **3.00** / 1.44 |" in text
    assert "| `grad-r-e` | **0.200** / 0.075 | 1.00 / 1.18 | - / 0.102 | - / 1.48 |" in text
    assert "budget small" in text


def test_all_three_files_are_written(table: Table, tmp_path: Path) -> None:
    files = table.write(tmp_path)
    assert [path.name for path in files] == ["table2.json", "table2.md", "table2.png"]
    found = json.loads(files[0].read_text())
    assert found["rows"][0]["paper"] == {"lengths_improvement": 0.084, "angles_improvement": 1.266}
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_energies_have_a_table_of_their_own() -> None:
    gained = {"lengths_improvement": 0.5, "angles_improvement": 4.0}
    energies = {
        "sevennet": {"n": 32, "energy": -2e5, "energy_median": -0.25, "percent_lower": 75.0},
        "chgnet": {"n": 0},
    }
    text = Table("table1", ABOUT, {"param_mae": {"carbon_24": {**gained, "energies": energies}}}).markdown()
    assert "| `param_mae` | 0.500 / 0.696 | 4.00 / 8.39 |" in text
    assert "of 0 to 32 crystals of the split" in text
    assert "| sevennet: mean, eV/atom | sevennet: median | sevennet: lower, % | chgnet: mean" in text
    assert "| Carbon-24 | `param_mae` | -2e+05 | -0.250 | 75.0 | - | - | - | -0.655 | 62.5 |" in text
    assert "Energies" not in Table("table1", ABOUT, {"param_mae": {"carbon_24": gained}}).markdown()


def test_errors_are_better_if_they_are_smaller() -> None:
    cells = {"empnn": {"mp_20": {"lengths_mae": 0.1, "angles_mae": 2.5}}}
    text = Table("table3", ABOUT, cells).markdown()
    assert "**0.100** / 0.174" in text
    assert "| 2.50 / 1.96 |" in text or "| 2.50 / 1.97 |" in text
