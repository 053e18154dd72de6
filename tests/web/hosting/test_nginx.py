"""The configuration of nginx: parsed, held against the server's limits, and asked through where nginx is installed."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.needed import needed
from support.web import CSCL_CIF, serving

from empnn.web.limits import Limits

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "examples/hosting/nginx.conf"
TEXT = CONFIGURATION.read_text()
(BELOW_A_PATH,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/hosting.md").read_text(), re.DOTALL)
NEWER = 'unknown directive "ssl_reject_handshake"'
"""What nginx knows since 1.19.4, and the parser not yet."""
NAME = "crystals.example.org"


def seconds(directive: str) -> int:
    return int(re.findall(rf"{directive} (\d+)s;", TEXT)[0])


@pytest.mark.parametrize("text", [TEXT, f"server {{ {BELOW_A_PATH} }}"], ids=["file", "page"])
def test_a_parser_understands_it(tmp_path: Path, text: str) -> None:
    crossplane = needed("crossplane", of="web")
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"events {{}}\nhttp {{\n{text}\n}}\n")
    found = crossplane.parse(str(whole), strict=True)
    said = [error["error"] for error in found["errors"]]
    assert [line for line in said if not line.startswith(NEWER)] == []


def test_what_it_lets_through_is_what_the_server_takes() -> None:
    limits = Limits()
    let_through = 2**20 * int(re.findall(r"client_max_body_size (\d+)m;", TEXT)[0])
    assert limits.bytes < let_through < 1.2 * limits.bytes
    assert limits.seconds < seconds("proxy_read_timeout") < 2 * limits.seconds
    assert f"more than {limits.megabytes:g} MB" in TEXT
    assert f"More than the {limits.seconds:g} s" in TEXT


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


class Proxy:
    """nginx in front of a server of this test.

    Args:
        folder: Where all its files are.
        server: The port of the server.
    """

    def __init__(self, folder: Path, server: int) -> None:
        self.plain, self.secure = free_port(), free_port()
        self._certificate, key = folder / "certificate.pem", folder / "key.pem"
        names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self._certificate]
        subprocess.run([*made, *names], check=True, capture_output=True)
        text = TEXT.replace(
            "    location / {\n        proxy_pass", f"{BELOW_A_PATH}\n    location / {{\n        proxy_pass"
        )
        for old, new in {
            f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(self._certificate),
            f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(key),
            "127.0.0.1:8000": f"127.0.0.1:{server}",
            "listen 80": f"listen 127.0.0.1:{self.plain}",
            "listen 443": f"listen 127.0.0.1:{self.secure}",
        }.items():
            assert old in text
            text = text.replace(old, new)
        text = re.sub(r"listen \[::\].*", "", text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        user = "user root; " if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user}daemon off; pid {folder}/pid; error_log {folder}/log;\nevents {{}}\n"
            f"http {{ access_log off;\n{folders}{text}\n}}\n"
        )
        self.command = ["nginx", "-p", str(folder), "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]

    def ask(
        self, verb: str, path: str, body: Any = None, name: str = NAME, secure: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        connection = http.client.HTTPConnection(name, self.plain, timeout=60)
        connection.sock = socket.create_connection(("127.0.0.1", self.secure if secure else self.plain), timeout=60)
        if secure:
            context = ssl.create_default_context(cafile=self._certificate)
            connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
        with closing(connection):
            sent = {"Host": name, "Content-Type": "application/json"}
            for key, value in headers.items():
                sent[key.replace("_", "-")] = value
            connection.request(verb, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()


def listening(port: int) -> bool:
    """Whether something answers at a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("there is no nginx, or no openssl")
    folder = tmp_path_factory.mktemp("nginx")
    with serving("perov-5", hosts=(NAME, "localhost")) as server:
        made = Proxy(folder, server.port)
        tried = subprocess.run([*made.command, "-t"], capture_output=True, text=True, check=False)
        assert tried.returncode == 0, tried.stderr
        assert "warn" not in tried.stderr
        with subprocess.Popen(made.command, stderr=subprocess.DEVNULL) as process:
            try:
                while not listening(made.secure):
                    assert process.poll() is None
                    time.sleep(0.02)
                yield made
            finally:
                process.terminate()


def test_the_page_comes_packed_and_only_once(proxy: Proxy) -> None:
    status, headers, content = proxy.ask("GET", "/style.css", Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["strict-transport-security"].startswith("max-age=")
    assert len(content) < len(proxy.ask("GET", "/style.css")[2])
    assert proxy.ask("GET", "/style.css", Accept_Encoding="gzip", If_None_Match=headers["etag"])[0] == 304


@pytest.mark.parametrize("prefix", ["", "/empnn"])
def test_crystals_are_relaxed_through_it(proxy: Proxy, prefix: str) -> None:
    page = proxy.ask("GET", f"{prefix}/")[2].decode()
    for name in ["api/about", *re.findall(r'(?:src|href)="([\w.-]+)"', page)]:
        assert proxy.ask("GET", f"{prefix}/{name}")[0] == 200
    status, _, content = proxy.ask("POST", f"{prefix}/api/relax", {"files": [{"name": "a.cif", "text": CSCL_CIF}]})
    assert (status, json.loads(content)["relaxed"]) == (200, 1)


def test_who_asks_without_tls_or_slash_is_sent_where_the_page_is(proxy: Proxy) -> None:
    status, headers, _ = proxy.ask("GET", "/api.html?x=1", secure=False)
    assert (status, headers["location"]) == (301, f"https://{NAME}/api.html?x=1")
    assert proxy.ask("GET", "/empnn")[1]["location"].endswith("/empnn/")


def test_other_names_get_no_answer(proxy: Proxy) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        proxy.ask("GET", "/", name="evil.example", secure=False)
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        proxy.ask("GET", "/", name="evil.example")
    with pytest.raises(http.client.RemoteDisconnected):
        proxy.ask("GET", "/api/about", Host="evil.example")


@pytest.mark.parametrize("size", [16_100_000, 20_000_000], ids=["at the server", "at nginx"])
def test_what_is_too_large_is_told_in_the_words_of_the_page(proxy: Proxy, size: int) -> None:
    status, headers, content = proxy.ask("POST", "/api/relax", {"files": [{"name": "a", "text": "x" * size}]})
    assert (status, headers["content-type"]) == (413, "application/json")
    assert json.loads(content)["error"].startswith("more than 16 MB; ")


def test_one_address_does_not_keep_the_others_out(proxy: Proxy) -> None:
    said = [proxy.ask("GET", "/api/about") for _ in range(150)]
    refused = [json.loads(content)["error"] for status, _, content in said if status == 429]
    assert all("too many requests from one address" in error for error in refused)
    assert {status for status, _, _ in said} <= {200, 429}
