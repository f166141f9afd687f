"""Following a session over its WebSocket, across losses of the connection.

The server numbers its frames (`offset`, within an `epoch`). A new connection asks for the frames after the last one, so
none is lost and none comes twice.
"""

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import trio
from attrs import frozen
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, WebSocketConnection
from uuid_utils import uuid7

from cli.core.client import AWAY_SECONDS, Api, authorization, translated, uses_key
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit, refusal
from cli.core.interrupts import ungrouped
from cli.core.sockets import open_socket
from cli.http.tls import tls_context

CONNECT_SECONDS: Final = 10.0
PING_SECONDS: Final = 15.0
_WAITS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_CLOSED, _TOKEN_MISSING, _TOKEN_BAD, _UNKNOWN, _BAD_FRAMES = 1000, 4001, 4003, 4004, 4400


@frozen
class Frame:
    """A frame of the server: the name and data of its event, and the whole envelope (`raw`)."""

    name: str
    data: dict[str, Any]
    offset: int | None
    raw: dict[str, Any]


class FollowedSession:
    """The WebSocket of a session, which reconnects by itself.

    Args:
        target: the stack.
        session_id: the session.
        operator: whether to use the token that sees the whole tenant.
        after: the offset after which to start; None: with the next event.
        tell: called with a sentence when the connection is lost and when it is back.
    """

    def __init__(
        self,
        target: Target,
        session_id: str,
        *,
        operator: bool = False,
        after: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._target = target
        self._session_id = session_id
        by_key = uses_key(target, operator=operator)
        # Sockets take no API key: each connection gets a ticket for it.
        self._api = Api(target, operator=operator, timeout=CONNECT_SECONDS) if by_key else None
        sent = {} if by_key else authorization(target, operator=operator)
        self._headers = [(name.encode(), value.encode()) for name, value in sent.items()]
        with translated(target):
            self._tls = tls_context(target.tls) if target.ws_url.startswith("wss:") else None
        self._offset = after
        self._epoch = ""
        self._tell = tell
        self._socket: WebSocketConnection | None = None
        self._connected = trio.Event()
        self._retry_after = 0.0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[trio.MemoryReceiveChannel[Frame]]:
        """Connect, and yield the channel of frames, which ends when the session is closed.

        Raises:
            CliFailure: the server refuses the connection, or can't be reached within `AWAY_SECONDS`.
        """
        # A full buffer stops the reader, and so the server, which then joins chunks or makes the client resume.
        sending, receiving = trio.open_memory_channel[Frame](256)
        with ungrouped():
            async with trio.open_nursery() as nursery:
                # Only events after the first connection are received, so the caller must not act before it.
                await nursery.start(self._keep_connected, sending)
                async with receiving:
                    yield receiving
                nursery.cancel_scope.cancel()

    async def send(self, name: str, data: dict[str, Any]) -> None:
        """Send a frame, over the next connection if this one breaks.

        Raises:
            CliFailure: there was no connection for it within `AWAY_SECONDS`.
        """
        domain, _, action = name.partition(".")
        message = {"message_id": str(uuid7()), "type": {"domain": domain, "action": action}, "data": data}
        with trio.move_on_after(AWAY_SECONDS):
            while True:
                await self._connected.wait()
                assert self._socket is not None  # noqa: S101  # set before the event
                try:
                    await self._socket.send_message(json.dumps(message))
                except ConnectionClosed:
                    self._disconnected()
                    continue
                return
        raise self._unreachable()

    async def _keep_connected(
        self, frames: trio.MemorySendChannel[Frame], *, task_status: trio.TaskStatus[None]
    ) -> None:
        async with frames:
            lost = await self._connect_once(frames, on_connect=task_status.started, first=True)
            attempt, lost_at = 0, trio.current_time()
            while True:
                if lost is None:
                    return
                if lost:
                    attempt, lost_at = 0, trio.current_time()
                    self._tell("The connection was lost; reconnecting …")
                if trio.current_time() - lost_at > AWAY_SECONDS:
                    raise self._unreachable()
                wait = max(_WAITS[min(attempt, len(_WAITS) - 1)], self._retry_after)
                self._retry_after = 0.0
                attempt += 1
                await trio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311  # jitter that spreads reconnects, no secret
                lost = await self._connect_once(frames, on_connect=lambda: self._tell("Connected."), first=False)

    async def _connect_once(
        self, frames: trio.MemorySendChannel[Frame], *, on_connect: Callable[[], None], first: bool
    ) -> bool | None:
        """Connect and read to the end of the connection.

        Returns whether there was a connection; None where its end closes the session.
        """
        connected = False
        try:
            ticket = await self._ticket()
        except CliFailure as failure:
            if first or not failure.passes:
                raise
            return False
        try:
            async with open_socket(self._url(ticket), self._tls, self._headers, within=CONNECT_SECONDS) as socket:
                connected = True
                self._socket = socket
                self._connected.set()
                on_connect()
                with ungrouped():
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_heartbeat, socket)
                        await self._read(socket, frames)
                        nursery.cancel_scope.cancel()
        except ConnectionRejected as error:
            if first or error.status_code not in {429, 500, 502, 503, 504}:
                _raise_refusal(error)
        except (HandshakeError, OSError) as error:
            if first:
                reason = str(error.__cause__ or error) or type(error).__name__
                raise CliFailure(
                    f"{self._target.ws_url} can't be reached: {reason}.", "Is the service running?", Exit.UNREACHABLE
                ) from None
        self._disconnected()
        if connected and socket.closed is not None and self._is_over(socket.closed.code):
            return None
        return connected

    async def _read(self, socket: WebSocketConnection, frames: trio.MemorySendChannel[Frame]) -> None:
        while True:
            try:
                raw = json.loads(await socket.get_message())
            except ConnectionClosed:
                return
            name = f"{raw['type']['domain']}.{raw['type']['action']}"
            if name == "session.state_update":
                self._offset, self._epoch = raw["data"]["offset"], raw["data"]["epoch"]
            elif raw["epoch"] == self._epoch:
                # A frame outside of the log carries the offset of the last frame in it.
                self._offset = max(self._offset or 0, raw["offset"])
            if name == "system.reconnect":
                self._retry_after = raw["data"]["retry_after_ms"] / 1000
            else:
                await frames.send(Frame(name, raw["data"], raw.get("offset"), raw))

    def _is_over(self, code: int) -> bool:
        if code in {_TOKEN_MISSING, _TOKEN_BAD}:
            credential = "token" if self._api is None else "API key"
            raise refusal(401, {"message": f"The {credential} has expired or was revoked."}, by_key=bool(self._api))
        if code == _UNKNOWN:
            raise CliFailure(f"There is no session {self._session_id}.", "", Exit.NOT_FOUND)
        if code == _BAD_FRAMES:
            raise CliFailure("The service did not understand a frame.", "Do service and client have the same version?")
        return code == _CLOSED

    def _disconnected(self) -> None:
        self._socket = None
        if self._connected.is_set():
            self._connected = trio.Event()

    async def _ticket(self) -> str:
        """Return a ticket for the next connection; empty: it needs none."""
        if self._api is None:
            return ""
        return await trio.to_thread.run_sync(_ticket_of, self._api, self._session_id, abandon_on_cancel=True)

    def _url(self, ticket: str) -> str:
        query = {"ticket": ticket} if ticket else {}
        if self._offset is not None:
            query["last_offset"] = str(self._offset)
        if self._epoch:
            query["epoch"] = self._epoch
        url = f"{self._target.ws_url}/ws/v1/chat/{self._session_id}"
        return f"{url}?{urlencode(query)}" if query else url

    def _unreachable(self) -> CliFailure:
        hint = f"The session stays open: nooble-orch chat --session {self._session_id}"
        return CliFailure(f"{self._target.api_url} can't be reached any more.", hint, Exit.UNREACHABLE)


def _ticket_of(api: Api, session_id: str) -> str:
    with api:
        return str(api.post(f"session.ticket/{session_id}")["ticket"])


async def _heartbeat(socket: WebSocketConnection) -> None:
    """Ping, and close the connection where no pong comes."""
    while True:
        await trio.sleep(PING_SECONDS)
        with trio.move_on_after(PING_SECONDS) as waiting:
            try:
                await socket.ping()
            except ConnectionClosed:
                return  # the reader sees it too
        if waiting.cancelled_caught:
            await socket.aclose(1001, "no pong")
            return


def _raise_refusal(error: ConnectionRejected) -> NoReturn:
    try:
        failure = refusal(error.status_code, json.loads(error.body or b"")["error"])
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"The service refused the WebSocket ({error.status_code})."
        failure = refusal(error.status_code, {"message": message})
    raise failure from None
