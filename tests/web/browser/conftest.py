"""Chromium without a screen, which nothing but this machine can be reached from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.needed import needed
from support.web import Client

ARGUMENTS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = needed("playwright.sync_api", of="web")
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("EMPNN_REQUIRE_WEB"):
            pytest.fail("there is no chromium; scripts/install_chromium.sh installs it")
        pytest.skip("there is no chromium; make test-web installs it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Tab:
    """A page of the server, and all that it asked for and complained of."""

    def __init__(self, chromium: Any, client: Client, **options: Any) -> None:
        options = {"viewport": {"width": 1000, "height": 640}, "reduced_motion": "reduce"} | options
        self.context = chromium.new_context(accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self._url = client.url

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self._url, "blob:", "data:")):
            self.elsewhere.append(request.url)

    def open(self, path: str = "/") -> Any:
        """The page, ready to be used."""
        self.page.goto(self._url + path)
        if path == "/":
            self.page.wait_for_selector("#examples button")
        return self.page

    def begin_with(self, example: str) -> Any:
        """The page with an example on it, relaxed."""
        page = self.open()
        page.get_by_role("button", name=example).click()
        page.wait_for_selector("#shown:not([hidden])")
        page.wait_for_selector("body:not([aria-busy])")
        return page


@pytest.fixture
def tab(chromium: Any, client: Client) -> Iterator[Any]:
    """Makes tabs; at the end, none of them may have complained, or asked for anything elsewhere."""
    made: list[Tab] = []

    def make(**options: Any) -> Tab:
        made.append(Tab(chromium, client, **options))
        return made[-1]

    yield make
    for one in made:
        said = list(one.said)
        one.context.close()
        assert said == []
        assert one.elsewhere == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page go: EMPNN_PICTURES, to look at them."""
    folder = Path(os.environ.get("EMPNN_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
