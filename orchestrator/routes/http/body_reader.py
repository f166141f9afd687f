"""Reading the body of a request: its envelope, and the route's model of it, under own or documented names."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import NOTHING, fields, frozen
from quart import Request

from orchestrator.codec import structure
from orchestrator.dialects.aliases import retell
from orchestrator.errors import ClientFault, InvalidBody
from orchestrator.models.common.envelope import FieldFault, RequestEnvelope
from orchestrator.routes.dialects.paths import filled
from orchestrator.routes.dialects.reading import read_fields
from orchestrator.routes.dialects.record import RouteDialect
from orchestrator.routes.http.bodies import Nothing, open_envelope, open_message, read_body
from orchestrator.routes.http.registry import Route

_DATA: Final = "$.data"
"""Where services take the fields of a body to stand."""


@frozen
class Body:
    """The body of a request."""

    model: Any = None
    """What the route takes."""
    envelope: RequestEnvelope | None = None
    sent: Any = None
    """The fields of the model as they were sent."""


class BodyReader:
    """Reads the bodies of one route.

    Args:
        route: the route.
        dialect: its documented names; None: it has none.
        fills: the field of the body that the id in the path stands for; None: that is the route's own id.
    """

    def __init__(self, route: Route, dialect: RouteDialect | None, fills: str | None) -> None:
        self._route, self._dialect, self._fills = route, dialect, fills
        self._names = {} if dialect is None else {**dialect.body, **dialect.parts}
        self._model = route.body or Nothing

    async def read(
        self,
        request: Request,
        headers: Mapping[str, str],
        tenant_id: str,
        path_id: str,
        heard: Callable[[Mapping[str, Any]], None],
    ) -> Body:
        """Read a body.

        Args:
            request: the request.
            headers: its.
            tenant_id: the tenant that the credentials gave.
            path_id: the id in the path.
            heard: told an envelope as it was sent, before it is checked.

        Raises:
            InvalidBody, Unprocessable: it is not what the route takes.
            TenantNotGranted: it names another tenant.
        """
        route, dialect = self._route, self._dialect
        if route.method == "GET":
            return Body()
        raw = await read_body(request, headers)
        if not raw and (route.body is None or not _asks(route.body)):
            return Body(None if route.body is None else route.body())
        if route.whole_message:
            return Body(open_message(raw, tenant_id))
        if dialect is not None and dialect.read_message is not None:
            told = dialect.read_message(open_message(raw, tenant_id))
            if told is not None:
                return Body(self._structured(told, "$.payload", path_id), None, told)
        envelope, path = open_envelope(raw, route.name, tenant_id, heard)
        if route.body is None and envelope.data is None:
            return Body(None, envelope)
        if self._model is dict:
            return Body(_free(envelope.data, path), envelope, envelope.data)
        return Body(self._structured(envelope.data, path, path_id), envelope, envelope.data)

    def retell(self, refused: ClientFault, sent: Any) -> None:
        """Give a refusal of the route's work the names that the client has written."""
        retell(refused, self._names, sent, _DATA)

    def _structured(self, sent: Any, path: str, path_id: str) -> Any:
        data = sent if self._dialect is None else read_fields(self._dialect, sent, path)
        if self._fills is not None:
            data = filled(data, path, self._fills, path_id)
        try:
            return structure(data, self._model, path)
        except InvalidBody as refused:
            retell(refused, self._names, sent, path)
            raise


def _asks(model: type) -> bool:
    """Tell whether a body has to say something: a field without default."""
    return model is dict or any(attribute.default is NOTHING for attribute in fields(model))


def _free(data: Any, path: str) -> dict[str, Any]:
    """Take a body whose fields another service checks."""
    if not isinstance(data, dict):
        raise InvalidBody("The body must be an object.", details=[FieldFault(path, "must be an object")])
    return data
