"""Many WebSocket clients that cost next to nothing: system sockets in one selector, without library or tasks."""

import selectors
import socket
import time
from collections.abc import Sequence
from typing import Final, Self

PING: Final = b"\x89\x00"
PONG: Final = b"\x8a\x80\x00\x00\x00\x00"
AT_ONCE: Final = 32
"""Handshakes that are under way."""
SECONDS: Final = 30.0
"""Within which everything comes."""
READ_BYTES: Final = 65_536


class RawSockets:
    """Open sockets, whose pings are answered whenever something is waited for.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._open: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._open)

    def open(self, paths: Sequence[str], token: str) -> None:
        """Open a socket for each path, some at a time."""
        for start in range(0, len(paths), AT_ONCE):
            opening = [self._begin(path, token) for path in paths[start : start + AT_ONCE]]
            for sock in opening:
                answer = b""
                while b"\r\n\r\n" not in answer:
                    piece = sock.recv(READ_BYTES)
                    assert piece, answer
                    answer += piece
                assert b" 101 " in answer, answer
                sock.setblocking(False)
                self._selector.register(sock, selectors.EVENT_READ)
            self._open += opening
            self._take(0.0)

    def _begin(self, path: str, token: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS)
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        return sock

    def send(self, number: int, text: bytes) -> None:
        """Send a short text on one of the sockets."""
        self._open[number].send(b"\x81" + bytes((0x80 | len(text),)) + bytes(4) + text)

    def rest(self, seconds: float) -> None:
        """Do nothing for so long but answer pings."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._take(left)

    def until_all_have(self, mark: bytes) -> list[float]:
        """Wait until every socket has had something that contains `mark`; returns when, on the clock `perf_counter`.

        Raises:
            TimeoutError: some have not.
        """
        came: dict[socket.socket, float] = {}
        until = time.perf_counter() + SECONDS
        while len(came) < len(self._open):
            if time.perf_counter() > until:
                raise TimeoutError(f"{len(self._open) - len(came)} of {len(self._open)} sockets were not told")
            for sock, data in self._take(1.0):
                if mark in data:
                    came.setdefault(sock, time.perf_counter())
        return sorted(came.values())

    def _take(self, seconds: float) -> list[tuple[socket.socket, bytes]]:
        taken: list[tuple[socket.socket, bytes]] = []
        for key, _ in self._selector.select(seconds):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            data = sock.recv(READ_BYTES)
            assert data, "the server closed"
            if PING in data:
                sock.send(PONG)
            taken.append((sock, data))
        return taken

    def close(self) -> None:
        """Close all of them."""
        self._selector.close()
        for sock in self._open:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def raw_sockets(port: int, paths: Sequence[str], token: str) -> RawSockets:
    """Return open sockets, to be closed by the end of a `with` block."""
    sockets = RawSockets(port)
    try:
        sockets.open(paths, token)
    except BaseException:
        sockets.close()
        raise
    return sockets
