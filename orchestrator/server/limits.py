"""What the server takes: sizes, times and numbers, in force whether or not a hypercorn.toml is read."""

from typing import Final

from attrs import frozen
from hypercorn.config import Config

from orchestrator.config.constants import MAX_FRAME_BYTES

HTTP_ONLY: Final = ["http/1.1"]
"""What TLS agrees on: the server speaks HTTP/1.1 and WebSocket over it, not HTTP/2."""


class ServerConfig(Config):
    """Hypercorn's configuration, with the service's values where nothing else is said.

    A hypercorn.toml may change them; the same values stand in the one that comes with the service.
    """

    accesslog = None
    backlog = 1024
    h11_max_incomplete_size = 65_536
    include_server_header = False
    keep_alive_timeout = 75.0
    loglevel = "WARNING"
    websocket_max_message_size = MAX_FRAME_BYTES


@frozen
class Limits:
    """What one connection, one address and all connections together may take."""

    connections: int = 20_000
    """Open at once, at most; fewer where the descriptors of the process are fewer."""
    address_connections: int = 0
    """Of one address, at most; 0: half of all."""
    spared_seconds: float = 0.5
    """For which an idle connection is not closed to make room for another."""
    head_seconds: float = 20.0
    """Until the head of a request is there, from the connection's opening or from the head's first byte."""
    head_lines: int = 128
    """Header lines of a request."""
    write_seconds: float = 15.0
    """Until the client has taken the next 64 KiB; afterwards the connection is dropped."""
    close_seconds: float = 3.0
    """Until the client has answered the close frame of a WebSocket."""
    linger_seconds: float = 2.0
    """Until the client has closed too, after the server has; what it still sends is thrown away."""
    arriving_seconds: float = 0.2
    """For connections and requests that are on their way when the server stops."""
