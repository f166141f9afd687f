"""Figures that are part of a protocol or a promise, and so are no settings."""

from typing import Final

SUBPROTOCOL: Final = "nooble.v1"
TICKET_SECONDS: Final = 30
IDEMPOTENCY_SECONDS: Final = 24 * 3600
PAGE_LIMIT: Final = 20
PAGE_LIMIT_MAX: Final = 200
OFFSET_MAX: Final = 10_000
MAX_FRAME_BYTES: Final = 1024 * 1024
WEBSOCKET_EXTENSION: Final = "orchestrator.websocket"
"""Under this name a socket's ASGI scope holds what the server offers beyond ASGI."""
BODY_EXTENSION: Final = "orchestrator.body"
"""Under this name a request's ASGI scope holds a function that sends a piece of the body without waiting."""
BODY_FOLLOWS: Final = "orchestrator.body_follows"
"""Under this name the start of an answer says that a piece of the body comes at once, to be written with the head."""
ARRIVED_EXTENSION: Final = "orchestrator.arrived"
"""Under this name a request's ASGI scope holds a function that returns a message which has come already, or None."""
BAD_FRAMES_PER_MINUTE: Final = 20
"""So many bad frames within a minute close a socket with 4400."""
CLIENT_SUBJECTS: Final = "orchestrator.client_subjects"
"""In the state of an ASGI scope: the names in the client's certificate, where the listener asks for one."""
