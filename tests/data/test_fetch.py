"""Downloads against a server that behaves as badly as real ones do."""

import errno
import hashlib
import io
import json
import os
import socket
import threading
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

import empnn.data.download as download_module
from empnn.cli import app
from empnn.data import fetch as fetch_module
from empnn.data.fetch import SOURCES, Source, blob_id, fetch
from empnn.data.sets import BENCHMARKS, SPLITS, locate
from empnn.errors import ConfigError

NAME = "carbon_24"
CONTENTS = {split: f"{split},".encode() * 40_000 for split in SPLITS}
HALF = len(CONTENTS["train"]) // 2


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENTS; behaviours queued for a path come first."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Range"]))
        queued = self.server.behaviours.get(self.path)
        with suppress(ConnectionError):
            (queued.pop(0) if queued else serve)(self)

    @property
    def content(self):
        return CONTENTS[self.path.rpartition("/")[2].removesuffix(".csv")]

    @property
    def start(self):
        return int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *args):
        pass


def serve(handler, *, content=None, size=None, ranges=True, shift=0, length=True, stall=None):
    """Send the content, or its first `size` bytes, from where it was asked for, or from `shift` bytes further."""
    content = handler.content if content is None else content
    start = handler.start if ranges else 0
    if start >= len(content):
        handler.send_error(416)
        return
    handler.send_response(206 if start else 200)
    if start:
        start += shift
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if length:
        handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start : None if size is None else start + size])
    if stall is not None:
        stall.wait(10)


def answers(code):
    return lambda handler: handler.send_error(code)


def cut(size=HALF, **options):
    return partial(serve, size=size, **options)


@pytest.fixture
def server(monkeypatch):
    """The server, with `url`, `requests` and `behaviours`; its files are the published ones, and nobody waits."""
    blobs = {
        split: hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        for split, content in CONTENTS.items()
    }
    monkeypatch.setitem(fetch_module.SOURCES, NAME, Source(blobs, "Carbon-24 after Pickard 2020"))
    monkeypatch.setattr(download_module, "PAUSES", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("EMPNN_DATA", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.url = f"http://127.0.0.1:{served.server_port}/data"
        served.requests, served.behaviours, served.released = [], {}, threading.Event()
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.released.set()
        served.shutdown()
        thread.join()


@pytest.fixture
def behave(server):
    """Queue behaviours for the train file, the first one the server is asked for."""
    return lambda *behaviours: server.behaviours.update({f"/data/{NAME}/train.csv": list(behaviours)})


@pytest.fixture
def get(server, tmp_path):
    return partial(fetch, NAME, tmp_path / "out", base_url=server.url, timeout=5.0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out" / NAME


def asked(server, split="train"):
    """The ranges that were asked for of a split."""
    return [wanted for path, wanted in server.requests if path == f"/data/{NAME}/{split}.csv"]


def files(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


COMPLETE = ["README.md", "test.csv", "train.csv", "val.csv"]


def complete(folder):
    return files(folder) == COMPLETE and all((folder / f"{s}.csv").read_bytes() == CONTENTS[s] for s in SPLITS)


def part(folder, content):
    folder.mkdir(parents=True)
    path = folder / ".train.csv.part"
    path.write_bytes(content)
    return path


def test_the_table_has_the_names_and_splits_of_the_sets():
    assert tuple(SOURCES) == BENCHMARKS
    blobs = [blob for source in SOURCES.values() for blob in source.blobs.values()]
    assert all(tuple(source.blobs) == SPLITS for source in SOURCES.values())
    assert len({blob for blob in blobs if len(blob) == 40 and int(blob, 16)}) == 9


def test_blob_id_is_that_of_git(tmp_path):
    (tmp_path / "file").write_text("hello\n")
    assert blob_id(tmp_path / "file") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_fetch(server, get, folder):
    progress = {split: [] for split in SPLITS}
    fetched = get(on_progress=lambda path, done, total: progress[path.stem].append((done, total)))
    assert complete(folder)
    assert [(f.path, f.name, f.split, f.size, f.downloaded) for f in fetched] == [
        (folder / f"{split}.csv", NAME, split, len(CONTENTS[split]), True) for split in SPLITS
    ]
    assert asked(server) == [None]
    for split, seen in progress.items():
        size = len(CONTENTS[split])
        assert seen == sorted(seen)
        assert (seen[0], seen[-1]) == ((0, size), (size, size))
    assert "Pickard 2020" in (folder / "README.md").read_text()


def test_what_is_there_is_not_downloaded_again(server, get, folder):
    get()
    (folder / "README.md").write_text("own notes")
    (folder / "val.csv").unlink()
    server.requests.clear()
    assert [f.downloaded for f in get()] == [False, True, False]
    assert [path for path, _ in server.requests] == [f"/data/{NAME}/val.csv"]
    assert (folder / "README.md").read_text() == "own notes"


def test_another_file_is_not_overwritten(server, get, folder):
    folder.mkdir(parents=True)
    (folder / "test.csv").write_text("own")
    with pytest.raises(ConfigError, match=r"test\.csv: not the published file; move it away"):
        get()
    assert (server.requests, files(folder)) == ([], ["test.csv"])


def test_a_cut_connection_goes_on_in_the_same_run(server, get, folder, behave):
    behave(cut(), cut(1000), answers(503))
    get()
    assert complete(folder)
    assert asked(server) == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-", f"bytes={HALF + 1000}-"]


def test_a_cut_chunk_goes_on_too(server, get, folder, behave):
    def chunked(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % len(handler.content) + handler.content[:HALF])
        handler.close_connection = True

    behave(chunked)
    get()
    assert complete(folder)
    assert asked(server) == [None, f"bytes={HALF}-"]


def test_a_second_run_goes_on_where_the_first_gave_up(server, get, folder, behave):
    behave(cut(), *[answers(503)] * 3)
    with pytest.raises(ConfigError, match=f"stopped after {HALF:,} bytes .the server answers 503.*run it again"):
        get()
    assert files(folder) == [".train.csv.part"]
    assert len(asked(server)) == 4
    server.requests.clear()
    get()
    assert complete(folder)
    assert asked(server) == [f"bytes={HALF}-"]


def test_an_interrupted_run_keeps_its_part(server, get, folder):
    def interrupt(path, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(on_progress=interrupt)
    size = (folder / ".train.csv.part").stat().st_size
    assert 0 < size < len(CONTENTS["train"])
    server.requests.clear()
    get()
    assert complete(folder)
    assert asked(server) == [f"bytes={size}-"]


def test_attempts_are_counted_anew_after_progress_only(server, get, folder, behave):
    behave(*[cut(1000)] * 9)
    get()
    assert complete(folder)
    server.requests.clear()
    (folder / "train.csv").unlink()
    behave(*[cut(1000, ranges=False)] * 9)
    with pytest.raises(ConfigError, match="stopped after 1,000 bytes"):
        get()
    assert len(asked(server)) == 4


def test_a_server_that_ignores_ranges_starts_over(server, get, folder, behave):
    behave(cut(), partial(serve, ranges=False))
    get()
    assert complete(folder)
    assert asked(server) == [None, f"bytes={HALF}-"]


def test_a_range_from_elsewhere_starts_over(server, get, folder, behave):
    behave(cut(), partial(serve, shift=5))
    get()
    assert complete(folder)
    assert asked(server) == [None, f"bytes={HALF}-", None]


def test_an_unknown_length(server, get, folder, behave):
    totals = []
    behave(partial(serve, length=False))
    get(on_progress=lambda path, done, total: totals.append(total) if path.stem == "train" else None)
    assert complete(folder)
    assert set(totals) == {None}


@pytest.mark.parametrize(
    ("old", "ranges"),
    [
        (CONTENTS["train"][:HALF], [f"bytes={HALF}-"]),
        (CONTENTS["train"], []),
        (b"x" * HALF, [f"bytes={HALF}-", None]),
        (CONTENTS["train"] + b"x", [f"bytes={2 * HALF + 1}-", None]),
        (b"", [None]),
    ],
    ids=["half", "whole", "wrong", "too long", "empty"],
)
def test_an_old_part(server, get, folder, old, ranges):
    part(folder, old)
    get()
    assert complete(folder)
    assert asked(server) == ranges


def test_wrong_bytes(server, get, folder, behave):
    behave(partial(serve, content=b"<html>log in</html>"))
    get()
    assert complete(folder)
    assert asked(server) == [None, None]


def test_wrong_bytes_twice(server, get, folder, behave):
    behave(*[partial(serve, content=b"<html>log in</html>")] * 3)
    with pytest.raises(ConfigError, match=r"train\.csv: not the published file \(git blob [0-9a-f]{40}, expected"):
        get()
    assert len(asked(server)) == 2
    assert files(folder) == []


def test_not_found(server, get, folder, behave):
    behave(answers(404))
    with pytest.raises(
        ConfigError, match=r"train\.csv: the server answers 404 .*; check the address, or download it by"
    ):
        get()
    assert (asked(server), folder.exists()) == ([None], False)


def test_a_slow_server(server, get, folder, behave):
    behave(cut(stall=server.released))
    get(timeout=0.1)
    assert complete(folder)
    assert asked(server) == [None, f"bytes={HALF}-"]


def test_a_silent_server(server, get, folder, behave):
    behave(*[lambda handler: server.released.wait(10)] * 4)
    with pytest.raises(ConfigError, match=r"stopped after 0 bytes \(nothing came for 0\.05 s\)"):
        get(timeout=0.05)
    assert len(asked(server)) == 4


@pytest.fixture
def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_offline(server, get, folder, closed_port):
    with pytest.raises(ConfigError) as caught:
        get(base_url=f"http://127.0.0.1:{closed_port}/data")
    assert str(caught.value) == (
        f"http://127.0.0.1:{closed_port}/data/{NAME}/train.csv: no connection (Connection refused); "
        f"go online, or download it by hand and save it as {folder / 'train.csv'}"
    )
    assert not folder.exists()


def test_no_name_server(get, monkeypatch):
    def unknown(*args):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigError, match=r"no connection \(Name or service not known\); go online, or download"):
        get(base_url="http://example.invalid")


@pytest.mark.parametrize("url", ["file:///etc", "data", "http://[", "http://a b", "http://host:port"])
def test_not_an_address(get, folder, url):
    with pytest.raises(ConfigError, match="not "):
        get(base_url=url)
    assert not folder.exists()


def test_a_file_where_the_folder_should_be(server, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OSError, match="cannot be written") as caught:
        fetch(NAME, tmp_path / "out", base_url=server.url)
    assert caught.value.filename == str(tmp_path / "out" / NAME / "train.csv")


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC])
def test_what_cannot_be_written(get, folder, monkeypatch, code):
    class Failing(io.BytesIO):
        def write(self, content):
            raise OSError(code, os.strerror(code))

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: Failing() if mode == "wb" else opened(path, mode))
    with pytest.raises(OSError, match="cannot be written") as caught:
        get()
    assert (caught.value.errno, caught.value.filename) == (code, str(folder / "train.csv"))
    assert os.strerror(code) in caught.value.strerror


def test_unknown_name(tmp_path):
    with pytest.raises(ConfigError, match="no data set carbon to fetch; there are carbon_24, perov_5, mp_20"):
        fetch("carbon", tmp_path)


def test_training_finds_what_was_fetched(server, get, cache):
    with pytest.raises(ConfigError, match="empnn data fetch carbon_24"):
        locate(None, NAME)
    fetch(NAME, base_url=server.url)
    assert locate(None, NAME) == cache / "data" / NAME
    (cache / "data" / NAME / "val.csv").unlink()
    with pytest.raises(ConfigError, match="incomplete"):
        locate(None, NAME)


def test_the_variable_comes_before_the_cache(server, tmp_path, monkeypatch):
    fetch(NAME, base_url=server.url)
    monkeypatch.setenv("EMPNN_DATA", str(tmp_path / "own"))
    with pytest.raises(ConfigError, match=rf"`EMPNN_DATA={tmp_path / 'own'} empnn data fetch {NAME}`"):
        locate(None, NAME)
    fetch(NAME, base_url=server.url)
    assert locate(None, NAME) == tmp_path / "own" / NAME


def run(*arguments):
    return CliRunner().invoke(app, ["data", "fetch", *arguments])


def test_command(server, tmp_path, folder):
    size = sum(map(len, CONTENTS.values()))
    result = run(NAME, NAME, "--out", str(tmp_path / "out"), "--url", server.url)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        f"wrote 3 of 3 files ({size / 1e6:.1f} MB) to {folder}",
        "Carbon-24 after Pickard 2020",
    ]
    again = run(NAME, "--out", str(tmp_path / "out"), "--url", server.url)
    assert again.stderr.splitlines()[0] == f"{folder}: all 3 files are there already"


def test_command_with_json(server, tmp_path, folder):
    (tmp_path / "out").mkdir()
    result = run(NAME, "--out", str(tmp_path / "out"), "--url", server.url, "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "files": [
            {
                "path": str(folder / f"{split}.csv"),
                "set": NAME,
                "split": split,
                "bytes": len(CONTENTS[split]),
                "downloaded": True,
            }
            for split in SPLITS
        ]
    }


def test_command_is_quiet(server, tmp_path, folder):
    result = run(NAME, "--out", str(tmp_path / "out"), "--url", server.url, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert complete(folder)


def test_command_with_mistakes(server, tmp_path, behave):
    result = run(NAME, "nonsense", "--out", str(tmp_path / "out"), "--url", server.url, "--json")
    assert (result.exit_code, result.stdout, server.requests) == (1, "", [])
    assert result.stderr.splitlines() == ["empnn: no data set nonsense to fetch; there are carbon_24, perov_5, mp_20"]
    behave(answers(404))
    result = run(NAME, "--out", str(tmp_path / "out"), "--url", server.url, "--json", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"empnn: {server.url}/{NAME}/train.csv: the server answers 404")
