"""Reading what a client sent: the body with or without its envelope, and the query parameters."""

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from urllib.parse import parse_qsl

from attrs import fields, frozen, resolve_types
from quart import Request

from orchestrator.codec import parse_request, structure
from orchestrator.errors import (
    InvalidBody,
    InvalidParameter,
    TenantNotGranted,
    Unprocessable,
    UnsupportedMediaType,
)
from orchestrator.frameworks.quart_inside import body_of
from orchestrator.models.common.envelope import FieldFault, MessageType, RequestEnvelope

_FORM: Final = "application/x-www-form-urlencoded"


@frozen
class Nothing:
    """What the body of a route holds that takes none."""


async def read_body(request: Request, headers: Mapping[str, str]) -> bytes:
    """Read the body whole, up to the limit that the application sets.

    Raises:
        UnsupportedMediaType: it is not JSON.
        RequestEntityTooLarge, RequestTimeout: the framework's own; `middleware.errors` translates them.
    """
    raw = await body_of(request)
    if raw and not _is_json(headers.get("content-type", ""), raw):
        raise UnsupportedMediaType("The body must be JSON: send 'Content-Type: application/json'.")
    if headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("The body must not be compressed.")
    return raw


def _is_json(content_type: str, raw: bytes) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _FORM:
        # `curl -d` calls everything a form unless it is told otherwise: what is an object is taken as JSON.
        return raw.lstrip().startswith(b"{")
    return media_type in {"", "application/json"} or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def open_message(raw: bytes, tenant_id: str) -> dict[str, Any]:
    """Read a message of another service, as a whole.

    Raises:
        InvalidBody: it is not a JSON object, or is nested too deeply.
        TenantNotGranted: it names another tenant than the credentials.
    """
    content = parse_request(raw) if raw else {}
    if not isinstance(content, dict):
        raise InvalidBody("The body must be an object.", details=[FieldFault("$", "must be an object")])
    _refuse_foreign(content, "$", tenant_id)
    return content


def open_envelope(
    raw: bytes, name: str, tenant_id: str, heard: Callable[[Mapping[str, Any]], None] | None = None
) -> tuple[RequestEnvelope, str]:
    """Read a body that may or may not have an envelope.

    Args:
        raw: JSON.
        name: the route, `domain.action`.
        tenant_id: the tenant that the credentials gave.
        heard: told an envelope as it was sent, before it is checked.

    Returns:
        The envelope, and the path of `data` within what was sent.

    Raises:
        InvalidBody: it is not JSON, is nested too deeply, or the envelope has a fault.
        Unprocessable: its type or version contradicts the route.
        TenantNotGranted: it names another tenant.
    """
    content = parse_request(raw)
    if not isinstance(content, dict):
        raise InvalidBody("The body must be an object.", details=[FieldFault("$", "must be an object")])
    _refuse_foreign(content, "$", tenant_id)
    # An envelope's type is an object; a field of that name may be something else.
    if "data" not in content and not isinstance(content.get("type"), dict):
        return RequestEnvelope(content), "$"
    if heard is not None:
        heard(content)
    envelope = structure(content, RequestEnvelope)
    if envelope.type is not None and envelope.type != MessageType.parse(name):
        message = f"names '{envelope.type}', but the route is '{name}'"
        raise Unprocessable(f"The envelope's type {message}.", details=[FieldFault("$.type", message)])
    if (wrong := envelope.version_fault) is not None:
        raise Unprocessable(f"The envelope's version {wrong.message}.", details=[wrong])
    if isinstance(envelope.data, dict):
        _refuse_foreign(envelope.data, "$.data", tenant_id)
    return envelope, "$.data"


def _refuse_foreign(content: Mapping[str, Any], path: str, tenant_id: str) -> None:
    named = content.get("tenant_id", tenant_id)
    # Credentials of no tenant are an operator's, for whom no tenant is foreign.
    if tenant_id and named is not None and named != tenant_id:
        fault = FieldFault(f"{path}.tenant_id", "is not the tenant of the credentials")
        raise TenantNotGranted("The body names another tenant than the credentials.", details=[fault])


_TRUTHS: Final = {"true": True, "false": False}


class QueryReader:
    """Reads the query parameters of one route.

    Args:
        model: an attrs class of strings, whole numbers, truths and enumerations, each with a default; None: no
            parameters.
        translate: gives parameters of other names the service's own; None: there are no other names.
    """

    def __init__(self, model: type | None, translate: Callable[[dict[str, str]], dict[str, str]] | None = None) -> None:
        self._model = model or Nothing
        self._translate = translate
        resolve_types(self._model, include_extras=True)
        self._none_given = self._model()
        self._numbers = {attribute.name for attribute in fields(self._model) if _is(int, attribute.type)}
        self._truths = {attribute.name for attribute in fields(self._model) if _is(bool, attribute.type)}

    def read(self, query_string: bytes) -> Any:
        """Return the model, filled.

        Raises:
            InvalidParameter: with every parameter that is unknown, doubled or malformed.
        """
        if not query_string:
            return self._none_given
        given: dict[str, str] = {}
        for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
            if name in given:
                raise _parameter_fault([FieldFault(f"$.query.{name}", "is given twice")])
            given[name] = value
        if self._translate is not None:
            given = self._translate(given)
        try:
            return structure({name: self._value(name, value) for name, value in given.items()}, self._model, "$.query")
        except InvalidBody as error:
            raise _parameter_fault(error.details) from None

    def _value(self, name: str, value: str) -> Any:
        if name in self._truths:
            return _TRUTHS.get(value, value)
        is_number = name in self._numbers and value.removeprefix("-").isdecimal() and len(value) < 16
        return int(value) if is_number else value


def _parameter_fault(faults: list[FieldFault]) -> InvalidParameter:
    return InvalidParameter(f"{faults[0].path} {faults[0].message}.", details=faults)


def _is(wanted: type, kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is(wanted, get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        return any(_is(wanted, option) for option in get_args(kind))
    return kind is wanted
