"""Requests to receivers that clients name: one connection each, to an address that was checked, and no redirects."""

import ssl
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

import httpcore
import trio
from attrs import field, frozen

from orchestrator.clients.transport.addresses import AddressGuard, Target, parse_target
from orchestrator.clients.transport.connections import Connections
from orchestrator.clients.transport.http_errors import retry_after_ms
from orchestrator.clients.transport.http_pieces import HttpPieces
from orchestrator.errors import BadGateway, CallTimeout, OrchestratorError, ServiceRefused, ServiceUnreachable

CALLBACK_SECONDS: Final = 15.0
"""How long a receiver may take, from the look-up of its name to its answer."""
_ANSWER_BYTES: Final = 65_536
"""So much of an answer's body is taken off the line; nobody reads it."""


@frozen
class CallbackAnswer:
    """What a receiver answered."""

    status: int
    retry_after_ms: int | None = None
    """When it wants to be asked again, where it says so in seconds."""


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to one address, whatever the name: a name that is looked up again may have another by then."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._backend = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._backend.connect_tcp(self._address, port, timeout, local_address, socket_options)


@frozen
class CallbackClient:
    """Sends callbacks.

    Args:
        guard: knows where they may go.
        tls: how certificates are checked; None: against the authorities that are commonly trusted.
    """

    guard: AddressGuard
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> CallbackAnswer:
        """POST `body`; returns the answer, whatever it is.

        Raises:
            ServiceRefused: the address is not allowed.
            ServiceUnreachable: there is no connection, or it broke.
            CallTimeout: no answer came in time.
            BadGateway: what came is no answer.
        """
        with trio.move_on_after(CALLBACK_SECONDS):
            try:
                target = parse_target(url)
            except ValueError as error:
                raise ServiceRefused(f"The URL {error}.") from None
            return await self._post(target, await self.guard.resolve(target), headers, body)
        raise CallTimeout("The receiver did not answer in time.")

    async def _post(self, target: Target, address: str, headers: Mapping[str, str], body: bytes) -> CallbackAnswer:
        origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
        tls = (self.tls or _trusted()) if target.scheme == "https" else None
        connections = Connections(origin, backend=_Pinned(address), tls=tls)
        lines = {"Host": target.authority, **headers, "Content-Length": str(len(body))}
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target.path.encode())
        request = httpcore.Request("POST", url, headers=list(lines.items()), content=body)
        try:
            exchange = await connections.send(request)
            async with HttpPieces("callback", exchange) as pieces:
                await _discard(pieces)
            return CallbackAnswer(exchange.response.status, retry_after_ms(exchange.response.headers))
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise ServiceUnreachable(f"There is no connection to the receiver: {_cause(error)}.") from error
        except (httpcore.RemoteProtocolError, httpcore.LocalProtocolError) as error:
            raise BadGateway(f"The receiver broke off, or does not speak HTTP: {_cause(error)}.") from error
        finally:
            await connections.aclose()


async def _discard(pieces: HttpPieces) -> None:
    """Take the beginning of a body off the line; the answer counts, whatever becomes of its body."""
    size = 0
    try:
        while size < _ANSWER_BYTES and (part := await pieces.receive()) is not None:
            size += len(part)
    except OrchestratorError:
        return


@cache
def _trusted() -> ssl.SSLContext:
    """Read the authorities that are commonly trusted, once: it takes longer than a request."""
    return httpcore.default_ssl_context()


def _cause(error: Exception) -> str:
    """Say what went wrong: of a certificate in full, of a connection without the address that it had."""
    deeper: BaseException | None = error
    while deeper is not None:
        if isinstance(deeper, ssl.SSLCertVerificationError):
            return deeper.verify_message
        deeper = deeper.__cause__
    return type(error).__name__
