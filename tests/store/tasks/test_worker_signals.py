"""What workers are told at once."""

from pathlib import Path

import trio

from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.tasks.worker_signals import MISSED, CancelAsked, WorkAdded, WorkerSignals
from tests.store.redis.gate import open_gate

KEYS = Keys()


async def test_work_cancellations_and_losses_are_told_and_rubbish_does_no_harm(redis_url: str, tmp_path: Path) -> None:
    async with (
        open_gate(redis_url, tmp_path) as gate,
        open_redis(redis_url) as redis,
        open_redis(gate.url, reconnect_wait=10) as reader,
        WorkerSignals(reader, KEYS).follow() as signals,
    ):
        with trio.fail_after(10):
            await redis.publish(KEYS.wake_channel, "acme")
            assert await anext(signals) == WorkAdded("acme")
            await redis.publish(KEYS.cancel_channel, "task-1")
            assert await anext(signals) == CancelAsked("task-1")
            for rubbish in (b"\xff", b"", b"two words", b"x" * 1000):
                await redis.publish(KEYS.wake_channel, rubbish)
                await redis.publish(KEYS.cancel_channel, rubbish)
            gate.cut()
            assert await anext(signals) is MISSED
            await redis.publish(KEYS.cancel_channel, "task-2")
            assert await anext(signals) == CancelAsked("task-2")
