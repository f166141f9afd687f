"""A bound for the messages of a WebSocket."""

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits


class FrameLimit(Extension):
    """Ends a message that is too large with 1009.

    A message whose frames say that it will have more than twice the limit ends at once. A smaller one ends when the
    limit is passed: many clients read the close frame only after they have sent the whole message.

    To wsproto it is an extension that neither side offers, and that leaves every payload as it is.

    Args:
        limit: bytes of a message, at most.
    """

    name = "frame-limit"

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._counts = True

    def enabled(self) -> bool:
        """Tell that it is in force."""
        return True

    def offer(self) -> bool:
        """Offer nothing."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Look at the length of a frame; returns the reason to close, or that no reserved bit is meant."""
        self._counts = not opcode.iscontrol()
        if self._counts and opcode is not Opcode.CONTINUATION:
            self._received = 0
        if self._counts and self._received + payload_length > 2 * self._limit:
            return CloseReason.MESSAGE_TOO_BIG
        return RsvBits(rsv1=False, rsv2=False, rsv3=False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """Count what has come of a message; returns it, or the reason to close."""
        if self._counts:
            self._received += len(data)
            if self._received > self._limit:
                return CloseReason.MESSAGE_TOO_BIG
        return data
