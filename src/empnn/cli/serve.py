"""`empnn serve`: the page to drop crystals on."""

from __future__ import annotations

import re
import webbrowser
from typing import Annotated

import typer

from empnn.cli.common import Device, Quiet, reports_errors
from empnn.errors import ConfigError, printable
from empnn.terminal import stderr

_ALONE = ("127.0.0.1", "localhost", "::1")
_NAME = re.compile(r"[\w.-]+|\[[\da-fA-F:.]+\]")


@reports_errors
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines reach any but 127.0.0.1.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Answer by this name (crystals.example.org) and those of this machine alone; repeatable.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any that is free.")] = 8000,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|PATH",
            help="A model to offer, the first by default; repeatable. All packaged ones if left out.",
        ),
    ] = None,
    device: Device = "auto",
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Size of a request.")] = 16,
    max_structures: Annotated[int, typer.Option(min=1, help="Structures in a request.")] = 2000,
    max_atoms: Annotated[int, typer.Option(min=1, help="Atoms of a structure; 50 times as many in a request.")] = 2000,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Time for a request.")] = 60,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Serve a page to drop crystals on, and the interface behind it for programs; until Ctrl-C."""
    try:
        from empnn.web.server import serve as run
    except ImportError as error:
        raise ConfigError(f"serving needs {error.name}; pip install 'empnn[web]'") from None
    from empnn.nn.runtime.cpu import tuned
    from empnn.relax.devices import device_of
    from empnn.web.limits import Limits
    from empnn.web.offered import Offered

    for one in name or ():
        if not _NAME.fullmatch(one):
            raise ConfigError(f"--name {printable(one)}: no name of a host; give it without http:// and without a port")
    limits = Limits(megabytes=max_megabytes, structures=max_structures, atoms=max_atoms, seconds=max_seconds)
    console = stderr()

    def say(url: str) -> None:
        if not quiet:
            console.print(f"empnn serves at {url} (Ctrl-C to stop)", markup=False)
            if host not in _ALONE:
                console.print("whoever reaches this address can use it", markup=False)
        if open_page:
            webbrowser.open(url)

    try:
        with tuned(device_of(device).type):
            run(Offered(model or (), device), host, port, limits, name or (), say)
    except KeyboardInterrupt:
        return
