"""The page holds what it should, for anybody: offline, without scripts, with names that look like markup."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from support.outcomes import picture, predicted, refused, relaxed, then

from empnn.relax.notable import Notable
from empnn.relax.summary import Overall
from empnn.viz import report
from empnn.viz.report import write_page

VOID = {"meta", "br", "circle", "line"}


class Page(HTMLParser):
    """Tags, attributes and the cells of the table; refuses what is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.attributes, self.text = [], Counter(), [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data
            if self.rows and {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data


def page_of(path, outcomes, drawn=6, oracle=None):
    overall, notable = Overall(oracle=oracle), Notable(drawn)
    for one in outcomes:
        overall.add(one)
        if one.picture is not None:
            notable.add(one)
    said = (one.as_dict(("change", "errors", "then")) for one in outcomes)
    write_page(path, said, overall, notable, "in.cif, relaxed by <pbe>")
    return Page(path.read_text(encoding="utf-8"))


def test_a_page_of_some(tmp_path):
    given = [relaxed(0, 3.0, 0.1, picture=picture()), refused(1), relaxed(2, -4, 0.2, status="suspect", id="<b>&amp;")]
    page = page_of(tmp_path / "r.html", given)
    head, *rows = page.rows
    assert page.tags["svg"] == 1
    assert [row[1] for row in rows] == ["relaxed", "refused", "suspect"]
    first = dict(zip(head[:7], rows[0][:7], strict=True))
    assert first == {
        "structure": "mp-0in.cif[0]",
        "status": "relaxed",
        "volume (Å³)": "64.00",
        "relaxed (Å³)": "65.92",
        "change (%)": "+3.00",
        "strain": "0.1000",
        "moved (Å)": "0.000",
    }
    assert rows[2][0] == "<b>&amp;in.cif[2]"
    assert "a doubt, with <tags> & more; a note" in rows[2]
    assert "it has no atoms; add some" in rows[1]
    assert "in.cif, relaxed by <pbe>" in page.text
    assert "error" not in "".join(head)
    assert "3 structures in the order of the input." in page.text


def test_it_needs_no_network_and_no_script(tmp_path):
    page_of(tmp_path / "r.html", [relaxed(0, picture=picture())])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.findall(r"https?:|//\w|src=|href=|@import|url\(|<link", text) == []
    assert "prefers-color-scheme: dark" in text
    # The table stands in the page; the script only sorts it.
    assert "mp-0" in text.partition("<script>")[0]
    assert "$" not in text


def test_errors_have_columns_where_they_are_predicted(tmp_path):
    given = [relaxed(0, errors=predicted(1.5, 4.0), picture=picture()), refused(1), relaxed(2, errors=predicted(0.25))]
    page = page_of(tmp_path / "r.html", given)
    head, *rows = page.rows
    assert "error, position (Å)" not in head
    assert [row[head.index("error, volume (%)")] for row in rows] == ["1.590 %: < 4", "", "0.25"]
    assert ("data-key", "1.5") in page.attributes
    assert "predicted error of the volume 1.5 %" in page.text
    assert "Suspects, and the largest predicted errors of the volume." in page.text


def test_what_an_oracle_made_of_it_has_columns(tmp_path):
    drawn = picture()
    given = [relaxed(0, then=then(62.72), picture=drawn), relaxed(1, then=then(None), picture=drawn), refused(2)]
    page = page_of(tmp_path / "r.html", given, oracle="chgnet")
    head, *rows = page.rows
    start = head.index("chgnet")
    assert head[start + 1 : start + 5] == ["volume (Å³)", "change (%)", "energy (eV/atom)", "steps"]
    assert [row[start : start + 5] for row in rows] == [
        ["converged", "62.72", "-2.00", "-3.5000", "7"],
        ["failed", "", "", "", ""],
        ["", "", "", "", ""],
    ]
    assert "change of volume by chgnet, median" in page.text
    assert "chgnet converged: 62.7 Å³ (-2.0 %)" in page.text
    assert "chgnet failed" in page.text


def test_what_is_drawn_is_capped(tmp_path):
    given = [relaxed(i, i, i / 100, "suspect" if i % 2 else "relaxed", picture=picture()) for i in range(40)]
    page = page_of(tmp_path / "r.html", given, drawn=3)
    assert page.tags["svg"] == 6
    drawn = re.findall(r"<figure><b>(mp-\d+)</b>", (tmp_path / "r.html").read_text())
    assert drawn == ["mp-39", "mp-37", "mp-35", "mp-38", "mp-36", "mp-34"]


def test_a_long_table_shows_what_matters(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROWS", 5)
    given = [relaxed(i, i / 10) for i in range(2000)]
    given[7], given[500], given[900] = refused(7), relaxed(500, status="suspect"), relaxed(900, -400)
    page = page_of(tmp_path / "r.html", given)
    assert [row[0] for row in page.rows[1:]] == [
        "in.cif[7]",
        *(f"mp-{i}in.cif[{i}]" for i in (500, 900, 1998, 1999)),
    ]
    assert "5 of 2,000 structures" in page.text


@pytest.mark.parametrize("given", [[], [refused(0)]])
def test_a_page_of_none(tmp_path, given):
    page = page_of(tmp_path / "r.html", given)
    assert len(page.rows) == 1 + len(given)
    assert page.tags["svg"] == 0
