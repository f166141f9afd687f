"""Credentials that fail slow their address down.

After so many failures within a minute, an address waits before its next unknown credential is looked at: a second, and
twice as long after each further failure, a minute at most. Credentials that were good here a while ago pass meanwhile,
so that those who share the address with who guesses (NAT) go on; a new token has to wait for the pause to end.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from math import ceil
from typing import Final, TypeVar

import structlog
import trio

from orchestrator.errors import OrchestratorError, RateLimited
from orchestrator.middleware.address_limit import network_of
from orchestrator.models.common.envelope import FieldFault

V = TypeVar("V")

WINDOW_SECONDS: Final = 60.0
LONGEST_PAUSE: Final = 60.0
ADDRESSES: Final = 65_536
KNOWN: Final = 10_000
"""Good credentials that are remembered."""
SHARE_SECONDS: Final = 1.0
"""How long a refusal waits for the count of all processes."""
_log = structlog.get_logger("orchestrator.middleware.failed_credentials")


class FailedCredentials:
    """Counts failures by address.

    Args:
        allowed: failures in a minute that cost nothing; 0: any number.
        clock: seconds, monotonic.
    """

    def __init__(self, allowed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._paused: OrderedDict[str, float] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self.share: Callable[[str, float], Awaitable[int]] | None = None
        """Counts a failure in all processes, kept for so many seconds, and returns how many there were."""

    def check(self, address: str, credential: str | None) -> None:
        """Refuse to look at a credential from an address that has to wait.

        Raises:
            RateLimited: says how long.
        """
        if credential is None or not self._paused:
            return
        network = network_of(address)
        wait = self._paused.get(network, 0.0) - self._clock()
        if wait > 0 and _digest(credential) not in self._good:
            raise RateLimited(
                "Too many failed credentials from this address; wait before the next one.",
                details=[FieldFault("auth_failures", "this limit is reached")],
                retry_after_ms=max(1, ceil(wait * 1000)),
            )

    def passed(self, credential: str | None) -> None:
        """Remember a credential that was good."""
        if credential is None or not self._allowed:
            return
        digest = _digest(credential)
        self._good[digest] = None
        self._good.move_to_end(digest)
        if len(self._good) > KNOWN:
            self._good.popitem(last=False)

    async def failed(self, address: str, credential: str | None) -> None:
        """Count a credential that was not good; none at all is not counted, for it guesses nothing."""
        if credential is None or not self._allowed:
            return
        self._good.pop(_digest(credential), None)
        network, now = network_of(address), self._clock()
        count, until = self._failures.get(network, (0, 0.0))
        count = count + 1 if now < until else 1
        count = max(count, await self._shared(network))
        kept = WINDOW_SECONDS + _pause(count - self._allowed)
        _keep(self._failures, network, (count, now + kept))
        if count > self._allowed:
            _keep(self._paused, network, now + _pause(count - self._allowed))

    async def _shared(self, network: str) -> int:
        if self.share is None:
            return 0
        with trio.move_on_after(SHARE_SECONDS):
            try:
                return await self.share(network, WINDOW_SECONDS + LONGEST_PAUSE)
            except OrchestratorError as error:
                _log.warning("failures.not_shared", reason=error.message)
        return 0


def credential_of(headers: Mapping[str, str]) -> str | None:
    """Return the credential that a request carries in its headers; None: none."""
    for name in ("authorization", "x-api-key", "sec-websocket-protocol"):
        value = headers.get(name)
        if value and (name != "sec-websocket-protocol" or "bearer." in value):
            return f"{name}:{value}"
    return None


def _pause(beyond: int) -> float:
    return 0.0 if beyond <= 0 else min(LONGEST_PAUSE, 2.0 ** min(beyond - 1, 10))


def _digest(credential: str) -> bytes:
    return sha256(credential.encode("utf-8", "surrogatepass")).digest()


def _keep(table: "OrderedDict[str, V]", key: str, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > ADDRESSES:
        table.popitem(last=False)
