"""Hypercorn, h11 and wsproto: what `orchestrator.server` and `running` use."""

import inspect
import socket
from collections.abc import Callable
from typing import Any

import h11
import pytest
from hypercorn.config import Config
from hypercorn.protocol.events import Body, Data, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import ASGIWebsocketState, Handshake, WSStream
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import parse_socket_addr, repr_socket_addr, wrap_app
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.extensions import Extension
from wsproto.frame_protocol import FrameDecoder

from orchestrator.supervisor import reserve_port
from tests.frameworks.moved import need

STREAM = ("app", "config", "context", "task_group", "ssl", "client", "server", "send", "stream_id")
SIGNATURES: list[tuple[str, Callable[..., Any], tuple[str, ...]]] = [
    ("HTTPStream", HTTPStream, STREAM),
    ("HTTPStream.app_send", HTTPStream.app_send, ("self", "message")),
    ("HTTPStream.handle", HTTPStream.handle, ("self", "event")),
    ("WSStream", WSStream, STREAM),
    ("WSStream.app_send", WSStream.app_send, ("self", "message")),
    ("WSStream.handle", WSStream.handle, ("self", "event")),
    ("WSStream._accept", WSStream._accept, ("self", "message")),
    ("WSStream._handle_events", WSStream._handle_events, ("self",)),
    ("WSStream._send_wsproto_event", WSStream._send_wsproto_event, ("self", "event")),
    ("Handshake.accept", Handshake.accept, ("self", "subprotocol", "additional_headers")),
    (
        "H11Protocol",
        H11Protocol,
        ("app", "config", "context", "task_group", "connection_state", "ssl", "client", "server", "send"),
    ),
    ("H11Protocol.handle", H11Protocol.handle, ("self", "event")),
    ("H11Protocol.stream_send", H11Protocol.stream_send, ("self", "event")),
    ("H11Protocol._close_stream", H11Protocol._close_stream, ("self",)),
    ("H11Protocol._handle_events", H11Protocol._handle_events, ("self",)),
    ("H11Protocol._maybe_recycle", H11Protocol._maybe_recycle, ("self",)),
    ("TaskGroup", TaskGroup, ()),
    ("TaskGroup.spawn_app", TaskGroup.spawn_app, ("self", "app", "config", "scope", "send")),
    ("WorkerContext", WorkerContext, ("max_requests",)),
    ("Lifespan", Lifespan, ("app", "config", "state")),
    ("Config.create_sockets", Config.create_sockets, ("self",)),
    ("Config.create_ssl_context", Config.create_ssl_context, ("self",)),
    ("Config.response_headers", Config.response_headers, ("self", "protocol")),
    ("wrap_app", wrap_app, ("app", "wsgi_max_body_size", "mode")),
    ("parse_socket_addr", parse_socket_addr, ("family", "address")),
    ("repr_socket_addr", repr_socket_addr, ("family", "address")),
    ("Request", Request, ("stream_id", "headers", "http_version", "method", "raw_path", "state")),
    ("Response", Response, ("stream_id", "headers", "status_code")),
    ("Body", Body, ("stream_id", "data")),
    ("Data", Data, ("stream_id", "data")),
    ("EndBody", EndBody, ("stream_id",)),
    ("StreamClosed", StreamClosed, ("stream_id",)),
]


def source(thing: Any) -> str:
    return " ".join(inspect.getsource(thing).split())


@pytest.mark.parametrize(("name", "function", "parameters"), SIGNATURES, ids=[row[0] for row in SIGNATURES])
def test_hypercorn_is_called_as_before(name: str, function: Callable[..., Any], parameters: tuple[str, ...]) -> None:
    found = tuple(inspect.signature(function).parameters)
    need(found == parameters, "hypercorn", f"{name} takes {found} instead of {parameters}")


def test_a_protocol_keeps_what_ours_uses() -> None:
    made = source(H11Protocol.__init__)
    for name in (
        "app", "can_read", "config", "connection", "context", "keep_alive_requests", "send", "server", "ssl", "stream",
        "task_group", "connection_state", "client",
    ):  # fmt: skip
        need(f"self.{name} =" in made or f"self.{name}:" in made, "hypercorn", f"H11Protocol has no {name}")
    need(
        "self.stream.handle(StreamClosed(" in source(H11Protocol._close_stream),
        "hypercorn",
        "_close_stream tells its stream else",
    )


def test_a_websocket_stream_keeps_what_ours_uses() -> None:
    made = source(WSStream.__init__)
    for name in ("app_put", "buffer", "closed", "config", "send", "state", "stream_id", "connection", "handshake"):
        need(f"self.{name} =" in made or f"self.{name}:" in made, "hypercorn", f"WSStream has no {name}")
    states = {"HANDSHAKE", "CONNECTED", "RESPONSE", "CLOSED", "HTTPCLOSED"}
    need({state.name for state in ASGIWebsocketState} == states, "hypercorn", "ASGIWebsocketState has other states")
    handled = source(WSStream.handle)
    need(
        "self.app, self.config, self.scope, self.app_send" in handled,
        "hypercorn",
        "WSStream runs its application differently",
    )
    need('"extensions": {' in handled, "hypercorn", "the scope of a WebSocket has no extensions")
    need("self.extensions" in source(Handshake.__init__), "hypercorn", "Handshake has no extensions")
    need(
        "self.buffer.to_message()" in source(WSStream._handle_events),
        "hypercorn",
        "WSStream hands messages on differently",
    )
    need("await self._accept(message)" in source(WSStream.app_send), "hypercorn", "WSStream accepts differently")


def test_a_request_stream_says_when_it_is_closed() -> None:
    need("self.closed = True" in source(HTTPStream.handle), "hypercorn", "HTTPStream has no closed")
    need("self.send(StreamClosed(" in source(HTTPStream.app_send), "hypercorn", "HTTPStream ends differently")


def test_a_task_group_has_a_nursery() -> None:
    need("self._nursery = await" in source(TaskGroup.__aenter__), "hypercorn", "TaskGroup has no _nursery")


def test_a_worker_tells_when_it_ends() -> None:
    worker = WorkerContext(None)
    need(
        hasattr(worker, "terminated") and not worker.terminated.is_set(), "hypercorn", "WorkerContext has no terminated"
    )


def test_the_configuration_has_what_ours_changes() -> None:
    for name in (
        "accesslog", "backlog", "graceful_timeout", "h11_max_incomplete_size", "include_server_header",
        "keep_alive_max_requests", "keep_alive_timeout", "loglevel", "max_app_queue_size", "server_names",
        "websocket_max_message_size", "wsgi_max_body_size", "h11_pass_raw_headers",
    ):  # fmt: skip
        need(hasattr(Config, name), "hypercorn", f"Config has no {name}")


def test_h11_has_the_states_and_hints_that_ours_asks_for() -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100)
    need(connection.trailing_data == (b"", False), "h11", "Connection.trailing_data is something else")
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200)
    with pytest.raises(h11.RemoteProtocolError) as caught:
        connection.next_event()
    need(caught.value.error_status_hint == 431, "h11", "a head that is too large is not told by 431")
    need(connection.their_state is h11.ERROR, "h11", "an error leaves another state")


def test_wsproto_asks_extensions_before_a_payload_comes() -> None:
    hooks = {"enabled", "offer", "frame_inbound_header", "frame_inbound_payload_data"}
    need(hooks <= set(dir(Extension)), "wsproto", "Extension has other hooks")
    need("self.extension_processing(" in source(FrameDecoder.parse_header), "wsproto", "extensions see no heads")
    need({"receive_data", "events", "send", "state"} <= set(dir(Connection)), "wsproto", "Connection lacks a method")
    need(Connection(ConnectionType.SERVER, []).state is ConnectionState.OPEN, "wsproto", "a connection is not open")


def test_a_port_is_free_for_workers_although_connections_of_the_server_before_linger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), before.accept()[0]:
            pass
    with reserve_port("127.0.0.1", port) as reserved:
        assert reserved.getsockname()[1] == port


def test_a_server_listens_on_a_socket_that_it_is_given() -> None:
    config = Config()
    with reserve_port("127.0.0.1", 0) as given:
        config.bind = [f"fd://{given.fileno()}"]
        [taken] = config.create_sockets().insecure_sockets
        same = taken.getsockname() == given.getsockname() and taken.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        taken.detach()
    need(same, "hypercorn", "bind does not take fd://NUMBER")
