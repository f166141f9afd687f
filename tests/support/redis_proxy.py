"""A proxy in front of Redis that refuses commands in Redis' own words, and loses replies.

A refused command goes to Redis as a script that answers with the error, so replies keep their order. Where a reply is
lost, Redis has done what it was asked for, and the connection breaks before the client is told.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio
from attrs import define, field

PIECE: Final = 65_536
LOSS_SECONDS: Final = 0.5
"""How long a reply that is to be lost is waited for."""

Command = Sequence[bytes]
Chooser = Callable[[Command], bytes | None]
"""Tells with which error a command is refused; None: it is not."""


class _Commands:
    """Splits what a client sends into commands."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        """Take bytes; yield the commands that are whole now, as they came and split."""
        self._data += data
        while (found := self._next()) is not None:
            end, parts = found
            raw = bytes(self._data[:end])
            del self._data[:end]
            yield raw, parts

    def _next(self) -> tuple[int, list[bytes]] | None:
        line = self._line(0)
        if line is None:
            return None
        at, count = line
        parts = []
        for _ in range(count):
            line = self._line(at)
            if line is None or line[0] + line[1] + 2 > len(self._data):
                return None
            parts.append(bytes(self._data[line[0] : sum(line)]))
            at = sum(line) + 2
        return at, parts

    def _line(self, at: int) -> tuple[int, int] | None:
        """Read `*3` or `$5`; returns where the next line begins, and the number."""
        end = self._data.find(b"\r\n", at)
        return None if end < 0 else (end + 2, int(self._data[at + 1 : end]))


@define(eq=False)
class RedisProxy:
    """Stands between clients and a Redis.

    Args:
        port: of Redis, on loopback.
    """

    port: int
    url: str = field(default="", init=False)
    refused: int = field(default=0, init=False)
    """How many commands were refused."""
    lost: int = field(default=0, init=False)
    """How many replies were lost."""
    _chooser: Chooser | None = field(default=None, init=False)
    _losing: list[bytes] = field(factory=list, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, for ever; `started` when clients can connect to `url`."""
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.url = f"redis://127.0.0.1:{listener.socket.getsockname()[1]}/0"
            nursery.start_soon(partial(trio.serve_listeners, self._serve, [listener], handler_nursery=nursery))
            task_status.started()

    @contextmanager
    def refusing(self, chooser: Chooser) -> Iterator[None]:
        """Refuse commands inside the block."""
        self._chooser = chooser
        try:
            yield
        finally:
            self._chooser = None

    def lose_replies(self, words: Sequence[bytes]) -> None:
        """Lose the reply to the next command that has a word among its first two, once for each word."""
        self._losing = [*words]

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            async with client, await trio.open_tcp_stream("127.0.0.1", self.port) as server:
                broken = trio.Event()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ask, client, server, broken, nursery.cancel_scope)
                    nursery.start_soon(self._answer, client, server, broken, nursery.cancel_scope)
        except (OSError, trio.BrokenResourceError):
            pass  # Redis is not there

    async def _ask(
        self, client: trio.SocketStream, server: trio.SocketStream, losing: trio.Event, scope: trio.CancelScope
    ) -> None:
        commands = _Commands()
        try:
            while data := await client.receive_some(PIECE):
                sent = bytearray()
                for raw, command in commands.feed(data):
                    sent += self._instead(raw, command)
                    if self._loses(command):
                        losing.set()
                        await server.send_all(sent)
                        await trio.sleep(LOSS_SECONDS)
                        return
                await server.send_all(sent)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            scope.cancel()

    async def _answer(
        self, client: trio.SocketStream, server: trio.SocketStream, losing: trio.Event, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await server.receive_some(PIECE):
                if losing.is_set():
                    return
                await client.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            scope.cancel()

    def _instead(self, raw: bytes, command: Command) -> bytes:
        error = None if self._chooser is None else self._chooser(command)
        if error is None:
            return raw
        self.refused += 1
        parts = (b"EVAL", b"return redis.error_reply(ARGV[1])", b"0", error)
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)

    def _loses(self, command: Command) -> bool:
        for word in command[:2]:
            if word in self._losing:
                self._losing.remove(word)
                self.lost += 1
                return True
        return False
