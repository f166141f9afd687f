"""`/openapi.json`, and the page at `/docs` that shows the same document to people."""

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from hashlib import sha256
from typing import Any, Final

import orjson
from attrs import frozen
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from quart import Response, request
from quart_trio import QuartTrio

from orchestrator.errors import OrchestratorError
from orchestrator.middleware.exchange import JSON, Exchange, respond
from orchestrator.routes.http.openapi import build_document
from orchestrator.routes.http.registry import Route

View = Callable[[], Awaitable[Response]]

TEMPLATES: Final = Environment(
    loader=PackageLoader("orchestrator.routes"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters["words"] = lambda words: _with_code(words or "")
_BACKTICKS: Final = re.compile("`([^`]+)`")


@frozen
class _Page:
    html: bytes
    policy: str


def document_views(app: QuartTrio, routes: tuple[Route, ...], public_url: str) -> dict[str, View]:
    """Return the views of the documents, by path. The document is made once, when it is first asked for."""

    @cache
    def document() -> dict[str, Any]:
        return build_document(routes, {rule.rule for rule in app.url_map.iter_rules()}, public_url)

    @cache
    def encoded() -> bytes:
        return orjson.dumps(document())

    @cache
    def page() -> _Page:
        return _render(document())

    async def openapi() -> Response:
        return respond(Exchange.begin(request.scope), encoded(), 200, JSON)

    async def docs() -> Response:
        exchange, shown = Exchange.begin(request.scope), page()
        headers = {"Content-Security-Policy": shown.policy}
        return respond(exchange, shown.html, 200, "text/html; charset=utf-8", headers)

    return {"/openapi.json": openapi, "/docs": docs}


def _render(document: dict[str, Any]) -> _Page:
    style = TEMPLATES.get_template("docs.css").render()
    script = TEMPLATES.get_template("docs.js").render()
    html = TEMPLATES.get_template("docs.html").render(
        document=document,
        style=style,
        script=script,
        operations=_operations(document),
        errors=_errors(OrchestratorError),
    )
    # The page's own style and script are let in by their hashes; nothing else is, from nowhere.
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _Page(html.encode(), policy)


def _errors(kind: type[OrchestratorError]) -> list[dict[str, Any]]:
    """Describe every code once, in the words of the narrowest exceptions that carry it."""
    carriers: dict[str, list[type[OrchestratorError]]] = {}
    for one in _family(kind):
        carriers.setdefault(one.code, []).append(one)
    told = []
    for code, kinds in sorted(carriers.items()):
        narrowest = [one for one in kinds if not one.__subclasses__()] or kinds
        statuses = sorted({one.status for one in narrowest})
        told.append(
            {
                "code": code,
                "status": ", ".join(str(status) for status in statuses),
                "type": narrowest[0].type,
                "words": " ".join((one.__doc__ or "").splitlines()[0] for one in narrowest),
            }
        )
    return told


def _family(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _family(narrower)


def _with_code(words: str) -> Markup:
    """Set what stands in backticks as code; everything is escaped first."""
    return Markup(_BACKTICKS.sub(r"<code>\1</code>", str(escape(words))))  # noqa: S704 # escaped one step before


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference within the document; words beside it stay."""
    reference = part.get("$ref")
    if reference is None:
        return part
    target: Any = document
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{name: value for name, value in part.items() if name != "$ref"}}


def _operations(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Group the operations by tag, each with a `curl` line that works."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = _example_body(document, operation)
            shown = {**operation, "path": path, "method": method.upper(), "body": body}
            shown["parameters"] = [_resolve(document, one) for one in operation.get("parameters", [])]
            shown["schemes"] = [name for scheme in operation["security"] for name in scheme]
            shown["example"] = _example(body)
            shown["curl"] = _curl(document, shown)
            grouped.setdefault(operation["tags"][0], []).append(shown)
    return grouped


def _example_body(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of `data` that an operation takes."""
    if "requestBody" not in operation:
        return None
    return _resolve(document, operation["requestBody"]["content"][JSON]["schema"]["anyOf"][0])


def _example(body: dict[str, Any] | None) -> str:
    """Return the fields that a body must have, as JSON to be filled in."""
    fields = {
        name: "…" if schema.get("type") == "string" else {}
        for name, schema in (body or {}).get("properties", {}).items()
        if name in (body or {}).get("required", ())
    }
    return orjson.dumps(fields).decode()


def _curl(document: dict[str, Any], operation: dict[str, Any]) -> str:
    base = document["servers"][0]["url"].rstrip("/")
    path = operation["path"].replace("{", "$").replace("}", "")
    parts = ["curl"] + ([f"-X {operation['method']}"] if operation["method"] not in {"GET", "POST"} else [])
    if "bearer" in operation["schemes"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "apiKey" in operation["schemes"]:
        parts.append('-H "X-API-Key: $KEY" -H "X-Tenant-ID: $TENANT"')
    if operation["body"] is not None:
        parts.append(f"-H 'Content-Type: application/json' -d '{operation['example']}'")
    elif operation["method"] == "POST":
        parts.append("-X POST")
    return " ".join([*parts, f'"{base or "$API"}{path}"'])
