"""What addresses do, counted for all processes together in Redis."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.errors import ScriptMissing
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_COUNT: Final = Script("limits/count_address")
_FAILURE: Final = Script("limits/note_failure")


@frozen
class AddressLimitStore:
    """Counts requests and failed credentials of addresses."""

    redis: Redis
    keys: Keys

    @on_shared_keys
    async def count(self, counts: Sequence[tuple[str, int]], rate: float, burst_seconds: float) -> list[int]:
        """Count requests that have passed.

        Args:
            counts: addresses, and how many requests of each.
            rate: requests a second that an address may make.
            burst_seconds: seconds' worth that may come at once.

        Returns:
            How far (ms) the arrival time of each is ahead of the clock.
        """
        requests = [(self.keys.address_limit(address), count) for address, count in counts]
        try:
            return await self.redis.gather(
                [("EVALSHA", _COUNT.digest, 1, key, rate, burst_seconds, count) for key, count in requests]
            )
        except ScriptMissing:
            return [await _COUNT(self.redis, keys=[key], args=[rate, burst_seconds, count]) for key, count in requests]

    @on_shared_keys
    async def note_failure(self, address: str, kept_ms: int) -> int:
        """Count a failed credential, and return how many there were."""
        failures: int = await _FAILURE(self.redis, keys=[self.keys.address_failures(address)], args=[kept_ms])
        return failures
