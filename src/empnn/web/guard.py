"""What stands before the application: sizes, numbers and times of requests, and what browsers are told to keep to."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from empnn.web.limits import BUSY, TOO_LARGE, Deadline, Limits, RequestError

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing is loaded from elsewhere, and no script or style is run that stands in a page."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_RETRY = 5
"""Seconds after which who is sent away may come again."""
_HEARD_OUT = 8
"""A request that is this many times too large is read to its end all the same: who still sends hears no answer."""


class _Body:
    """What comes of a request, in time."""

    def __init__(self, receive: Receive, deadline: Deadline) -> None:
        self._receive = receive
        self._deadline = deadline
        self._given = False
        self.content = bytearray()
        self.complete = False

    async def part(self) -> bytes:
        """The next part.

        Raises:
            RequestError: If it does not come in time.
        """
        try:
            message = await asyncio.wait_for(self._receive(), self._deadline.left)
        except TimeoutError:
            self.complete = True
            raise RequestError(408, "the request did not come to its end in time; send it again") from None
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        found: bytes = message.get("body", b"")
        return found

    async def pass_over(self, most: int) -> None:
        """Read the rest, but no more than so many bytes."""
        with suppress(RequestError):
            while not self.complete and most > 0:
                most -= len(await self.part())

    async def again(self) -> Message:
        """All of it at once, then whatever follows."""
        if self._given:
            return await self._receive()
        self._given = True
        return {"type": "http.request", "body": bytes(self.content), "more_body": False}


class Guard:
    """Lets a request through once it is there as a whole, and within its limits.

    Args:
        app: What answers it.
        limits: What is taken on.
        hosts: The names by which the server may be called; any if empty. A page elsewhere whose name has come to mean
            this machine must not reach it.
    """

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._limits = limits
        self._hosts = hosts
        self._requests = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = Deadline(self._limits.seconds)
        scope.setdefault("state", {})["deadline"] = deadline
        body = _Body(receive, deadline)
        self._requests += 1
        try:
            self._check(Headers(scope=scope))
            await self._read(body)
            await self._app(scope, body.again, _with_headers(send))
        except RequestError as refusal:
            await body.pass_over(_HEARD_OUT * self._limits.bytes)
            await _refuse(refusal, _with_headers(send))
        finally:
            self._requests -= 1
            self._bytes -= len(body.content)

    def _check(self, headers: Headers) -> None:
        name = re.sub(r":\d*$", "", headers.get("host", "")).lower()
        if self._hosts and name not in map(str.lower, self._hosts):
            raise RequestError(421, f"this server is called {' or '.join(self._hosts)}; use one of these names")
        if self._requests > self._limits.requests:
            raise _busy()
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._limits.bytes:
            raise self._too_large()

    async def _read(self, body: _Body) -> None:
        while not body.complete:
            part = await body.part()
            body.content += part
            self._bytes += len(part)
            if len(body.content) > self._limits.bytes:
                raise self._too_large()
            if self._bytes > self._limits.all_bytes:
                raise _busy()

    def _too_large(self) -> RequestError:
        return RequestError(
            TOO_LARGE, f"more than {self._limits.megabytes:g} MB; send the structures in several requests"
        )


def _busy() -> RequestError:
    return RequestError(BUSY, "there is too much to do at the moment; try again in a minute")


def _with_headers(send: Send) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return headed


async def _refuse(refusal: RequestError, send: Send) -> None:
    content = json.dumps({"error": refusal.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"connection", b"close")]
    if refusal.status == BUSY:
        headers += [(b"retry-after", str(_RETRY).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
