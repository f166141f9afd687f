"""What Redis keeps of a finished turn is bounded: it is counted, so it is the same on every machine."""

from pathlib import Path

from orchestrator.store.redis.connection import open_redis
from tests.benchmarks.kept_bytes import BOUND, SETTINGS, kept_of_turns
from tests.end_to_end.stack import open_stack


async def test_a_finished_turn_of_ten_words_keeps_no_more_than_its_bound(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack, open_redis(stack.redis.url) as redis:
        await stack.start(**SETTINGS)
        found = await kept_of_turns(stack, redis, 20, 4)
    assert sum(found.values()) <= BOUND, found
