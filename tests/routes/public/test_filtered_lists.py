"""Lists of sessions, batches and schedules, chosen by user and by period."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from attrs import frozen

from orchestrator.models.common.principal import Role
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.services.shared import paging
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.served import Client, service

API, OPERATORS = "/api/v1/", "/internal/v1/"
OPERATOR: Final = bearer(user="olga", role=Role.OPERATOR, permissions=["session:read", "workflow:read"])
USERS: Final = ("ann", "bob", "ann", "bob", "ann")
HOUR: Final = 3_600_000
START: Final = 1_767_225_600_000
KEYS: Final = Keys()
BATCH: Final = {"agent_id": "docs-guide", "items": [{"content": "a"}]}
SCHEDULE: Final = {"cron": "0 8 * * *", "agent_id": "docs-guide", "content": "hi"}


@frozen
class Kind:
    """What is listed, and how one is made."""

    route: str
    id_name: str
    create: str
    body: dict[str, Any]
    index: str

    def indexes(self, user: str) -> list[str]:
        return [self.index, KEYS.user_sessions("acme", user)] if self.id_name == "session_id" else [self.index]


SESSIONS: Final = Kind(
    "session.list", "session_id", "session.create", {"agent_id": "docs-guide"}, KEYS.sessions("acme")
)
BATCHES: Final = Kind("batch.list", "batch_id", "batch.create", BATCH, KEYS.batches("acme"))
SCHEDULES: Final = Kind("schedule.list", "schedule_id", "schedule.create", SCHEDULE, KEYS.schedules("acme"))


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url) as client:
        yield client


async def made(client: Client, kind: Kind) -> list[str]:
    """Make one for each of `USERS`, an hour apart, the first at `START`; returns their ids."""
    ids = []
    for number, user in enumerate(USERS):
        reply = await client.call("POST", API + kind.create, kind.body, bearer(user=user))
        ids.append(reply.data[kind.id_name])
        for index in kind.indexes(user):
            await client.process.stores.redis.zadd(index, {ids[-1]: START + number * HOUR})
    return ids


async def listed(client: Client, kind: Kind, query: str, headers: dict[str, str], prefix: str = API) -> list[str]:
    """Return the ids of all pages of two."""
    ids: list[str] = []
    cursor = ""
    while True:
        reply = await client.call("GET", f"{prefix}{kind.route}?limit=2&{query}{cursor}", headers=headers)
        assert reply.status == 200, reply.raw
        ids += [one[kind.id_name] for one in reply.data["items"]]
        following = reply.json["meta"]["pagination"]["next_cursor"]
        if following is None:
            return ids
        cursor = f"&cursor={following}"


@pytest.mark.parametrize("kind", [SESSIONS, BATCHES, SCHEDULES], ids=lambda kind: kind.route)
async def test_operators_choose_a_user_and_users_find_their_own_alone(client: Client, kind: Kind) -> None:
    first, of_bob, third, _, last = await made(client, kind)
    for headers, prefix in ((OPERATOR, API), (keyed(ADMIN_KEY), OPERATORS)):
        assert await listed(client, kind, "user_id=ann", headers, prefix) == [last, third, first]
        assert await listed(client, kind, "user_id=cid", headers, prefix) == []
        assert len(await listed(client, kind, "", headers, prefix)) == len(USERS)
    assert await listed(client, kind, "user_id=ann", bearer()) == [last, third, first]
    assert await listed(client, kind, "user_id=bob", bearer()) == []
    assert of_bob not in await listed(client, kind, "", bearer())


@pytest.mark.parametrize("kind", [SESSIONS, BATCHES], ids=lambda kind: kind.route)
async def test_a_period_takes_its_beginning_and_leaves_its_end_out(client: Client, kind: Kind) -> None:
    ids = await made(client, kind)
    since, until = to_timestamp(START + HOUR), to_timestamp(START + 4 * HOUR)
    assert await listed(client, kind, f"since={since}", OPERATOR) == ids[:0:-1]
    assert await listed(client, kind, f"until={until}", OPERATOR) == ids[3::-1]
    assert await listed(client, kind, f"since={since}&until={until}", OPERATOR) == ids[3:0:-1]
    assert await listed(client, kind, f"since={since}&until={until}&user_id=bob", OPERATOR) == [ids[3], ids[1]]
    assert await listed(client, kind, f"since={until}&until={since}", OPERATOR) == []
    for query in ("since=yesterday", "until=2026-01-01T00:00:00", "user_id=a%20b"):
        refused = await client.call("GET", f"{API}{kind.route}?{query}", headers=OPERATOR)
        assert (refused.status, refused.fault[2]) == (400, f"$.query.{query.partition('=')[0]}")


async def test_a_page_of_one_users_sessions_costs_no_look_at_those_of_others(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SCAN_BOUND", 1)
    ids = await made(client, SESSIONS)
    reply = await client.call("GET", f"{API}session.list?user_id=bob&limit=1", headers=OPERATOR)
    assert [one["session_id"] for one in reply.data["items"]] == [ids[3]]
