"""The application: the page, and the interface that it and programs use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from empnn.errors import ConfigError, printable
from empnn.files import with_nulls
from empnn.relax.files import How, given
from empnn.version import __version__
from empnn.web.answers import Extras, strained, told
from empnn.web.batching import Batcher
from empnn.web.examples import examples
from empnn.web.guard import Guard
from empnn.web.limits import Deadline, Limits, RequestError
from empnn.web.offered import Offered
from empnn.web.pages import pages
from empnn.web.readers import Readers
from empnn.web.schemas import (
    About,
    Convert,
    Error,
    Example,
    File,
    Relax,
    RelaxAnswer,
    Strain,
    StrainAnswer,
)
from empnn.web.texts import ENDINGS, ZIP, Texts

_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": what}
    for status, what in (
        (400, "No JSON"),
        (413, "Too large"),
        (422, "Not understood"),
        (503, "Busy"),
        (504, "Took too long"),
    )
}
_NO_JSON = "the request is no JSON; see api.html"
_NO_PAGE = "no such page; the page is at /, the interface is described at /api.html"
_KINDS = {"cif": "chemical/x-cif", "json": "application/json", ZIP: "application/zip"}
_DRAWN = range(1, 104)
"""The elements that there are colours and radii for."""


def create_app(offered: Offered, limits: Limits | None = None, hosts: Sequence[str] = ()) -> FastAPI:
    """The application.

    Args:
        offered: The models.
        limits: What is taken on.
        hosts: The names by which the server may be called; any if empty.
    """
    limits = limits or Limits()
    readers, batcher = Readers(limits), Batcher()

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, readers)
            stack.enter_context(batcher)
            await asyncio.to_thread(offered.__getitem__, offered.names[0])
            yield

    app = FastAPI(
        title="empnn",
        version=__version__,
        summary="Crystals with wrong cells in, the cells they relax to out.",
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_url="/api/openapi.json",
    )
    app.state.batcher, app.state.readers, app.state.offered = batcher, readers, offered
    _add_errors(app)
    _add_page(app)
    _add_facts(app, offered, limits)
    _add_work(app, offered, readers, batcher)
    app.add_middleware(Guard, limits=limits, hosts=hosts)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every error is one line in JSON."""

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        return _error(error.status, error.message)

    @app.exception_handler(ConfigError)
    async def wrong(request: Request, error: ConfigError) -> Response:
        return _error(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        if first["type"] == "json_invalid":
            return _error(400, _NO_JSON)
        said = f"{where}: {first['msg']}" if where else "the request is no object sent as application/json"
        return _error(422, f"{said}; see api.html")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return _error(500, "the server made a mistake, which its log tells; try something else")

    @app.exception_handler(HTTPException)
    async def missed(request: Request, error: HTTPException) -> Response:
        said = {400: _NO_JSON, 404: _NO_PAGE}.get(error.status_code, str(error.detail))
        return _error(error.status_code, said, error.headers)


def _add_page(app: FastAPI) -> None:
    found = pages()

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @app.api_route("/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request, name: str = "index.html") -> Response:
        if name not in found:
            raise HTTPException(404)
        content, kind, tag = found[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)


def _add_facts(app: FastAPI, offered: Offered, limits: Limits) -> None:
    @app.get("/api/models")
    async def models() -> dict[str, dict[str, Any]]:
        """The cards of all models by name: what `empnn models` says in JSON."""
        cards: dict[str, dict[str, Any]] = with_nulls(offered.cards())
        return cards

    @app.get("/api/about")
    async def about() -> About:
        """Models, limits, and how elements are drawn."""
        return About(
            version=__version__,
            model=offered.names[0],
            moving_atoms=offered.moving_atoms,
            limits={
                "megabytes": limits.megabytes,
                "structures": limits.structures,
                "atoms": limits.atoms,
                "all_atoms": limits.all_atoms,
                "seconds": limits.seconds,
            },
            elements=_elements(),
        )

    @app.get("/api/examples")
    async def crystals() -> list[Example]:
        """Crystals to begin with."""
        return [Example(**example) for example in examples()]


def _add_work(app: FastAPI, offered: Offered, readers: Readers, batcher: Batcher) -> None:
    @app.post("/api/relax", responses={200: {"model": RelaxAnswer}, **_REFUSED})
    async def relax(asked: Relax, request: Request) -> Response:
        """Relax structures. One that cannot be used is refused with a message, and the others come out."""
        deadline: Deadline = request.state.deadline
        relaxer = await asyncio.to_thread(offered.__getitem__, offered.names[0] if asked.model is None else asked.model)
        how = How(passes=asked.passes, fix=asked.fix, symmetrize=asked.symmetrize)
        relaxer.check_fix(how.fix)
        records = await asyncio.to_thread(readers.read, _texts(asked.files), deadline)
        crystals = await asyncio.to_thread(given, records)
        answers = await asyncio.wrap_future(batcher.submit(relaxer, how, crystals, deadline))
        extras = Extras(space_groups=asked.space_groups, pictures=asked.pictures, write=asked.write)
        return await _as_json(lambda: told(relaxer, how, records, answers, extras, deadline))

    @app.post("/api/strain", responses={200: {"model": StrainAnswer}, **_REFUSED})
    async def strain(asked: Strain, request: Request) -> Response:
        """Strain cells at random, to see them come back."""
        records = await asyncio.to_thread(readers.read, _texts(asked.files), request.state.deadline)
        return await _as_json(lambda: strained(records, asked.sigma, asked.seed))

    @app.post(
        "/api/convert",
        responses={200: {"content": {"application/octet-stream": {}}, "description": "The file"}, **_REFUSED},
        response_class=Response,
    )
    async def convert(asked: Convert, request: Request) -> Response:
        """Write structures as a file of another format, or as a zip of files in all of them."""
        answers = None if asked.answers is None else json.dumps(asked.answers, indent=2)
        content = await asyncio.to_thread(
            readers.write, _texts(asked.files), asked.format, answers, request.state.deadline
        )
        name = f"crystals.{ENDINGS.get(asked.format, asked.format)}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=_KINDS.get(asked.format, "text/plain"), headers=headers)


def _texts(files: Sequence[File]) -> Texts:
    return [(printable(file.name), file.text) for file in files]


def _elements() -> dict[str, dict[str, Any]]:
    """Number, colour and covalent radius of each element by symbol."""
    return {
        chemical_symbols[number]: {
            "number": number,
            "colour": "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in jmol_colors[number])),
            "radius": round(float(covalent_radii[number]), 2),
        }
        for number in _DRAWN
    }


async def _as_json(make: Callable[[], dict[str, Any]]) -> Response:
    """An answer that is made, and written, while others are read."""
    content = await asyncio.to_thread(lambda: json.dumps(with_nulls(make()), allow_nan=False).encode())
    return Response(content, media_type="application/json")


def _error(status: int, message: str, headers: Any = None) -> Response:
    return Response(json.dumps({"error": message}), status, headers, "application/json")
