"""The body of an answer that comes piece by piece, as far as the connection that sends it has to know it."""

from abc import ABC

from quart.wrappers.response import ResponseBody

from orchestrator.middleware.exchange import Exchange


class StreamedBody(ResponseBody, ABC):
    """A body that has to be opened: entered, and then iterated to its end."""

    exchange: Exchange
    """The request that it answers."""

    @property
    def ended(self) -> bool:
        """Whether nothing follows the piece that was given last; False also where that is not known yet."""
        return False

    def at_hand(self) -> bytes:
        """Return what is there as soon as the body is entered, to be sent with the head; it is not given again."""
        return b""
