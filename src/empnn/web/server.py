"""A server of the page on this machine, until it is stopped."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

import uvicorn

from empnn.errors import ConfigError
from empnn.web.app import create_app
from empnn.web.limits import Limits
from empnn.web.offered import Offered

_NAMES = ("127.0.0.1", "localhost", "[::1]")


def serve(
    offered: Offered,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    names: Sequence[str] = (),
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until the process is told to end.

    Args:
        offered: The models.
        host: The address to listen at; with the default nobody but this machine reaches it.
        port: The port; 0 for any that is free.
        limits: What is taken on.
        names: Names by which it is called besides those of this machine, by way of a proxy for instance. If there are
            none, a server that others reach answers by any.
        on_start: Told the address of the page as soon as it answers.

    Raises:
        ConfigError: If it cannot listen there.
    """
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(offered, limits, _hosts(host, names)), log_level="warning", access_log=False, server_header=False
    )
    _Server(config, lambda: on_start(url)).run([listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        said = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"`host` {host}, `port` {port}: {said}; choose another") from None


def _hosts(host: str, names: Sequence[str]) -> Sequence[str]:
    """The names by which it may be called; none if that is not known, as of a server that others reach."""
    try:
        own = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = False
    return (*names, *_NAMES) if own or names else ()
