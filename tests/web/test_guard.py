"""What browsers are told, by which names a server is called, and that no path leads out of the page."""

import json
import re

import pytest
from support.web import Client


@pytest.mark.parametrize("path", ["/", "/main.js", "/api/models", "/nothing", "/api/openapi.json"])
def test_every_answer_says_what_browsers_are_to_keep_to(client: Client, path: str) -> None:
    _, headers, _ = client.ask("GET", path)
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("LocalHost", 200),
        ("[::1]:9", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
    ],
)
def test_a_name_that_has_come_to_mean_this_machine_does_not_reach_it(client: Client, host: str, status: int) -> None:
    found, _, content = client.ask("GET", "/api/models", Host=host)
    assert found == status
    assert (status == 200) == ("error" not in json.loads(content))


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/..%2fapp.py", "/%2e%2e%2fapp.py", "//etc/passwd", "/%2fetc%2fpasswd", "/vendor", "/a\\..\\b"],
)
def test_no_path_leads_out_of_the_page(client: Client, path: str) -> None:
    status, _, content = client.ask("GET", path)
    assert (status, list(json.loads(content))) == (404, ["error"])


@pytest.mark.parametrize("had", ["{}", "W/{}", '"another", {}'], ids=["as it was", "packed by a proxy", "among others"])
def test_a_page_that_one_has_is_not_sent_again(client: Client, had: str) -> None:
    status, headers, content = client.ask("GET", "/style.css")
    assert (status, headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert content
    status, _, content = client.ask("GET", "/style.css", If_None_Match=had.format(headers["etag"]))
    assert (status, content) == (304, b"")


def test_whoever_watches_it_may_ask_for_the_head_of_the_page(client: Client) -> None:
    status, headers, content = client.ask("HEAD", "/")
    assert (status, content) == (200, b"")
    assert int(headers["content-length"]) == len(client.ask("GET", "/")[2])


@pytest.mark.parametrize("path", ["/api/models/", "/api/relax/", "/api/nothing"])
def test_nobody_is_sent_to_another_address(client: Client, path: str) -> None:
    status, headers, content = client.ask("GET", path)
    assert status == 404
    assert "location" not in headers
    assert "the page is at /" in json.loads(content)["error"]


def test_other_verbs_are_refused(client: Client) -> None:
    status, headers, content = client.ask("PUT", "/api/relax", {})
    assert (status, headers["allow"]) == (405, "POST")
    assert re.fullmatch(r'\{"error": ".+"\}', content.decode())
