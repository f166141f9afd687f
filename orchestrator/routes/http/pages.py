"""Pages for people: the console of operators and developers, and the page at `/` that leads to it and the documents."""

from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import orjson
from attrs import frozen
from quart import Response, request

from orchestrator.middleware.exchange import JSON, Exchange, respond
from orchestrator.routes.http.documents import TEMPLATES

View = Callable[[], Awaitable[Response]]

CONSOLE: Final = "/console"
ASSETS: Final = "/assets"
"""Prefix of what pages are made of: styles, scripts and drawings."""
_HTML: Final = "text/html; charset=utf-8"
_TYPES: Final = {
    "html": _HTML,
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Everything comes from this service alone, and nothing that stands within a page is run."""
_LINKS: Final = {
    "console": CONSOLE,
    "docs": "/docs",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "health": "/health",
}


@frozen
class _File:
    content: bytes
    media_type: str


def page_views(*, console: bool) -> dict[str, View]:
    """Return the views of the pages, by path; their files are read once, here.

    Args:
        console: whether the console is served.
    """
    links = _LINKS if console else {name: path for name, path in _LINKS.items() if path != CONSOLE}
    assets = dict(_read(files("orchestrator.routes") / "assets", ASSETS))
    frame = assets.pop(f"{ASSETS}/console/index.html")
    if not console:
        assets = {path: file for path, file in assets.items() if not path.startswith(f"{ASSETS}{CONSOLE}/")}
    home = _File(TEMPLATES.get_template("home.html").render(console=console).encode(), _HTML)
    shown = assets | {CONSOLE: frame} if console else assets
    views: dict[str, View] = {path: partial(_serve, file) for path, file in shown.items()}
    return views | {"/": partial(_serve_home, home, orjson.dumps(links))}


def _read(folder: Traversable, path: str) -> list[tuple[str, _File]]:
    read: list[tuple[str, _File]] = []
    for entry in folder.iterdir():
        below = f"{path}/{entry.name}"
        if entry.is_dir():
            read += _read(entry, below)
        elif (media_type := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            read.append((below, _File(entry.read_bytes(), media_type)))
    return read


async def _serve(file: _File) -> Response:
    headers = {"Content-Security-Policy": _POLICY}
    return respond(Exchange.begin(request.scope), file.content, 200, file.media_type, headers)


async def _serve_home(page: _File, links: bytes) -> Response:
    """Answer a browser with the page, and a program with the same links."""
    exchange = Exchange.begin(request.scope)
    if "text/html" in exchange.headers.get("accept", ""):
        return await _serve(page)
    return respond(exchange, links, 200, JSON)
