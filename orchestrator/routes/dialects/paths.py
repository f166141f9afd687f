"""Plain paths of the platform's documents: other paths of routes that have names of their own."""

from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from orchestrator.errors import Unprocessable
from orchestrator.models.common.envelope import FieldFault


@frozen
class PlainPath:
    """Another path of a route."""

    method: str
    rule: str
    """As the framework matches it."""
    route: str
    """The name of the route, `domain.action`."""
    id_name: str | None = None
    """What the `id` in the path is; None: there is none."""
    fills: bool = False
    """Whether that id is a field of the body, which need not say it again."""

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it."""
        return self.rule.replace("<", "{").replace(">", "}")

    @property
    def name(self) -> str:
        """What OpenAPI calls it, and the framework."""
        parts = self.rule.strip("/").replace("<", "").replace(">", "").split("/")
        return ".".join([self.method.lower(), *parts])


def _plain_paths() -> Iterator[PlainPath]:
    for prefix in ("/api", "/api/v1"):
        yield PlainPath("POST", f"{prefix}/sessions", "session.create")
        yield PlainPath("GET", f"{prefix}/sessions/<id>", "session.get", "session_id")
        yield PlainPath("POST", f"{prefix}/sessions/<id>/messages", "chat.message", "session_id", fills=True)
        yield PlainPath("POST", f"{prefix}/batch", "batch.create")
        yield PlainPath("GET", f"{prefix}/batch/<id>", "batch.get", "batch_id")
        yield PlainPath("DELETE", f"{prefix}/batch/<id>", "batch.cancel", "batch_id")
        yield PlainPath("POST", f"{prefix}/workflows", "workflow.execute")
    yield PlainPath("GET", "/internal/v1/debug/sessions/<id>", "debug.session", "session_id")


PLAIN_PATHS: Final = tuple(_plain_paths())


def filled(data: Any, path: str, name: str, value: str) -> Any:
    """Return the fields of a body with the id of its path.

    Args:
        data: as it was sent; what is no object is left to the check that follows.
        path: of the fields, such as `$.data`.
        name: the field.
        value: the id.

    Raises:
        Unprocessable: the body names another one.
    """
    if not isinstance(data, dict):
        return data
    if data.get(name) not in (None, value):
        fault = FieldFault(f"{path}.{name}", "is not the id of the path")
        raise Unprocessable(f"{fault.path} {fault.message}.", details=[fault])
    return {**data, name: value}
