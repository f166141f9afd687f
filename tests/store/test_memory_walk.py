"""The walk over all keys: what each tenant keeps, as Redis counts it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import pytest
import trio
from attrs import evolve, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.memory_walk import MemoryWalk, _tenant_of
from orchestrator.store.operations.quotas import QuotaStore
from orchestrator.store.redis.connection import Redis, open_redis

KEYS = Keys()
TEXT = "x" * 900


@frozen
class Measured:
    """The walk, and what the quotas say of its figures."""

    redis: Redis
    walk: MemoryWalk
    quotas: QuotaStore

    async def through(self, walk: MemoryWalk | None = None) -> Mapping[str, int]:
        """Walk to the end."""
        while True:
            step = await (walk or self.walk).go_on()
            if step.totals is not None:
                return step.totals

    async def measure(self) -> None:
        await self.walk.note("acme", (await self.through()).get("acme", 0))

    async def used(self) -> int:
        return (await self.quotas.read("acme"))["bytes"].used

    async def taken(self, pattern: str = "*acme*") -> int:
        """What the keys of the tenant take, by Redis' exact account."""
        names = await self.redis.keys(pattern)
        return sum(await self.redis.gather([("MEMORY", "USAGE", name, "SAMPLES", 0) for name in names]))


@pytest.fixture
async def measured(redis_url: str) -> AsyncIterator[Measured]:
    async with open_redis(redis_url) as redis:
        base = (redis, KEYS, 1000, LimitDefaults.of(AgentOrchestratorSettings()))
        yield Measured(redis, MemoryWalk(*base, pause_ms=0), QuotaStore(*base))


KINDS: Mapping[str, Sequence[tuple[str | int, ...]]] = {
    "sessions": [("HSET", KEYS.session("acme", f"s{n}"), "context", TEXT) for n in range(300)],
    "records of tasks": [("HSET", KEYS.task("acme", f"t{n}"), "message", TEXT, "result", TEXT) for n in range(300)],
    "events": [("XADD", KEYS.events("acme", f"s{n % 5}"), "*", "b", TEXT[: n * 3]) for n in range(300)],
    "histories": [("XADD", KEYS.history("acme", f"s{n % 5}"), "*", "m", TEXT) for n in range(300)],
    "notifications": [("HSET", KEYS.user_notifications("acme", "ann") + ":bodies", f"n{n}", TEXT) for n in range(300)],
    "dead letters": [("XADD", KEYS.dead_letters("acme"), "*", "message", TEXT) for n in range(300)],
    "cached answers": [("SET", KEYS.answer("acme", "llm", f"d{n}"), TEXT) for n in range(300)],
    "results of batches": [("HSET", KEYS.batch_results("acme", "b"), n, TEXT) for n in range(300)],
    "audited activity": [("XADD", KEYS.tenant_audit("acme", "activity"), "*", "entry", TEXT) for n in range(300)],
    "requests of services": [("XADD", KEYS.service_tasks("query", "acme"), "*", "m", TEXT) for n in range(300)],
    "small things": [("SET", KEYS.idempotency("acme", "ann", f"order:{n}"), "x") for n in range(3000)],
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_record_counts_within_a_fifth(measured: Measured, kind: str) -> None:
    await measured.redis.gather(KINDS[kind])
    assert await measured.used() == 0
    await measured.measure()
    assert await measured.used() == pytest.approx(await measured.taken(), rel=0.2)


async def test_all_kinds_together_count_and_what_goes_counts_no_more(measured: Measured) -> None:
    for commands in KINDS.values():
        await measured.redis.gather(commands)
    await measured.measure()
    whole = await measured.used()
    assert whole == pytest.approx(await measured.taken(), rel=0.2)
    await measured.redis.delete(KEYS.batch_results("acme", "b"), KEYS.dead_letters("acme"))
    await measured.measure()
    assert await measured.used() == pytest.approx(await measured.taken(), rel=0.2)
    assert await measured.used() < whole - 400_000


async def test_what_comes_between_two_walks_is_counted_on_top(measured: Measured) -> None:
    await measured.redis.gather(KINDS["events"])
    await measured.measure()
    before = await measured.used()
    await measured.redis.hincrby(KEYS.kept("acme"), "open", 5000)
    assert await measured.used() == before + 5000
    await measured.measure()
    assert await measured.used() == pytest.approx(before, rel=0.1)
    await measured.redis.hset(KEYS.kept("acme"), "open", 0)
    assert 0 <= await measured.used() < before


async def test_a_walk_in_many_steps_finds_the_same_for_every_tenant(measured: Measured) -> None:
    tenants = [f"tenant-{n}" for n in range(20)]
    for tenant in tenants:
        await measured.redis.gather([("SET", KEYS.task(tenant, f"t{n}"), TEXT) for n in range(50)])
    totals = await measured.through()
    assert set(totals) == set(tenants)
    assert await measured.through(evolve(measured.walk, keys_at_once=10)) == totals


async def test_of_two_processes_that_take_the_same_step_one_counts(measured: Measured) -> None:
    await measured.redis.gather(KINDS["records of tasks"])
    alone = await measured.through()
    found: list[Mapping[str, int]] = []

    async def walk(walk: MemoryWalk) -> None:
        while not found:
            step = await walk.go_on()
            if step.totals is not None:
                found.append(step.totals)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(partial(walk, evolve(measured.walk, keys_at_once=20)))
    assert found[0] == alone


async def test_processes_share_a_pace(measured: Measured) -> None:
    await measured.redis.gather(KINDS["small things"])
    slow = evolve(measured.walk, keys_at_once=10, pause_ms=60_000)
    assert (await slow.go_on()).totals is None
    cursor = await measured.redis.hget(KEYS.memory_walk, ":cursor")
    assert (await slow.go_on()).totals is None
    assert await measured.redis.hget(KEYS.memory_walk, ":cursor") == cursor
    assert await measured.redis.ttl(KEYS.memory_walk) > 0


async def test_a_user_of_redis_who_may_not_ask_is_told_so(measured: Measured, redis_url: str) -> None:
    await measured.redis.gather(KINDS["small things"])
    rules = ("on", ">secret", "~*", "&*", "+@all", "-memory")
    await measured.redis.execute_command("ACL SETUSER", "unsized", *rules)
    async with open_redis(f"unix://unsized:secret@{redis_url.removeprefix('unix://')}") as limited:
        refusal = (await evolve(measured.walk, redis=limited).go_on()).refusal
        assert refusal is not None
        assert "memory" in refusal


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        ("orchestrator:session:acme:s1", "acme"),
        ("orchestrator:sessions:{acme}:user:ann", "acme"),
        ("orchestrator:audit:tenant:acme:activity", "acme"),
        ("query:tasks:acme", "acme"),
        ("orchestrator:audit:tenants", None),
        ("orchestrator:address:10.0.0.1:failures", None),
        ("orchestrator:ready:clock", None),
        ("orchestrator:nodes:loads", None),
        ("orchestrator:generation", None),
        ("another:program:key", None),
        ("odd", None),
        ("", None),
    ],
)
def test_a_key_names_its_tenant(key: str, tenant: str | None) -> None:
    assert _tenant_of(key.encode()) == tenant


@pytest.mark.parametrize("field", [":cursor", ":moment", "acme", None])
async def test_a_damaged_walk_begins_anew(measured: Measured, field: str | None) -> None:
    await measured.redis.set(KEYS.task_index("acme"), TEXT)
    whole = await measured.through()
    for odd in (b"x", b"\xff", b"9" * 30):
        if field is None:
            await measured.redis.set(KEYS.memory_walk, odd)
        else:
            await measured.redis.hset(KEYS.memory_walk, field, odd)
        assert await measured.through() == whole
