"""One file over HTTP into a part file beside its target, going on where an earlier attempt stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from empnn.errors import ConfigError
from empnn.version import __version__

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each new attempt; a server that fails once more without having sent anything new is given up."""

_CHUNK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class _CutError(Exception):
    """The transfer stopped for a reason that may pass."""


class _NoConnectionError(_CutError):
    """The server was not reached at all."""


class _MisplacedError(Exception):
    """The server cannot go on where the part file ends."""


@dataclass(frozen=True)
class Download:
    """What to download, and where to.

    Attributes:
        url: Address of the file.
        target: The file it is to become; messages name it.
        timeout: Seconds without any byte after which the server counts as silent.
        on_progress: Called with the bytes that are there and, if known, the bytes of the whole file.
    """

    url: str
    target: Path
    timeout: float
    on_progress: Callable[[int, int | None], None]

    @property
    def part(self) -> Path:
        """The hidden file beside the target that holds what has come so far."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def by_hand(self) -> str:
        """What is left to do if the address cannot be used."""
        return f"download it by hand and save it as {self.target}"

    def run(self) -> None:
        """Fill the part file until the server has nothing more to send.

        Raises:
            ConfigError: If the server cannot be reached, has no such file, or stops for good.
            OSError: If the part file cannot be written; it names the target.
        """
        start = furthest = _size(self.part)
        failures = 0
        while True:
            try:
                self._receive()
                return
            except _MisplacedError:
                self.part.unlink()
            except _CutError as cut:
                reached = _size(self.part)
                if reached > furthest:
                    furthest, failures = reached, 0
                if isinstance(cut, _NoConnectionError) and furthest == start:
                    raise ConfigError(f"{self.url}: no connection ({cut}); go online, or {self.by_hand}") from None
                if failures == len(PAUSES):
                    raise ConfigError(
                        f"{self.url}: stopped after {reached:,} bytes ({cut}); run it again to go on from there, "
                        f"or {self.by_hand}"
                    ) from None
                time.sleep(PAUSES[failures])
                failures += 1

    def _receive(self) -> None:
        """One request, appended to the part file if the server goes on where that ends."""
        done = _size(self.part)
        with self._open(done) as response:
            if response.status == HTTPStatus.OK:
                done = 0
            elif response.status != HTTPStatus.PARTIAL_CONTENT or _first_byte(response) != done:
                if done:
                    raise _MisplacedError
                raise ConfigError(f"{self.url}: the server answers {response.status} without the file; {self.by_hand}")
            total = _total(response, done)
            with naming(self.target):
                self.part.parent.mkdir(parents=True, exist_ok=True)
                with self.part.open("ab" if done else "wb") as handle:
                    self.on_progress(done, total)
                    for chunk in self._chunks(response):
                        handle.write(chunk)
                        done += len(chunk)
                        self.on_progress(done, total)
        if total is not None and done < total:
            raise _CutError("the connection was closed")

    def _open(self, start: int) -> HTTPResponse:
        headers = {"User-Agent": f"empnn/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            # The address was given by whoever asks for the file.
            request = Request(self.url, headers=headers)  # noqa: S310
            response: HTTPResponse = urlopen(request, timeout=self.timeout)  # noqa: S310
        except HTTPError as error:
            error.close()
            if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _MisplacedError from None
            answer = f"the server answers {error.code} {error.reason}"
            if error.code in _PASSING:
                raise _CutError(answer) from None
            raise ConfigError(f"{self.url}: {answer}; check the address, or {self.by_hand}") from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError | ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
                raise _CutError(self._reason(error.reason)) from None
            raise _NoConnectionError(getattr(error.reason, "strerror", None) or error.reason) from None
        except (InvalidURL, ValueError):
            raise ConfigError(f"{self.url}: not an address that can be downloaded; correct it") from None
        except (OSError, HTTPException) as error:
            raise _CutError(self._reason(error)) from None
        return response

    def _chunks(self, response: HTTPResponse) -> Iterator[bytes]:
        try:
            while chunk := response.read1(_CHUNK):
                yield chunk
        except (OSError, HTTPException) as error:
            raise _CutError(self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"nothing came for {self.timeout:g} s"
        return getattr(error, "strerror", None) or "the connection was closed"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the file system name `path`.

    Raises:
        OSError: Whatever the block raises of that kind, with `path` as its file.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror or error})", str(path)) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _first_byte(response: HTTPResponse) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(response: HTTPResponse, start: int) -> int | None:
    """Bytes of the whole file, if the server tells."""
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    if found:
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None
