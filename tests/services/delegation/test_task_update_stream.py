"""Updates of delegated work through a stream: none is lost, none is taken twice, and nothing stops the stream."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio

from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.services.delegation.task_update_stream import TaskUpdateReader
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.store.background_loops import BackgroundLoops, Loop
from orchestrator.store.downstream.task_update_stream import GROUP, TaskUpdateStream
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.scheduling.ready import ReadyTenants
from tests.store.desk import Desk, open_desk
from tests.support.audited import audited
from tests.support.eventually import eventually

STREAM = Keys().task_update_stream
NESTED = (
    b'{"type": "task.complete", "tenant_id": "acme", "task_id": "TASK", "metadata": {"callback_token": "t"}, '
    b'"payload": {"result": ' + b"[" * 300 + b"]" * 300 + b"}}"
)
"""It can be read, and could not be written again."""


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as desk:
        yield desk


@asynccontextmanager
async def reading(desk: Desk, node: str = "node-1") -> AsyncIterator[list[Mapping[bytes, bytes]]]:
    """Read the stream meanwhile; hands out what was dealt with."""
    keys, dealt = Keys(), list[Mapping[bytes, bytes]]()
    updates = TaskUpdateService(desk.delegations, ReadyTenants(desk.redis, keys), KNOWN_KINDS)
    service = TaskUpdateReader(updates, AuditTrail(desk.redis, keys))

    async def take(entry: Mapping[bytes, bytes]) -> bool:
        done = await service.take(entry)
        dealt.append(entry)
        return done

    async with trio.open_nursery() as nursery:
        stream = TaskUpdateStream(desk.redis, keys, node, take)
        await BackgroundLoops().start(nursery, Loop("task_updates", stream.run))
        yield dealt
        nursery.cancel_scope.cancel()


def news(action: str, task_id: str, payload: Any, token: str | None, tenant_id: str = "acme") -> bytes:
    return orjson.dumps(
        {
            "type": {"domain": "task", "action": action},
            "tenant_id": tenant_id,
            "metadata": {"task_id": task_id, "callback_token": token},
            "payload": payload,
        }
    )


async def tell(desk: Desk, message: bytes) -> None:
    await desk.redis.xadd(STREAM, {"message": message})


async def until_dealt(desk: Desk) -> None:
    await eventually("the stream is empty", lambda: desk.redis.xlen(STREAM), lambda length: length == 0)


async def test_a_service_may_answer_through_the_stream(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    async with reading(desk):
        await tell(desk, news("progress", claim.task_id, {"progress": 0.5}, "t"))
        await tell(desk, news("complete", claim.task_id, {"result": {"x": 1}}, "t"))
        await until_dealt(desk)
    again = await desk.claim()
    assert again.checkpoints()["answer:a"]["result"] == {"x": 1}
    assert again.record[b"progress"] == b'{"progress":0.5}'


async def test_unreadable_and_refused_updates_are_dropped_and_the_stream_goes_on(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    async with reading(desk):
        for damaged in (
            b"no JSON",
            b"[]",
            b"{}",
            news("nonsense", claim.task_id, {}, "t"),
            news("complete", "a:b", {"result": 1}, "t"),
            news("complete", claim.task_id, "nonsense", "t"),
            news("complete", claim.task_id, {"result": 1}, "a-guess"),
            news("complete", claim.task_id, {"result": 1}, None),
            news("complete", "none", {"result": 1}, "t"),
            NESTED.replace(b"TASK", claim.task_id.encode()),
        ):
            await tell(desk, damaged)
        await desk.redis.xadd(STREAM, {"nothing": "here"})
        await tell(desk, news("complete", claim.task_id, {"result": 1}, "t"))
        await until_dealt(desk)
    assert (await desk.claim()).checkpoints()["answer:a"]["result"] == 1
    assert [entry.action for entry in await audited(desk.redis)] == ["auth.refused"] * 2


async def test_updates_that_a_lost_process_has_read_go_to_another(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.downstream.task_update_stream.LOST_MS", 0)
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    await tell(desk, news("complete", claim.task_id, {"result": 1}, "t"))
    await desk.redis.xgroup_create(STREAM, GROUP, "0")
    assert await desk.redis.xreadgroup(GROUP, "lost", {STREAM: ">"})
    async with reading(desk, "node-2") as dealt:
        await until_dealt(desk)
        assert len(dealt) == 1
    assert "answer:a" in (await desk.claim()).checkpoints()


async def test_news_for_a_damaged_tenant_hold_up_no_other_and_come_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [await desk.begin(), await desk.begin("globex")]
    for claim in claims:
        await desk.register(claim)
        await desk.park(claim)
    hers, his = claims
    record = Keys().task("acme", hers.task_id)
    await desk.redis.rename(record, "kept")
    await desk.redis.set(record, "damaged")
    async with reading(desk) as dealt:
        await tell(desk, news("complete", hers.task_id, {"result": 1}, "t"))
        await tell(desk, news("complete", his.task_id, {"result": 2}, "t", "globex"))
        await eventually("both updates were taken", lambda: len(dealt), lambda count: count == 2)
    assert (await desk.claim("globex")).checkpoints()["answer:a"]["result"] == 2
    await desk.redis.rename("kept", record)
    monkeypatch.setattr("orchestrator.store.downstream.task_update_stream.LOST_MS", 0)
    async with reading(desk, "node-2"):
        await until_dealt(desk)
    assert (await desk.claim()).checkpoints()["answer:a"]["result"] == 1


async def test_a_stream_that_is_lost_while_it_is_read_is_begun_again(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    async with reading(desk):
        await desk.redis.delete(STREAM)
        await tell(desk, news("complete", claim.task_id, {"result": 1}, "t"))
        await until_dealt(desk)
    assert (await desk.claim()).checkpoints()["answer:a"]["result"] == 1


async def readers(desk: Desk) -> set[bytes]:
    return {reader[b"name"] for reader in await desk.redis.execute_command("XINFO", "CONSUMERS", STREAM, GROUP)}


async def test_consumers_of_gone_processes_are_removed_once_nothing_is_pending(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(desk, "node-1"):
        pass
    await tell(desk, b"{}")
    assert await desk.redis.xreadgroup(GROUP, "lost", {STREAM: ">"})
    async with reading(desk, "node-2"):
        assert await readers(desk) >= {b"node-1", b"lost"}
    monkeypatch.setattr("orchestrator.store.downstream.task_update_stream.GONE_MS", 0)
    async with reading(desk, "node-3"):
        assert b"lost" in await readers(desk)
        assert not await readers(desk) & {b"node-1", b"node-2"}


async def test_two_processes_share_the_stream(desk: Desk) -> None:
    claims = [await desk.begin() for _ in range(30)]
    for claim in claims:
        await desk.register(claim)
        await desk.park(claim)
    async with reading(desk, "node-1") as first, reading(desk, "node-2") as second:
        for claim in claims:
            await tell(desk, news("complete", claim.task_id, {"result": 1}, "t"))
        await until_dealt(desk)
    assert len(first) + len(second) == 30
    assert len((await desk.tasks.claim("acme", "node-1", 100)).claims) == 30
