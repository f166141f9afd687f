"""The documented names as OpenAPI shows them: beside a route's own, from the records that translate them."""

from typing import Any

from orchestrator.routes.dialects.record import RouteDialect
from orchestrator.schemas import PREFIX, Schemas


def asked_of(schemas: Schemas, body: type, dialect: RouteDialect) -> dict[str, Any]:
    """Describe the body of a route, which is closed to all but its own names and the documented ones."""
    data = schemas.of(body, closed=True)
    own = schemas.components.get(data.get("$ref", "").removeprefix(PREFIX))
    if dialect.asks is None or own is None:
        return data
    return {**own, "properties": {**own["properties"], **fields_of(schemas, dialect.asks)}}


def parameters_of(schemas: Schemas, query: type | None, dialect: RouteDialect) -> dict[str, Any]:
    """Describe the query parameters of a route, each by its name."""
    described = {} if query is None else fields_of(schemas, query)
    return described if dialect.asks_query is None else {**described, **fields_of(schemas, dialect.asks_query)}


def told_of(schemas: Schemas, answer: Any, dialect: RouteDialect, *, paged: bool) -> dict[str, Any]:
    """Describe the data of an answer: a model, or a page of such."""
    one = schemas.of(answer)
    if dialect.tells is not None:
        one = {"allOf": [one, schemas.of(dialect.tells)]}
    if not paged:
        return one
    items = {"items": {"type": "array", "items": one}}
    page = {"type": "object", "required": ["items"], "properties": items}
    return page if dialect.tells_page is None else {"allOf": [page, schemas.of(dialect.tells_page)]}


def fields_of(schemas: Schemas, model: type) -> dict[str, Any]:
    """Return the schemas of a class's fields; the class itself is no schema that others refer to."""
    schemas.of(model, closed=True)
    properties: dict[str, Any] = schemas.components.pop(model.__name__)["properties"]
    return properties
