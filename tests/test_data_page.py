"""The page on data says what the result file says."""

import json
from pathlib import Path

from benchmarks.pages import filled
from benchmarks.quality import duplicates

ROOT = Path(__file__).parents[1]


def test_the_table_of_duplicates_is_that_of_the_result_file():
    result = json.loads(duplicates.OUT.read_text())
    page = duplicates.PAGE.read_text()
    assert filled(page, "duplicates", duplicates.markdown(result)) == page
    assert [row["value"] for row in result["against_all_pairs"]] == [0] * len(duplicates.TOLERANCES)


def test_the_commands_are_in_the_table_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    for command in ("data stats", "data split", "data dedupe", "data fetch", "convert"):
        assert f"| `empnn {command} " in readme
