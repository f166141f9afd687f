"""Callbacks to URLs that clients name: one connection each, to an address that was checked, without redirects."""

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
"""Deadline of a callback, from the look-up of the host name to the answer."""
_ANSWER_BYTES: Final = 65_536
"""Part of an answer's body that is read and thrown away."""


@frozen
class CallbackAnswer:
    """Answer of a receiver."""

    status: int
    retry_after_ms: int | None = None
    """`Retry-After`, where it is a number of seconds."""


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to one address, whatever the host name: a second look-up of the name may give another address."""

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
    """Read the beginning of a body and throw it away; errors in it are ignored: the status is known."""
    size = 0
    try:
        while size < _ANSWER_BYTES and (part := await pieces.receive()) is not None:
            size += len(part)
    except OrchestratorError:
        return


@cache
def _trusted() -> ssl.SSLContext:
    """Load the system's authorities, once: it takes longer than a request."""
    return httpcore.default_ssl_context()


def _cause(error: Exception) -> str:
    """Describe an error: of a certificate in full, of a connection without its address: clients must not learn it."""
    deeper: BaseException | None = error
    while deeper is not None:
        if isinstance(deeper, ssl.SSLCertVerificationError):
            return deeper.verify_message
        deeper = deeper.__cause__
    return type(error).__name__
