"""The limit of each address, before credentials are looked at: it keeps guessing and flooding away from the rest.

It is counted in this process, by the same algorithm as the other limits (GCRA), so it never costs a round trip.
Processes tell each other what came a few times a second (`services.shared.address_limits`).
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from orchestrator.errors import RateLimited
from orchestrator.models.common.envelope import FieldFault

ADDRESSES: Final = 65_536
"""Addresses that are remembered; beyond, the one that came longest ago is forgotten."""
_ROUNDING: Final = 1e-6
"""Seconds by which sums of costs may be off."""
_IPV6_BITS: Final = 64
"""What one client of IPv6 usually has for itself counts as one address."""


class AddressLimiter:
    """Counts requests by address.

    Args:
        rate: requests a second; 0: no limit.
        burst: seconds' worth of requests that may come at once.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst_seconds = rate, burst
        self._cost = 1 / rate if rate else 0.0
        self._burst = max(burst, self._cost)
        self._clock = clock
        self._arrivals: OrderedDict[str, float] = OrderedDict()
        self._counts: dict[str, int] = {}

    def check(self, address: str) -> None:
        """Count a request.

        Raises:
            RateLimited: too many came; says how long to wait.
        """
        if not self._cost:
            return
        address = network_of(address)
        now, arrivals = self._clock(), self._arrivals
        arrival = max(arrivals.get(address, now), now) + self._cost
        wait = arrival - self._burst - now
        if wait > _ROUNDING:
            raise RateLimited(
                "Too many requests from this address; wait before the next one.",
                details=[FieldFault("rate_address", "this limit is reached")],
                retry_after_ms=max(1, math.ceil(wait * 1000)),
            )
        if address in self._counts or len(self._counts) < ADDRESSES:
            self._counts[address] = self._counts.get(address, 0) + 1
        self._keep(address, arrival)

    def drain(self, least: float) -> list[tuple[str, int]]:
        """Return what came since the last call, of addresses with at least so many requests, most first."""
        counts, self._counts = self._counts, {}
        often = [(address, count) for address, count in counts.items() if count >= least]
        return sorted(often, key=lambda counted: counted[1], reverse=True)

    def ahead(self, address: str, seconds: float) -> None:
        """Take note of how far an address is ahead of its rate, in all processes."""
        now = self._clock()
        self._keep(address, max(self._arrivals.get(address, now), now + seconds))

    def _keep(self, address: str, arrival: float) -> None:
        arrivals = self._arrivals
        arrivals[address] = arrival
        arrivals.move_to_end(address)
        if len(arrivals) > ADDRESSES:
            arrivals.popitem(last=False)


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 a /64 network."""
    return _network_of(address) if ":" in address else address


@lru_cache(4096)
def _network_of(address: str) -> str:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped) if mapped else f"{int(parsed) >> (128 - _IPV6_BITS):x}/{_IPV6_BITS}"
