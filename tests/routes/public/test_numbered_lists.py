"""Lists of sessions by offset: pages agree with those by cursor, and the total with what the caller may see."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.models.common.principal import Role
from orchestrator.services.sessions import session_lists
from tests.support.credentials import bearer
from tests.support.served import Client, service

ADMIN = bearer(user="olga", role=Role.ADMIN)
USERS = ("ann", "bob", "ann", "bob", "ann")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url) as client:
        for user in USERS:
            await client.session(bearer(user=user))
        yield client


async def listed(client: Client, query: str = "", headers: Any = None) -> tuple[list[str], Any]:
    """Return the ids of a page, and what is said of it."""
    reply = await client.call("GET", f"/api/v1/session.list?{query}", headers=headers or bearer(user="ann"))
    assert reply.status == 200, reply.raw
    return [item["session_id"] for item in reply.data["items"]], reply.json["meta"]["pagination"]


async def test_the_total_is_what_the_caller_may_see(client: Client) -> None:
    assert [(await listed(client, headers=headers))[1]["total"] for headers in (None, ADMIN)] == [3, 5]
    assert (await listed(client, "user_id=bob&offset=0", ADMIN))[1]["total"] == 2
    assert (await listed(client, "user_id=bob&offset=0"))[1]["total"] == 0
    assert (await listed(client, "agent_id=docs-guide&offset=0"))[1]["total"] == 3
    assert (await listed(client, "agent_id=echo&offset=0"))[1]["total"] == 0


async def test_pages_by_offset_go_on_by_their_cursors(client: Client) -> None:
    whole, _ = await listed(client, "limit=200", ADMIN)
    for query in ("", "states=CREATED&"):
        page, told = await listed(client, f"{query}limit=2&offset=1", ADMIN)
        assert (page, told["offset"], told["total"], told["has_more"]) == (whole[1:3], 1, 5, True)
        following, _ = await listed(client, f"{query}limit=2&cursor={told['next_cursor']}", ADMIN)
        assert following == whole[3:5]
        beyond, told = await listed(client, f"{query}limit=2&offset=9", ADMIN)
        assert (beyond, told["total"], told["next_cursor"]) == ([], 5, None)


async def test_several_states_are_one_list(client: Client) -> None:
    (closed, *_), _ = await listed(client, "limit=1", ADMIN)
    await client.call("DELETE", f"/api/v1/session.close/{closed}", headers=ADMIN)
    assert (await listed(client, "states=TERMINATED,CREATED", ADMIN))[1]["total"] == 5
    assert await listed(client, "states=TERMINATED", ADMIN) == (
        [closed],
        {"limit": 20, "has_more": False, "next_cursor": None, "offset": 0, "total": 1},
    )
    assert (await listed(client, "states=TERMINATED&offset=0", bearer(user="eve")))[0] == []


async def test_what_takes_too_long_to_count_has_no_total(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_lists, "COUNT_BOUND", 2)
    monkeypatch.setattr(session_lists, "_CHUNK", 2)
    page, told = await listed(client, "states=CREATED&limit=1", ADMIN)
    assert (len(page), told["total"], told["has_more"]) == (1, None, True)
