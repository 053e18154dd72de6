"""The built site: its search finds the page that one would want, and nothing is loaded from elsewhere."""

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
CHROMIUM = shutil.which("chromium")
REQUIRED = bool(os.environ.get("EMPNN_REQUIRE_DOCS"))
pytestmark = pytest.mark.skipif(
    not REQUIRED and not (CHROMIUM and (SITE / "search.html").exists()),
    reason="make docs builds the site and runs this",
)
WANTED = {
    "POSCAR": "recipes",
    "supercell": "recipes",
    "fine-tune": "tutorials/training",
    "suspect": "trust",
}


def seen(address: str, profile: Path) -> str:
    """A page as Chromium has it when its scripts are done."""
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
    )
    command = [str(CHROMIUM), *options, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("word", WANTED)
def test_the_search_finds_what_one_looks_for(word: str, tmp_path: Path) -> None:
    page = seen(f"{SITE.as_uri()}/search.html?q={word}", tmp_path)
    results = page.partition('id="search-results"')[2]
    found = [html.unescape(target) for target in re.findall(r'<li[^>]*><a href="([^"?#]+)', results)]
    assert found, "nothing was found"
    assert found[0].removesuffix(".html") == WANTED[word]


def test_nothing_is_loaded_from_elsewhere() -> None:
    pages = list(SITE.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|iframe|link rel="stylesheet")[^>]*?(?:src|href)="([^"]+)"', page.read_text()
        )
        assert [address for address in loaded if address.startswith(("http", "//"))] == [], page
