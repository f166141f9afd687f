"""Translation of what came: the one place where documented names of requests become the service's own."""

from typing import Any

from orchestrator.dialects.aliases import read_aliases
from orchestrator.errors import InvalidBody, InvalidParameter
from orchestrator.models.common.envelope import FieldFault
from orchestrator.routes.dialects.record import RouteDialect


def read_fields(dialect: RouteDialect, data: Any, path: str) -> Any:
    """Return the fields of a body under the service's own names; what is no object is left to the check that follows.

    Raises:
        InvalidBody: a documented field stands beside its counterpart, or can't be translated.
    """
    if not isinstance(data, dict):
        return data
    own = read_aliases(data, dialect.body, path)
    return own if dialect.read_body is None else dialect.read_body(own, path)


def parameter_fault(name: str, message: str) -> InvalidParameter:
    """Return the refusal of a query parameter."""
    fault = FieldFault(f"$.query.{name}", message)
    return InvalidParameter(f"{fault.path} {message}.", details=[fault])


def field_fault(path: str, message: str) -> InvalidBody:
    """Return the refusal of a field of the body."""
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])


def one_of(words: list[str]) -> str:
    """Return what is said of a word that is none of these."""
    return f"must be one of {', '.join(map(repr, words))}"
