"""The audit trail in Redis: what is kept of whom, for how long, and what a flood of refusals can not do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator.models.operations.audit import ACTIONS, AuditKind, AuditOrder
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.audit_reader import AuditQuery, AuditReader
from orchestrator.store.operations.audit_sampling import PER_SCOPE, PER_SOURCE
from orchestrator.store.redis.connection import Redis, open_redis
from tests.support.eventually import eventually

DAY_MS = 86_400_000


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as connection:
        yield connection


def trail_of(redis: Redis, most: int = 100_000) -> tuple[AuditTrail, Clock, dict[str, int]]:
    clock, counts = Clock(), dict[str, int]()
    trail = AuditTrail(redis, Keys(), most, clock)

    def report(outcome: str, count: int) -> None:
        counts[outcome] = counts.get(outcome, 0) + count

    trail.report = report
    return trail, clock, counts


async def said(redis: Redis, tenant_id: str | None = None, **query: Any) -> list[str]:
    entries, _ = await AuditReader(redis, Keys()).page(AuditQuery(tenant_id, **query), after=None, limit=200)
    return [entry.detail for entry in entries]


async def test_each_tenant_and_each_kind_has_a_stream_of_its_own(redis: Redis) -> None:
    trail, _, _ = trail_of(redis)
    for tenant in ("acme", "globex"):
        await trail.record("session.close", outcome="ok", tenant_id=tenant, detail=f"closed {tenant}")
        await trail.record("tenant.paused", outcome="ok", tenant_id=tenant, detail=f"paused {tenant}")
        await trail.record("auth.refused", outcome="refused", tenant_id=tenant, detail=f"refused {tenant}")
    await trail.record("auth.failed", outcome="refused", detail="nobody's")
    await trail.record("token.revoke", outcome="ok", detail="all")
    of_acme = ["closed acme", "paused acme", "refused acme"]
    assert sorted(await said(redis, "acme")) == of_acme
    of_globex = [detail.replace("acme", "globex") for detail in of_acme]
    assert sorted(await said(redis)) == sorted([*of_acme, *of_globex, "nobody's", "all"])
    keys = Keys()
    assert await redis.xlen(keys.audit) == await redis.xlen(keys.audit_refusals) == 1
    assert await redis.xlen(keys.tenant_audit("acme", AuditKind.ADMINISTRATION)) == 1


async def test_the_newest_entries_of_tenants_are_copied_for_other_readers_and_push_nothing_out(redis: Redis) -> None:
    trail, keys = AuditTrail(redis, Keys(), copies=3), Keys()
    details = [f"closed {number}" for number in range(5)]

    async def copied() -> list[str]:
        rows = [fields for _, fields in await redis.xrange(keys.audit)]
        return [fields[b"detail"].decode() for fields in rows if b"copied" in fields]

    async with trio.open_nursery() as nursery:
        await nursery.start(trail.run)
        await trail.record("token.revoke", outcome="ok", detail="all")
        for detail in details:
            await trail.record("session.close", outcome="ok", tenant_id="acme", detail=detail)
        await eventually("they are copied", copied, lambda found: found == details[-3:])
        await trail.record("session.close", outcome="ok", tenant_id="globex", detail="the last")
        nursery.cancel_scope.cancel()
    assert await copied() == [*details[-2:], "the last"]
    assert await redis.xlen(keys.audit) == 4
    assert sorted(await said(redis)) == sorted(["the last", *details, "all"])
    assert await said(redis, "acme") == [*reversed(details)]
    assert await said(redis, "acme", order=AuditOrder.OLDEST) == details


async def test_copies_are_kept_for_their_time(redis: Redis) -> None:
    trail, keys = AuditTrail(redis, Keys(), copies=100), Keys()
    now = (await redis.time())[0] * 1000
    old = f"{now - 91 * DAY_MS}-0"
    await redis.xadd(keys.audit, {"detail": "old", "copied": "1"}, id=old)
    await redis.rpush(keys.audit_copies, old)
    await _copied(trail)
    [(entry_id, fields)] = await redis.xrange(keys.audit)
    assert (fields[b"detail"], await redis.lrange(keys.audit_copies, 0, -1)) == (b"new", [entry_id])
    assert await redis.pttl(keys.audit) > 364 * DAY_MS


async def test_a_copy_that_can_not_be_written_is_left_out(redis: Redis) -> None:
    trail = AuditTrail(redis, Keys(), copies=100)
    await redis.set(Keys().audit, "damaged")
    with capture_logs() as logs:
        await _copied(trail)
    assert [log["entries"] for log in logs if log["event"] == "audit.not_copied"] == [1]
    assert await redis.xlen(Keys().tenant_audit("acme", AuditKind.ACTIVITY)) == 1


async def _copied(trail: AuditTrail) -> None:
    """Record an entry, and end the loop that copies it."""
    async with trio.open_nursery() as nursery:
        await nursery.start(trail.run)
        await trail.record("session.close", outcome="ok", tenant_id="acme", detail="new")
        nursery.cancel_scope.cancel()


async def test_entries_of_older_versions_stay_readable_and_are_the_tenants_own(redis: Redis) -> None:
    for tenant in ("acme", "globex", ""):
        entry: dict[Any, Any] = {"action": "session.close", "outcome": "ok", "tenant_id": tenant, "detail": tenant}
        await redis.xadd(Keys().audit, entry)
    assert await said(redis, "acme") == ["acme"]
    assert await said(redis) == ["", "globex", "acme"]


@pytest.mark.parametrize(("action", "days"), [("session.close", 90), ("auth.failed", 90), ("tenant.paused", 365)])
async def test_entries_are_kept_for_their_time(redis: Redis, action: str, days: int) -> None:
    trail, _, _ = trail_of(redis)
    stream = trail.stream("acme", ACTIONS[action].kind)
    now = (await redis.time())[0] * 1000
    fields: dict[Any, Any] = {"action": action, "outcome": "ok", "tenant_id": "acme"}
    await redis.xadd(stream, fields | {"detail": "too old"}, id=f"{now - days * DAY_MS - 60_000}-0")
    await redis.xadd(stream, fields | {"detail": "old"}, id=f"{now - days * DAY_MS + 60_000}-0")
    assert await said(redis, "acme") == ["old"]
    await trail.record(action, outcome="ok", tenant_id="acme", detail="new")
    assert await said(redis, "acme") == ["new", "old"]
    assert await redis.xlen(stream) == 2
    assert days * DAY_MS - 60_000 < await redis.pttl(stream) <= days * DAY_MS


async def test_a_flood_of_refusals_is_sampled_and_counted_and_pushes_nothing_out(redis: Redis) -> None:
    trail, clock, counts = trail_of(redis, most=1000)
    await trail.record("tenant.paused", outcome="ok", tenant_id="acme", detail="before")
    for number in range(5000):
        await trail.record("auth.failed", outcome="refused", remote_address=f"192.0.2.{number % 50}", detail="bad")
    assert await redis.xlen(Keys().audit_refusals) == PER_SCOPE
    assert counts == {"written": PER_SCOPE + 1, "sampled": 5000 - PER_SCOPE}
    clock.now += 61
    await trail.flush(clock.now)
    assert (await said(redis))[0] == f"{5000 - PER_SCOPE} more, of 50 sources: bad"
    [told], _ = await AuditReader(redis, Keys()).page(AuditQuery(None), after=None, limit=1)
    assert (told.count, told.action, told.outcome) == (5000 - PER_SCOPE, "auth.failed", "refused")
    assert await said(redis, "acme") == ["before"]


async def test_one_source_does_not_hide_the_others(redis: Redis) -> None:
    trail, _, _ = trail_of(redis)
    for _ in range(1000):
        await trail.record("auth.failed", outcome="refused", remote_address="192.0.2.1", detail="loud")
    await trail.record("auth.failed", outcome="refused", remote_address="192.0.2.2", detail="quiet")
    assert await said(redis) == ["quiet", *["loud"] * PER_SOURCE]


async def test_what_was_counted_is_written_when_the_process_ends(redis: Redis) -> None:
    trail, _, _ = trail_of(redis)
    for _ in range(PER_SOURCE + 5):
        await trail.record("auth.failed", outcome="refused", detail="bad")
    async with trio.open_nursery() as nursery:
        await nursery.start(trail.run)
        nursery.cancel_scope.cancel()
    assert (await said(redis))[0] == "5 more, of 1 sources: bad"


async def test_uses_of_a_key_are_told_together(redis: Redis) -> None:
    trail, clock, _ = trail_of(redis)
    for _ in range(3):
        await trail.record("key.use", outcome="ok", user_id="ci", remote_address="192.0.2.1", detail="query.generate")
    assert await said(redis) == ["query.generate"]
    clock.now += 601
    await trail.flush(clock.now)
    assert await said(redis) == ["2 more, of 1 sources: query.generate", "query.generate"]
    assert await said(redis, "acme") == []


async def test_a_cut_is_told_and_counted(redis: Redis) -> None:
    trail, _, counts = trail_of(redis, most=100)
    for number in range(400):
        await trail.record("session.close", outcome="ok", tenant_id="acme", detail=str(number))
    kept = await redis.xlen(Keys().tenant_audit("acme", AuditKind.ACTIVITY))
    assert 100 <= kept < 300
    assert counts["cut"] == 400 - kept
    cuts = await said(redis, "acme", action="audit.cut")
    assert cuts == ["the oldest entries of 'activity' are removed before their time: there are more than 100"]


async def test_an_entry_that_can_not_be_written_is_in_the_log(redis: Redis) -> None:
    trail, _, counts = trail_of(redis)
    await redis.set(Keys().tenant_audit("acme", AuditKind.ADMINISTRATION), "damaged")
    with capture_logs() as logs:
        await trail.record("tenant.paused", outcome="ok", tenant_id="acme", user_id="ops", detail="was active")
    [event] = [log for log in logs if log["event"] == "audit.not_written"]
    assert (event["entry_action"], event["entry_user_id"], event["entry_tenant_id"]) == ("tenant.paused", "ops", "acme")
    assert "WRONGTYPE" in event["reason"]
    assert counts == {"logged": 1}


async def test_entries_are_written_where_redis_is_out_of_memory(redis: Redis) -> None:
    trail, _, _ = trail_of(redis)
    await redis.config_set("maxmemory", "1")
    try:
        await trail.record("tenant.paused", outcome="ok", tenant_id="acme", detail="was active")
        assert await redis.xlen(Keys().tenant_audit("acme", AuditKind.ADMINISTRATION)) == 1
    finally:
        await redis.config_set("maxmemory", "0")


@pytest.mark.parametrize("order", list(AuditOrder))
async def test_pages_join_to_the_whole_in_order(redis: Redis, order: AuditOrder) -> None:
    trail, _, _ = trail_of(redis)
    for number in range(60):
        tenant, action = f"t{number % 7}", ("session.close", "tenant.paused", "agent.assign")[number % 3]
        await trail.record(action, outcome="ok", tenant_id=tenant, detail=str(number))
    reader, query = AuditReader(redis, Keys()), AuditQuery(None, order=order)
    everything, end = await reader.page(query, after=None, limit=200)
    assert end is None
    assert sorted(int(entry.detail) for entry in everything) == list(range(60))
    moments = [(int(entry.id.split("-")[0]), int(entry.id.split("-")[1])) for entry in everything]
    assert moments == sorted(moments, reverse=order is AuditOrder.NEWEST)
    paged, place = [], None
    while True:
        entries, place = await reader.page(query, after=place, limit=7)
        paged += entries
        if order is AuditOrder.NEWEST and len(paged) == 14:
            await trail.record("session.close", outcome="ok", tenant_id="t1", detail="meanwhile")
        if place is None:
            break
    assert paged == everything


async def test_filters_bound_what_a_page_looks_at(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.operations.audit_reader.SCAN_BOUND", 10)
    trail, _, _ = trail_of(redis)
    await trail.record("session.create", outcome="ok", tenant_id="acme", user_id="ada", detail="found")
    for number in range(25):
        await trail.record("session.close", outcome="ok", tenant_id="acme", user_id="bob", detail=str(number))
    reader = AuditReader(redis, Keys())
    for query in (AuditQuery("acme", action="session.create"), AuditQuery("acme", actor="ada")):
        found, place, pages = [], None, 0
        while pages == 0 or place is not None:
            entries, place = await reader.page(query, after=place, limit=5)
            found += entries
            pages += 1
        assert ([entry.detail for entry in found], pages) == (["found"], 3)
    assert await said(redis, "acme", outcome="refused") == []


async def test_since_and_until_bound_what_is_shown(redis: Redis) -> None:
    now = (await redis.time())[0] * 1000
    stream = Keys().tenant_audit("acme", AuditKind.ACTIVITY)
    for ago in (5000, 4000, 3000):
        fields: dict[Any, Any] = {"action": "session.close", "outcome": "ok", "tenant_id": "acme", "detail": str(ago)}
        await redis.xadd(stream, fields, id=f"{now - ago}-0")
    assert await said(redis, "acme", since_ms=now - 4000) == ["3000", "4000"]
    assert await said(redis, "acme", until_ms=now - 4000) == ["5000"]
    assert await said(redis, "acme", since_ms=now - 4000, until_ms=now - 3000, order=AuditOrder.OLDEST) == ["4000"]
