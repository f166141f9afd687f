"""One connection to a service: requests go over it one after the other."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

import h11

from cli.http.errors import HttpError, HttpTimeout
from cli.http.urls import Address

if TYPE_CHECKING:
    import ssl

_HEAD_BYTES: Final = 64 * 2**10
_PIECE: Final = 64 * 2**10
SLOW_SECONDS: Final = 2.0
"""A request that is not answered for so long is told."""


class Deadline:
    """The end of the time that a request has.

    Args:
        seconds: from now.
        slow: called once where there is no answer after `SLOW_SECONDS`.
    """

    def __init__(self, seconds: float, slow: Callable[[], None] | None = None) -> None:
        now = time.monotonic()
        self._at, self._slow_at, self._slow = now + seconds, now + SLOW_SECONDS, slow

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            HttpTimeout: none.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise HttpTimeout("it took too long")
        return left

    def heard(self) -> None:
        """Note that the answer has begun: one that is long is not slow."""
        self._slow = None

    def waits(self) -> Iterator[float]:
        """Yield how long to wait for the next piece of an answer, in seconds; again where nothing has come by then.

        Raises:
            HttpTimeout: no time is left.
        """
        patience = self._slow_at - time.monotonic()
        if self._slow is not None and patience < self.left():
            if patience > 0:
                yield patience
            slow, self._slow = self._slow, None
            slow()
        yield self.left()


class Connection:
    """A connection, and the state of HTTP/1.1 on it.

    Args:
        sock: connected, and secured where the service is by TLS.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)

    @classmethod
    def open(cls, address: Address, proxy: Address | None, tls: "ssl.SSLContext | None", deadline: Deadline) -> Self:
        """Connect to a service, or to the proxy in front of it.

        Raises:
            HttpError: the service can't be reached in time.
        """
        if tls is not None and proxy is not None:
            sock = tunnelled(address, proxy, deadline)
        else:
            with _named(proxy), _translated():
                sock = _connected(proxy or address, deadline)
        if tls is None:
            return cls(sock)
        with _translated():
            try:
                sock.settimeout(deadline.left())
                return cls(tls.wrap_socket(sock, server_hostname=address.host))
            except BaseException:
                sock.close()
                raise

    @property
    def is_reusable(self) -> bool:
        """Whether another request may go over it: the service has neither closed it nor said anything unasked."""
        if self._protocol.our_state is not h11.IDLE:
            return False
        readable = select.poll()
        readable.register(self._sock, select.POLLIN)
        return not readable.poll(0)

    def begin(self, request: h11.Request, body: bytes, deadline: Deadline) -> h11.Response:
        """Send a request, and receive the head of its answer.

        Raises:
            HttpError: there is none in time.
        """
        with _translated():
            self._send(request, body, deadline)
            return self._response(deadline)

    def pieces(self, deadline: Callable[[], Deadline]) -> Iterator[bytes]:
        """Yield the body of an answer as it comes; after its end the connection is ready for the next request.

        Args:
            deadline: returns that of the next piece.

        Raises:
            HttpError: the body breaks off, or comes too slowly.
        """
        while True:
            with _translated():
                event = self._event(deadline())
                if isinstance(event, h11.EndOfMessage):
                    if self._protocol.our_state is self._protocol.their_state is h11.DONE:
                        self._protocol.start_next_cycle()
                    return
                if not isinstance(event, h11.Data):
                    raise HttpError("its answer broke off")
                data = bytes(event.data)
            yield data

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def tunnel(self, address: Address, proxy: Address, deadline: Deadline) -> None:
        """Have a proxy connect to a service; what follows on the connection is the service's.

        Raises:
            HttpError: the proxy refuses.
        """
        target = f"{address.host}:{address.port}" if ":" not in address.host else f"[{address.host}]:{address.port}"
        headers = [("Host", target)]
        if proxy.authorization:
            headers.append(("Proxy-Authorization", proxy.authorization))
        with _named(proxy), _translated():
            self._send(h11.Request(method="CONNECT", target=target, headers=headers), b"", deadline)
            status = self._response(deadline).status_code
        if not 200 <= status < 300:
            raise HttpError(f"the proxy {proxy.origin} answered {status}")

    def _send(self, request: h11.Request, body: bytes, deadline: Deadline) -> None:
        events = [request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
        data = b"".join(self._protocol.send(event) or b"" for event in events)
        self._sock.settimeout(deadline.left())
        try:
            self._sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # A service may refuse what it has not read to its end; its answer says why.
            return

    def _response(self, deadline: Deadline) -> h11.Response:
        while isinstance(event := self._event(deadline), h11.InformationalResponse):
            continue
        if not isinstance(event, h11.Response):
            raise HttpError("it closed the connection before its answer")
        return event

    def _event(self, deadline: Deadline) -> object:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            received = self._receive(deadline)
            if not received and self._protocol.their_state is h11.SEND_RESPONSE and not self._protocol.trailing_data[0]:
                raise HttpError("it closed the connection without an answer")
            self._protocol.receive_data(received)
        return event

    def _receive(self, deadline: Deadline) -> bytes:
        for seconds in deadline.waits():
            self._sock.settimeout(seconds)
            with suppress(TimeoutError):
                received = self._sock.recv(_PIECE)
                deadline.heard()
                return received
        raise TimeoutError


def tunnelled(address: Address, proxy: Address, deadline: Deadline) -> socket.socket:
    """Connect to a service through a tunnel of a proxy.

    Raises:
        HttpError: there is none in time.
    """
    with _named(proxy), _translated():
        sock = _connected(proxy, deadline)
    try:
        Connection(sock).tunnel(address, proxy, deadline)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def _named(proxy: Address | None) -> Iterator[None]:
    """Have errors say that they are those of a proxy, where there is one."""
    try:
        yield
    except HttpTimeout:
        raise
    except HttpError as error:
        raise HttpError(f"the proxy {proxy.origin}: {error}" if proxy else str(error)) from None


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what sockets and the protocol raise inside the block as an `HttpError`."""
    try:
        yield
    except TimeoutError:
        raise HttpTimeout("it took too long") from None
    except OSError as error:
        raise HttpError(getattr(error, "verify_message", "") or error.strerror or str(error)) from None
    except h11.RemoteProtocolError as error:
        raise HttpError(f"its answer can't be read: {error}") from None


def _connected(address: Address, deadline: Deadline) -> socket.socket:
    """Connect to the first address of a host that takes a connection."""
    failure = OSError("its host has no address")
    # As bytes: Python loads what international names need for every name that is a text, and this one is encoded.
    name = address.host.encode()
    for family, kind, number, _, at in socket.getaddrinfo(name, address.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, number)
        try:
            sock.settimeout(deadline.left())
            sock.connect(at)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
