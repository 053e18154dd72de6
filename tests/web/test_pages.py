"""The files of the page: small, readable, and whole without anything from elsewhere."""

import hashlib
import re
from pathlib import Path

import pytest

import empnn
from empnn.web.pages import pages

FOLDER = Path(empnn.__file__).parent / "web/page"
OWN = sorted(path for path in FOLDER.iterdir() if path.is_file())


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"(?m)^\s*//.*", "", text)))
    assert addresses <= {"http://www.w3.org"}
    assert len(text.splitlines()) <= 250


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".html"], ids=lambda path: path.name)
def test_no_script_or_style_stands_in_a_page(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text) == []
    for name in re.findall(r'(?:src|href)="([^"#:]+)"', text):
        assert name in pages() or name in ("./", "api/openapi.json")
    assert set(re.findall(r'for="([\w-]+)"', text)) <= set(re.findall(r'id="([\w-]+)"', text))


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_scripts_make_no_html_of_text_and_import_what_is_there(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text) == []
    assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(pages())


def test_the_library_for_3d_is_what_its_authors_gave_out_with_its_licence() -> None:
    content = pages()["3Dmol-min.js"].content
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() == "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"
    assert b"Redistribution and use in source and binary forms" in pages()["3Dmol-LICENSE.txt"].content
