"""The web application: routes, page, and sentences for everything that goes wrong."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from hashpipe.common.distribution import installed_version
from hashpipe.common.errors import UserError
from hashpipe.common.pages import STYLE, VIEWER, shared
from hashpipe.hashing.serve import api_groups, api_photos, api_places, api_search
from hashpipe.hashing.serve.description import describe
from hashpipe.hashing.serve.middleware import App, Policy, behind_middleware
from hashpipe.hashing.serve.schemas import Problem
from hashpipe.hashing.serve.state import State

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGES = ("/", "/docs", "/page/{name}", "/openapi.json")  # served and not described
_ABOUT = """\
Nearest photos of a collection by binary codes, its places and their 3D models. The page of this server uses nothing
else. Photos are addressed by their id, never by a path. Every refusal is one sentence, in "detail"; 503 comes with a
Retry-After header. Distances are Hamming distances in bits.
"""

# the middleware refuses foreign pages (403), uploads that are too large (413) and foreign names (421) on every route;
# what the framework refuses is said in our words too (422), and any route may be asked too often (503)
_ANYWHERE: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (403, 413, 421, 422, 503)}


def application(state: State, policy: Policy) -> App:
    """The ASGI application of a server, behind its middleware."""
    # FastAPI has documentation pages that load scripts from elsewhere, and reports to OpenTelemetry where one is set up
    app = FastAPI(
        title="hashpipe",
        version=installed_version(),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for part in (api_search, api_photos, api_places, api_groups):
        app.include_router(part.routes(state), responses=_ANYWHERE)
    describe(app, state)
    _serve_page(app)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UserError, _conflict)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _failed)
    return behind_middleware(app, policy)


def _serve_page(app: FastAPI) -> None:
    """The page's files, read once: no request reaches the file system."""
    folder = resources.files("hashpipe.hashing.serve").joinpath("page")
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _KINDS}
    files |= {name: shared(name).encode() for name in (STYLE, VIEWER)}

    def page(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        tag = f'"{hashlib.sha256(files[name]).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(files[name], media_type=_KINDS[name.rpartition(".")[2]], headers=headers)

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return page(request, "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return page(request, "docs.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(request: Request, name: str) -> Response:
        return page(request, name)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = str(error.detail)
    if sentence == HTTPStatus(error.status_code).phrase:  # raised by the framework, which has no sentence
        sentence = f"{request.method} {request.url.path[:100]}: {sentence.lower()}; /docs lists what there is."
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return JSONResponse({"detail": sentence}, error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """Every method that a path is served by; the framework names those of its first route only."""
    served = [*request.app.openapi()["paths"].items(), *((path, ("get",)) for path in _PAGES)]
    fitting = [methods for path, methods in served if compile_path(path)[0].match(request.url.path)]
    return {method.upper() for methods in fitting for method in methods}


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = str(first["loc"][-1])
    return JSONResponse({"detail": f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}."}, 422)


async def _conflict(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 409)


async def _left(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "The upload broke off."}, 400)  # nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "The server failed at this request; its terminal says why."}, 500)
