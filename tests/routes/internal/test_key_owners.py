"""What an API key makes is its own: not that of a user who is called like it."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from orchestrator.domain.api_keys import KEY_OWNERS, owner_of_key
from orchestrator.models.common.ids import is_id
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer, keyed
from tests.support.served import Client, service

API, OPERATORS = "/api/v1/", "/internal/v1/"
KEY: Final = keyed(ADMIN_KEY)
NAMESAKE: Final = bearer(user="operator")
MADE: Final = {
    "batch": {"agent_id": "docs-guide", "items": [{"content": "a"}]},
    "schedule": {"cron": "0 8 * * *", "agent_id": "docs-guide", "content": "hi"},
}
KEYS: Final = Keys()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url) as client:
        yield client


async def make(client: Client, kind: str, headers: dict[str, str], prefix: str = OPERATORS) -> Any:
    reply = await client.call("POST", f"{prefix}{kind}.create", MADE[kind], headers)
    assert reply.status in {200, 201, 202}, reply.raw
    return reply


@pytest.mark.parametrize("kind", MADE)
async def test_a_user_called_like_a_key_sees_and_changes_nothing_that_the_key_has_made(
    client: Client, kind: str
) -> None:
    made = (await make(client, kind, KEY)).data
    assert made["user_id"] == "api-key.operator"
    name = made[f"{kind}_id"]
    ending = "cancel" if kind == "batch" else "delete"
    assert (await client.call("GET", f"{API}{kind}.get/{name}", headers=NAMESAKE)).status == 404
    assert (await client.call("DELETE", f"{API}{kind}.{ending}/{name}", headers=NAMESAKE)).status == 404
    assert (await client.call("GET", f"{API}{kind}.list", headers=NAMESAKE)).data["items"] == []
    assert (await client.call("GET", f"{OPERATORS}{kind}.get/{name}", headers=KEY)).data == made


@pytest.mark.parametrize("kind", MADE)
async def test_idempotency_keys_of_a_key_and_its_namesake_are_apart(client: Client, kind: str) -> None:
    again = {"Idempotency-Key": "k1"}
    first = await make(client, kind, KEY | again)
    other = await make(client, kind, NAMESAKE | again, API)
    assert other.data[f"{kind}_id"] != first.data[f"{kind}_id"]
    assert (await make(client, kind, KEY | again)).data[f"{kind}_id"] == first.data[f"{kind}_id"]


@pytest.mark.parametrize("kind", MADE)
async def test_what_a_key_made_under_its_bare_name_stays_readable(client: Client, kind: str) -> None:
    made = (await make(client, kind, KEY)).data
    name = made[f"{kind}_id"]
    record = KEYS.batch("acme", name) if kind == "batch" else KEYS.schedule("acme", name)
    await client.process.stores.redis.hset(record, mapping={"user_id": "operator"})
    assert (await client.call("GET", f"{OPERATORS}{kind}.get/{name}", headers=KEY)).data["user_id"] == "operator"
    listed = (await client.call("GET", f"{OPERATORS}{kind}.list", headers=KEY)).data["items"]
    assert [one[f"{kind}_id"] for one in listed] == [name]


async def test_no_token_is_of_an_owner_of_keys(client: Client) -> None:
    refused = await client.call("GET", f"{API}batch.list", headers=bearer(user="api-key.operator"))
    assert (refused.status, refused.error["code"]) == (401, "ORCH_AUTH_001")
    assert (await client.call("GET", f"{API}batch.list", headers=bearer(user="api-keys"))).status == 200


async def test_the_audit_trail_goes_on_naming_the_key(client: Client) -> None:
    await make(client, "schedule", KEY)
    trail = (await client.call("GET", f"{OPERATORS}audit.list", headers=KEY)).data["items"]
    assert [one["user_id"] for one in trail if one["action"] == "schedule.create"] == ["operator"]


async def test_the_idempotency_keys_of_a_service_are_apart_from_those_of_its_namesakes(client: Client) -> None:
    again = {"Idempotency-Key": "k1"}
    body = {"title": "Hello", "message": "There.", "user_ids": ["ann"]}
    sent = await client.call("POST", f"{OPERATORS}notification.send", body, keyed(INTERNAL_KEY) | again)
    assert sent.status in {200, 201, 202}
    assert (await make(client, "batch", bearer(user="query") | again, API)).status == 202


@pytest.mark.parametrize("length", [1, 56, 57, 64])
def test_an_owner_is_an_identifier_of_its_own_however_long_the_name(length: int) -> None:
    owners = {owner_of_key("a" * (length - 1) + last) for last in "ab"}
    assert len(owners) == 2
    assert all(is_id(owner) and owner.startswith(KEY_OWNERS) for owner in owners)
