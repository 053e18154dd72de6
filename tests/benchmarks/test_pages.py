"""Tables between their marks."""

import pytest

from benchmarks.pages import fill, filled

PAGE = "before\n<!-- one -->\nold\ntable\n<!-- /one -->\nafter\n<!-- two -->\nx\n<!-- /two -->\n"


def test_a_table_takes_the_place_of_what_is_between_its_marks_and_of_nothing_else(tmp_path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    fill(path, "one", "| å |")
    assert path.read_text(encoding="utf-8") == PAGE.replace("old\ntable", "| å |")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize("page", ["", "<!-- one -->\n", "<!-- /one -->\n<!-- one -->\n"])
def test_a_page_without_the_marks_is_left_alone(tmp_path, page: str) -> None:
    with pytest.raises(ValueError, match="<!-- one -->"):
        filled(page, "one", "new")
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(ValueError, match="no <!-- one"):
        fill(path, "one", "new")
    assert path.read_text() == page
