"""Hypercorn and wsproto: what `websocket.wire` and `running` use."""

import inspect
import socket

from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import Handshake, WSStream
from hypercorn.trio.tcp_server import TCPServer
from wsproto.connection import Connection

from orchestrator.supervisor import reserve_port
from tests.frameworks.moved import need

USED = {"receive_data", "events", "send", "state"}


def test_the_stream_has_what_the_wire_uses() -> None:
    made = inspect.getsource(WSStream.__init__)
    for attribute in ("closed =", "send =", "stream_id =", "connection:", "handshake:"):
        need(f"self.{attribute}" in made, "hypercorn", f"WSStream has no {attribute.rstrip(' =:')}")
    need("self.extensions" in inspect.getsource(Handshake.__init__), "hypercorn", "Handshake has no extensions")


def test_an_application_sends_by_a_method_of_the_stream() -> None:
    handle = inspect.getsource(WSStream.handle)
    need("self.app_send" in handle, "hypercorn", "an application does not send by WSStream.app_send")


def test_the_stream_asks_of_its_engine_nothing_that_the_wire_does_not_pass_on() -> None:
    source = inspect.getsource(WSStream)
    asked = {part.split("(")[0].split()[0].strip(":)") for part in source.split("self.connection.")[1:]}
    need(asked == USED, "hypercorn", f"WSStream asks its engine for {sorted(asked ^ USED)} too, or no more")
    need(set(dir(Connection)) >= USED, "wsproto", f"Connection lacks one of {sorted(USED)}")


def test_a_connection_is_dropped_by_an_event_that_closes_it_first() -> None:
    need("self.send = send" in inspect.getsource(H11Protocol.__init__), "hypercorn", "H11Protocol has no send")
    closing = inspect.getsource(TCPServer.protocol_send).partition("isinstance(event, Closed)")[2]
    need(closing.split()[1:3] == ["await", "self._close()"], "hypercorn", "Closed does not close the connection first")


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
