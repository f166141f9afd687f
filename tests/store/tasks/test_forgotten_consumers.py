"""Processes that have gone: Redis knows them as consumers of lanes until they are forgotten."""

import pytest

from orchestrator.models.tasks.task import Lane
from orchestrator.store.tasks.task_leases import GROUP
from tests.store.desk import open_desk


async def test_a_gone_consumer_is_removed_once_nothing_is_pending(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(redis_url) as desk:
        assert await desk.tasks.forget_workers("acme") == 0, "there are no lanes yet"
        await desk.begin()
        lane = desk.tasks.keys.lane("acme", Lane.NORMAL)
        await desk.redis.execute_command("XGROUP", "CREATECONSUMER", lane, GROUP, "idle")
        assert await desk.tasks.forget_workers("acme") == 0, "neither was silent for long"
        monkeypatch.setattr("orchestrator.store.tasks.task_leases.GONE_MS", 0)
        assert await desk.tasks.forget_workers("acme") == 1
        (left,) = await desk.redis.xinfo_consumers(lane, GROUP)
        assert left["name"] == b"node-1", "it has a task in hand"
