"""Refusals that browsers can see: the socket opens, says why in a frame, and closes with a code.

Of a handshake that is refused by an HTTP answer a page learns nothing but the close code 1006.
"""

from collections.abc import Collection, Mapping
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.middleware.exchange import Exchange
from orchestrator.websocket import closing
from orchestrator.websocket.dialects.dialect import DOMAIN_ACTION, choose
from orchestrator.websocket.events import Place
from orchestrator.websocket.wire import Wire

TOKEN: Final = "token"  # noqa: S105 # the name of a parameter
"""The parameter that has the token: pages alone have a reason to use it."""
CLOSE: Final = "close"
"""The parameter that asks for it by `1`."""


def asks_to_be_told(args: Mapping[str, str], offered: Collection[str]) -> bool:
    """Tell whether a client wants to be refused by a close frame, or was written to documents that say so.

    Args:
        args: the parameters of its URL.
        offered: the subprotocols that it offers.
    """
    return TOKEN in args or args.get(CLOSE) == "1" or DOMAIN_ACTION in offered


async def tell_refusal(wire: Wire, error: OrchestratorError, exchange: Exchange, about: str) -> None:
    """Open a socket, say why it is refused, and close it; a client that does not read is dropped in time.

    Args:
        wire: the socket, not yet accepted.
        error: why it is refused.
        exchange: the handshake.
        about: the domain of what the socket would have followed, such as `session`.
    """
    dialect, selected = choose(wire.offered)
    told = Place(dialect.write, exchange.tenant_id).complaint(error, exchange.correlation_id, about=about)

    async def say() -> None:
        await wire.accept(selected)
        await wire.send([told])
        await wire.close(dialect.close_code(error.close_code), error.type)

    await closing.within_deadline(wire, say)
    await closing.drain(wire)
