"""The dialects that clients may choose by a subprotocol."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from orchestrator.config.constants import SUBPROTOCOL
from orchestrator.store.events.events import FrameWriter
from orchestrator.websocket.closing import INTERNAL
from orchestrator.websocket.dialects.additions import added
from orchestrator.websocket.dialects.domain_action import translated

DOMAIN_ACTION: Final = "domain-action"
FAILED: Final = 4500
"""The code of a close for a failure of the service, as the platform's documents have it."""


@frozen(eq=False)
class Dialect:
    """How the frames of a socket are written, and how it is closed."""

    subprotocol: str
    write: FrameWriter
    close_codes: Mapping[int, int] = field(factory=dict)
    """The documented codes, by the service's own where they differ."""

    def close_code(self, code: int) -> int:
        """Return the code by which a client of this dialect is told one of the service's own."""
        return self.close_codes.get(code, code)


DEFAULT: Final = Dialect(SUBPROTOCOL, added)
DIALECTS: Final = {one.subprotocol: one for one in (DEFAULT, Dialect(DOMAIN_ACTION, translated, {INTERNAL: FAILED}))}
"""Every dialect, by its subprotocol."""


def choose(offered: Iterable[str]) -> tuple[Dialect, str | None]:
    """Return the dialect of a socket, and the subprotocol that is selected: the first one of those that are offered."""
    for name in offered:
        if name in DIALECTS:
            return DIALECTS[name], name
    return DEFAULT, None
