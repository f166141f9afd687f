"""Refusals that browsers can see: the socket opens, says why in a frame, and closes with a code.

Of a handshake that is refused by an HTTP answer a page learns nothing but the close code 1006.
"""

from collections.abc import Mapping
from typing import Final

from orchestrator.config.constants import SUBPROTOCOL
from orchestrator.errors import OrchestratorError
from orchestrator.middleware.exchange import Exchange
from orchestrator.websocket import closing
from orchestrator.websocket.events import own_frame, trouble
from orchestrator.websocket.wire import Wire

TOKEN: Final = "token"  # noqa: S105 # the name of a parameter
"""The parameter that has the token: pages alone have a reason to use it."""
CLOSE: Final = "close"
"""The parameter that asks for it by `1`."""


def asks_to_be_told(args: Mapping[str, str]) -> bool:
    """Tell whether a client wants to be refused by a close frame.

    Args:
        args: the parameters of its URL.
    """
    return TOKEN in args or args.get(CLOSE) == "1"


async def tell_refusal(wire: Wire, error: OrchestratorError, exchange: Exchange) -> None:
    """Open a socket, say why it is refused, and close it; a client that does not read is dropped in time.

    Args:
        wire: the socket, not yet accepted.
        error: why it is refused.
        exchange: the handshake.
    """
    correlation_id = exchange.correlation_id
    told = own_frame(
        "system.error",
        trouble(error, parent_id=None, correlation_id=correlation_id),
        tenant_id=exchange.tenant_id,
        correlation_id=correlation_id,
    )

    async def say() -> None:
        await wire.accept(SUBPROTOCOL if SUBPROTOCOL in wire.offered else None)
        await wire.send([told])
        await wire.close(error.close_code, error.type)

    await closing.within_deadline(wire, say)
    await closing.drain(wire)
