"""Lists with a damaged member: it is shown with its damage, or left out and logged; the others are read as ever."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from attrs import define, field, frozen

from orchestrator.models.common.principal import Role
from orchestrator.models.tasks.task import Lane
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.served import Client, service

API, I1 = "/api/v1/", "/internal/v1/"
ADMIN: Final = {"X-API-Key": ADMIN_KEY}
OPERATOR: Final = bearer(user="olga", role=Role.OPERATOR, permissions=["task:read"])
NOT_TEXT: Final = b"\xff\xfe"
KEYS: Final = Keys()


@define
class House:
    """A service with two of everything: the first is damaged."""

    client: Client
    ids: dict[str, list[str]] = field(factory=dict)

    @property
    def redis(self) -> Any:
        return self.client.process.stores.redis

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        reply = await self.client.call("POST", path, body, headers)
        assert reply.status in {200, 201, 202}, reply.raw
        return reply.data

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        reply = await self.client.call("GET", path, headers=headers)
        assert reply.status == 200, (path, reply.raw)
        return reply.data


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with service(redis_url, max_body_bytes=2**20) as client:
        house = House(client)
        sessions = [await client.session() for _ in range(2)]
        said = [(await client.say(session)).data for session in sessions]
        question = {"cron": "0 8 * * *", "agent_id": "docs-guide", "content": "hi"}
        schedules = [(await house.post(f"{API}schedule.create", question))["schedule_id"] for _ in range(2)]
        items = {"agent_id": "docs-guide", "items": [{"content": "a"}, {"content": "b"}]}
        batches = [(await house.post(f"{API}batch.create", items))["batch_id"] for _ in range(2)]
        note = {"title": "Hello", "message": "There.", "user_ids": ["ann"]}
        notes = [
            (await house.post(f"{I1}notification.send", note, keyed()))["notification_id"] for _ in range(2)
        ]  # fmt: skip
        await client.session(bearer(tenant="globex"))
        letters = [
            (await house.redis.xadd(KEYS.dead_letters("acme"), {"task_id": one["task_id"], "attempts": "1"})).decode()
            for one in said
        ]
        house.ids = {
            "session": sessions, "task": [one["task_id"] for one in said], "schedule": schedules, "batch": batches,
            "notification": notes, "letter": letters, "tenant": ["acme", "globex"],
        }  # fmt: skip
        yield house


async def wrong_type(house: House, key: str) -> None:
    await house.redis.gather([("DEL", key), ("RPUSH", key, "damaged")])


async def no_fields(house: House, key: str) -> None:
    await house.redis.gather([("DEL", key), ("HSET", key, "odd", "1", "user_id", "ann")])


async def wrong_values(house: House, key: str) -> None:
    names = [name for name in await house.redis.hkeys(key) if name != b"user_id"]
    await house.redis.hset(key, mapping=dict.fromkeys(names, NOT_TEXT))


DAMAGES: Final = (wrong_type, no_fields, wrong_values)


@frozen
class Listing:
    """A list, the record that is damaged, and what of the members is left to see."""

    name: str
    key: Callable[[House], str]
    path: Callable[[House], str]
    shown: Callable[[House, Any], bool]
    headers: dict[str, str] | None = None


def _ids(data: Any, name: str) -> list[str]:
    return [one[name] for one in data["items"]]


LISTINGS: Final = (
    Listing(
        "session.list",
        lambda house: KEYS.session("acme", house.ids["session"][0]),
        lambda _: f"{API}session.list",
        lambda house, data: _ids(data, "session_id") == [house.ids["session"][1]],
    ),
    Listing(
        "task.list",
        lambda house: KEYS.task("acme", house.ids["task"][0]),
        lambda _: f"{API}task.list",
        lambda house, data: house.ids["task"][1] in _ids(data, "task_id"),
        OPERATOR,
    ),
    Listing(
        "schedule.list",
        lambda house: KEYS.schedule("acme", house.ids["schedule"][0]),
        lambda _: f"{API}schedule.list",
        lambda house, data: _ids(data, "schedule_id") == [house.ids["schedule"][1]],
    ),
    Listing(
        "batch.list",
        lambda house: KEYS.batch("acme", house.ids["batch"][0]),
        lambda _: f"{API}batch.list",
        lambda house, data: _ids(data, "batch_id") == [house.ids["batch"][1]],
    ),
    Listing(
        "batch.results",
        lambda house: KEYS.task("acme", f"{house.ids['batch'][0]}.0"),
        lambda house: f"{API}batch.results/{house.ids['batch'][0]}",
        lambda _, data: [one["index"] for one in data["items"]] == [0, 1],
    ),
    Listing(
        "dlq.list",
        lambda house: KEYS.task("acme", house.ids["task"][0]),
        lambda _: f"{I1}dlq.list/acme",
        lambda house, data: _ids(data, "id") == list(reversed(house.ids["letter"])),
        ADMIN,
    ),
    Listing(
        "tenant.export",
        lambda house: KEYS.task("acme", house.ids["task"][0]),
        lambda _: f"{I1}tenant.export/acme",
        lambda house, data: house.ids["task"][1] in _ids(data, "id"),
        ADMIN,
    ),
    Listing(
        "tenant.list",
        lambda _: KEYS.tenant_config("acme"),
        lambda _: f"{I1}tenant.list",
        lambda _, data: _ids(data, "tenant_id") == ["acme", "globex"] and data["items"][1]["damage"] is None,
        ADMIN,
    ),
    Listing(
        "queue.list",
        lambda _: KEYS.tenant_config("acme"),
        lambda _: f"{I1}queue.list",
        lambda _, data: _ids(data, "tenant_id") == ["acme", "globex"] and data["items"][1]["damage"] is None,
        ADMIN,
    ),
    Listing(
        "orchestrator.load",
        lambda _: KEYS.tenant_config("acme"),
        lambda _: f"{I1}orchestrator.load",
        lambda _, data: [one["tenant_id"] for one in data["tenants"]] == ["acme", "globex"],
        ADMIN,
    ),
    Listing(
        "notification.list",
        lambda _: f"{KEYS.user_notifications('acme', 'ann')}:acks",
        lambda _: f"{API}notification.list",
        lambda house, data: set(_ids(data, "notification_id")) <= set(house.ids["notification"]),
    ),
)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("listing", LISTINGS[:-1], ids=lambda listing: listing.name)
async def test_a_list_with_a_damaged_record_shows_the_others(
    house: House, listing: Listing, damage: Callable[[House, str], Any]
) -> None:
    key = listing.key(house)
    if "config" in key:
        await house.redis.hset(key, mapping={"concurrency": "3", "state": "active"})
    await damage(house, key)
    assert listing.shown(house, await house.get(listing.path(house), listing.headers))


ONE_EACH: Final = sorted(
    {
        "sessions", "cursors", "delayed", "task_index", "parked", "users", "dead_letters", "schedules", "batches",
        "batches_waiting", "tenant_config", "open_sessions", "kept", *Lane,
    }
)  # fmt: skip
"""Keys of which a tenant has one each."""


@pytest.mark.parametrize("name", ONE_EACH)
async def test_a_tenant_with_a_key_of_the_wrong_type_is_listed_with_its_damage(house: House, name: str) -> None:
    key = KEYS.lane("acme", Lane(name)) if name in set(Lane) else getattr(KEYS, name)("acme")
    await house.redis.gather([("DEL", key), ("SET", key, "damaged")])
    # What is asked of one tenant is counted against its limits, which its configuration has.
    of_one = () if name == "tenant_config" else ("tenant.get/acme", "queue.get/acme")
    for path in ("tenant.list", "queue.list", "orchestrator.load", *of_one):
        data = await house.get(I1 + path, ADMIN)
        found = {one["tenant_id"]: one for one in data.get("items") or data.get("tenants") or [data]}
        assert found["acme"]["damage"] is None or "WRONGTYPE" in found["acme"]["damage"], path
        if name in {"dead_letters", "tenant_config", "delayed", *Lane}:
            assert found["acme"]["damage"] is not None, path
        if path not in of_one:
            assert (found["globex"]["damage"], found["globex"]["state"]) == (None, "active"), path


async def test_a_notification_that_can_not_be_read_is_left_out(house: House) -> None:
    first, second = house.ids["notification"]
    bodies = f"{KEYS.user_notifications('acme', 'ann')}:bodies"
    for odd in (NOT_TEXT, b"{}", b'{"data": {"title": 5}}', b"[]"):
        await house.redis.hset(bodies, first, odd)
        assert _ids(await house.get(f"{API}notification.list"), "notification_id") == [second]
        assert _ids(await house.get(f"{I1}notification.pending/ann", keyed()), "notification_id") == [second]


async def test_a_letter_with_odd_fields_is_listed(house: House) -> None:
    stream = KEYS.dead_letters("acme")
    for fields in ({"odd": "1"}, {"task_id": NOT_TEXT, "attempts": "many", "at": "9" * 30, "error": NOT_TEXT}):
        await house.redis.xadd(stream, fields)
    letters = (await house.get(f"{I1}dlq.list/acme", ADMIN))["items"]
    assert [one["attempts"] for one in letters] == [0, 0, 1, 1]


async def test_processes_with_odd_heartbeats_and_loads_are_listed(house: House) -> None:
    await house.redis.zadd(KEYS.nodes, {"early": -1.5, "late": 1e300, "fine": 1.0, NOT_TEXT: 1.0})
    await house.redis.hset(KEYS.loads, mapping={"early": NOT_TEXT, "late": b"{}"})
    nodes = (await house.get(f"{I1}orchestrator.nodes", ADMIN))["items"]
    assert [one["node"] for one in nodes] == ["early", "fine", "late"]
    assert all(one["load"] is None for one in nodes)


async def test_notices_that_can_not_be_read_are_left_out_of_the_load(house: House) -> None:
    for fields in ({"notice": NOT_TEXT}, {"odd": "1"}, {"notice": b"[]"}):
        await house.redis.xadd(KEYS.notices, fields)
    assert (await house.get(f"{I1}orchestrator.load", ADMIN))["notices"] == []


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_timeline_of_a_request_shows_the_tasks_that_can_be_read(
    house: House, damage: Callable[[House, str], Any]
) -> None:
    first, second = house.ids["task"]
    correlation = (await house.redis.hget(KEYS.task("acme", second), "correlation_id")).decode()
    await house.redis.rpush(KEYS.trace("acme", correlation), first)
    await damage(house, KEYS.task("acme", first))
    steps = (await house.get(f"{API}task.trace/{correlation}"))["steps"]
    assert {one["task_id"] for one in steps} == {second}


@pytest.mark.parametrize("odd", [b"x", b"requests|chat", b"requests|chat|a|m"])
async def test_usage_leaves_out_what_it_can_not_read(house: House, odd: bytes) -> None:
    day = KEYS.usage("acme", f"{datetime.now(UTC):%Y%m%d}")
    await house.redis.hset(day, mapping={b"requests|chat|agent|large": b"2", odd: NOT_TEXT})
    operator = bearer(user="olga", role=Role.OPERATOR)
    assert (await house.get(f"{API}usage.get?group_by=agent", operator))["totals"]["requests"] == 2


async def test_a_history_leaves_out_what_it_can_not_read(house: House) -> None:
    session = house.ids["session"][0]
    await house.redis.xadd(KEYS.history("acme", session), {"odd": "1"})
    await house.redis.xadd(KEYS.history("acme", session), {"m": NOT_TEXT})
    [question] = (await house.get(f"{API}chat.history/{session}"))["items"]
    assert question["content"] == "hi"
