"""Callbacks to URLs that clients name: one connection each, to an address that was checked, without redirects."""

import ssl
from collections.abc import Mapping
from typing import Final

import trio
from attrs import field, frozen

from orchestrator.clients.transport.addresses import AddressGuard, Target, parse_target
from orchestrator.clients.transport.connections import Connections
from orchestrator.clients.transport.http_connection import ConnectionLost, NoConnection, Origin
from orchestrator.clients.transport.http_errors import retry_after_ms
from orchestrator.clients.transport.http_head import NotHttp, plain
from orchestrator.clients.transport.http_pieces import HttpPieces
from orchestrator.errors import BadGateway, CallTimeout, OrchestratorError, ServiceRefused, ServiceUnreachable

CALLBACK_SECONDS: Final = 15.0
"""Deadline of a callback, from the look-up of the host name to the answer."""
_ANSWER_BYTES: Final = 65_536
"""Part of an answer's body that is read and thrown away."""


@frozen
class CallbackAnswer:
    """Answer of a receiver."""

    status: int
    retry_after_ms: int | None = None
    """`Retry-After`, where it is a number of seconds."""


@frozen
class CallbackClient:
    """Sends callbacks.

    Args:
        guard: checks the addresses.
        tls: how certificates are checked; None: against the system's authorities.
    """

    guard: AddressGuard
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> CallbackAnswer:
        """POST `body`, and return the answer, whatever its status.

        Raises:
            ServiceRefused: the address is not allowed.
            ServiceUnreachable: there is no connection, or it broke.
            CallTimeout: no answer came in time.
            BadGateway: the answer is not HTTP.
        """
        with trio.move_on_after(CALLBACK_SECONDS):
            try:
                target = parse_target(url)
            except ValueError as error:
                raise ServiceRefused(f"The URL {error}.") from None
            return await self._post(target, await self.guard.resolve(target), headers, body)
        raise CallTimeout("The receiver did not answer in time.")

    async def _post(self, target: Target, address: str, headers: Mapping[str, str], body: bytes) -> CallbackAnswer:
        origin = Origin(target.scheme, target.host, target.port, address, self.tls)
        connections = Connections(origin)
        lines = {"Host": target.authority, **headers, "Content-Length": str(len(body))}
        head = b"".join(b"%b: %b\r\n" % (plain(name), plain(value)) for name, value in lines.items())
        request = b"POST %b HTTP/1.1\r\n%b\r\n%b" % (plain(target.path), head, body)
        try:
            exchange = await connections.send(request)
            with HttpPieces("callback", exchange) as pieces:
                await _discard(pieces)
            return CallbackAnswer(exchange.head.status, retry_after_ms(exchange.head.headers))
        except (NoConnection, ConnectionLost) as error:
            raise ServiceUnreachable(f"There is no connection to the receiver: {_cause(error)}.") from error
        except NotHttp as error:
            raise BadGateway(f"The receiver broke off, or does not speak HTTP: {error}.") from error
        finally:
            connections.close()


async def _discard(pieces: HttpPieces) -> None:
    """Read the beginning of a body and throw it away; errors in it are ignored: the status is known."""
    size = 0
    try:
        while size < _ANSWER_BYTES and (part := await pieces.receive()) is not None:
            size += len(part)
    except OrchestratorError:
        return


def _cause(error: Exception) -> str:
    """Describe an error: of a certificate in full, of a connection without its address: clients must not learn it."""
    deeper: BaseException | None = error
    while deeper is not None:
        if isinstance(deeper, ssl.SSLCertVerificationError):
            return deeper.verify_message
        deeper = deeper.__cause__
    return type(error).__name__
