"""Quotas: what a tenant may have."""

from typing import Any

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import load_settings
from orchestrator.errors import QueueFull
from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.operations.tenant import Quota
from orchestrator.models.sessions.session import SessionCreate, SessionUpdate
from orchestrator.models.tasks.replay import ReplayRequest
from orchestrator.queue.worker.quota_watch import watch_quotas
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.script import load_scripts
from tests.queue.operations import open_desk, operator
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.services.test_what_stays import do_everything
from tests.services.workflows.house import open_house
from tests.support.credentials import ADMIN_KEY, keyed
from tests.support.eventually import eventually


async def own(stage: Stage, **limits: Any) -> None:
    await stage.redis.hset(stage.keys.tenant_config("acme"), mapping=limits)


def named(caught: pytest.ExceptionInfo[QueueFull]) -> list[str]:
    """The quotas that a refusal names."""
    assert (caught.value.code, caught.value.status) == ("ORCH_RATE_004", 429)
    return [fault.path for fault in caught.value.details]


async def test_a_tenant_has_so_many_open_sessions_and_no_more(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        await own(stage, sessions=2)
        first, _ = [await stage.session() for _ in range(2)]
        with pytest.raises(QueueFull) as caught:
            await stage.session()
        assert named(caught) == ["sessions"]
        await stage.session(context("globex"))
        await stage.sessions.close(context(), first.session_id)
        await stage.session()


async def test_a_refused_session_leaves_nothing_behind(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        await own(stage, sessions=1)
        await stage.session()
        before = await stage.redis.keys("orchestrator:session*")
        with pytest.raises(QueueFull):
            await stage.session()
        assert sorted(await stage.redis.keys("orchestrator:session*")) == sorted(before)


async def test_large_sessions_end_at_the_quota_of_bytes(redis_url: str) -> None:
    large = SessionCreate("echo", context={"notes": "x" * 100_000})
    async with open_stage(redis_url, consume=False) as stage:
        await own(stage, bytes=450_000)
        sessions = [(await stage.sessions.create(context(), large)).session for _ in range(4)]
        with pytest.raises(QueueFull) as caught:
            await stage.sessions.create(context(), large)
        assert named(caught) == ["bytes"]
        with pytest.raises(QueueFull):
            await stage.sessions.update(context(), sessions[0].session_id, SessionUpdate(context={"n": "y" * 200_000}))
        await stage.sessions.update(context(), sessions[0].session_id, SessionUpdate(context={}))
        await stage.sessions.create(context(), large)


async def test_messages_end_at_the_quota_of_bytes(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        await own(stage, bytes=350_000)
        await stage.say(session, "say " + "x" * 100_000)
        with pytest.raises(QueueFull) as caught:
            await stage.say(session, "say " + "x" * 100_000)
        assert named(caught) == ["bytes"]


async def test_replays_end_at_the_quota_of_bytes(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        failed = await stage.say(session, "fail")
        await stage.ended(session, failed)
        await own(stage, bytes=1000)
        replays = open_desk(stage).replays
        with pytest.raises(QueueFull) as caught:
            await replays.replay_own(operator(), failed.task_id, ReplayRequest())
        assert named(caught) == ["bytes"]
        await own(stage, bytes=10**9)
        replayed, _ = await replays.replay_own(operator(), failed.task_id, ReplayRequest())
        assert replayed.task_id != failed.task_id


async def test_a_tier_bounds_its_tenants(redis_url: str) -> None:
    tiers = load_settings(DEFAULTS, {"ORCH_JWT__SECRET": "s" * 32, "ORCH_TIERS__FREE__SESSIONS": "1"}).tiers
    async with open_stage(redis_url, evolve(SETTINGS, tiers=tiers), consume=False) as stage:
        await stage.session()
        await stage.session()
        await own(stage, tier="free")
        with pytest.raises(QueueFull):
            await stage.session()


async def test_a_tenant_shows_how_much_of_its_quotas_it_uses(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        await own(stage, sessions=5, concurrency=3)
        session = await stage.session()
        await stage.say(session, "say a")
        shown = (await open_desk(stage).tenants.get("acme")).quotas
        assert (shown["sessions"], shown["concurrency"]) == (Quota(1, 5), Quota(0, 3))
        assert (shown["queue_length"], shown["schedules"].used, shown["batches"].used) == (Quota(1, 100_000), 0, 0)
        assert shown["bytes"].used > 1000


async def test_operators_are_told_once_of_a_quota_that_is_nearly_reached(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        await own(stage, sessions=5)
        sessions = [await stage.session() for _ in range(3)]
        assert (await stage.stores.quotas.watch("acme", retain_seconds=3600)).nearly_reached == {}
        sessions.append(await stage.session())
        with capture_logs() as logs:
            await watch_quotas(stage.queue, "acme")
            await watch_quotas(stage.queue, "acme")
        assert [(one["event"], one["quota"], one["used"], one["limit"]) for one in logs] == [
            ("quota.nearly_reached", "sessions", 4, 5)
        ]
        for session in sessions[:2]:
            await stage.sessions.close(context(), session.session_id)
        assert (await stage.stores.quotas.watch("acme", retain_seconds=3600)).nearly_reached == {}
        for _ in range(2):
            await stage.session()
        assert list((await stage.stores.quotas.watch("acme", retain_seconds=3600)).nearly_reached) == ["sessions"]


async def test_what_a_tenant_leaves_behind_goes_in_bounded_steps(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        index = stage.keys.task_index("acme")
        lists = (index, stage.keys.ended_index("acme", "failed"))
        for name in lists:
            await stage.redis.gather([("ZADD", name, one + 1, f"t{one}") for one in range(4_500)])
            await stage.redis.zadd(name, {"fresh": now_ms()})
        left = []
        for _ in range(4):
            await stage.stores.quotas.watch("acme", retain_seconds=3600)
            left.append([await stage.redis.zcard(name) for name in lists])
        assert left == [[2_501] * 2, [501] * 2, [1] * 2, [1] * 2]
        assert await stage.redis.zrange(index, 0, -1) == [b"fresh"]


async def test_dead_letters_beyond_what_is_kept_are_counted_and_told_of(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        letters = stage.keys.dead_letters("acme")
        await stage.redis.gather([("XADD", letters, "*", "task_id", str(one)) for one in range(10_099)])
        session = await stage.session()
        with capture_logs() as logs:
            await stage.ended(session, await stage.say(session, "fail"))
            assert await stage.redis.xlen(letters) == 10_000
            await watch_quotas(stage.queue, "acme")
            # The sweep of the stage may have taken it up before, and be about to tell of it.
            [told] = await eventually(
                "it is told", lambda: [one for one in logs if one["event"] == "records.dropped"], bool
            )
        assert (told["kind"], told["count"]) == ("dead_letters", 100)
        assert (await stage.stores.quotas.watch("acme", retain_seconds=3600)).dropped == {}


async def test_a_user_of_redis_who_may_not_ask_for_its_memory_is_told_so_once_and_all_goes_on(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        rules = ("on", ">secret", "~*", "&*", "+@all", "-info", "-script")
        await redis.execute_command("ACL SETUSER", "limited", *rules)
    url = f"unix://limited:secret@{redis_url.removeprefix('unix://')}"
    with capture_logs() as logs:
        async with open_redis(url) as redis:
            await load_scripts(redis)
        async with open_stage(url) as stage:
            session = await stage.session()
            await stage.ended(session, await stage.say(session, "say a"))
            await stage.ended(session, await stage.say(session, "say b"))
            assert stage.consumer.alive
    told = [one["event"] for one in logs if "permissions" in one.get("error", "")]
    assert sorted(told) == ["quota.memory_unknown", "scripts.not_loaded"]


async def test_no_tenant_keeps_more_than_its_share_of_the_memory_of_redis(redis_url: str) -> None:
    large = SessionCreate("echo", context={"notes": "x" * 900_000})
    async with open_stage(redis_url, consume=False) as stage:
        await stage.redis.config_set("maxmemory", 40_000_000)
        try:
            await stage.stores.quotas.fit_memory(0.25)
            for _ in range(11):
                await stage.sessions.create(context(), large)
            with pytest.raises(QueueFull) as caught:
                await stage.sessions.create(context(), large)
            assert named(caught) == ["bytes"]
            await stage.sessions.create(context("globex"), large)
        finally:
            await stage.redis.config_set("maxmemory", 0)


async def test_the_bytes_of_a_tenant_are_what_its_keys_take_whatever_its_work(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.queue.worker.sweeper._EVERY", 0.1)
    async with open_house(redis_url) as house, open_redis(redis_url) as redis:
        await do_everything(house, redis)

        async def difference() -> float:
            shown = await house.http.get(f"{house.url}/internal/v1/tenant.get/acme", headers=keyed(ADMIN_KEY))
            used = int(shown.json()["data"]["quotas"]["bytes"]["used"])
            names = [name for name in await redis.keys("*") if b":acme" in name]
            sizes = await redis.gather([("MEMORY", "USAGE", name, "SAMPLES", 0) for name in names])
            taken = sum(size or 0 for size in sizes)
            assert taken > 50_000
            return abs(used - taken) / taken

        await eventually("the figure is true", difference, lambda found: found < 0.2, within=20)
