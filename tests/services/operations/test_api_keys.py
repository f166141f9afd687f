"""API keys: made, used, rotated and revoked, in all processes."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import trio

from orchestrator.middleware.auth import Authenticator
from orchestrator.models.operations.api_keys import Scope
from orchestrator.services.operations import api_keys
from orchestrator.store.credentials import api_keys as store
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, METRICS_KEY, SETTINGS
from tests.support.eventually import eventually
from tests.support.served import Client, service

KEY: Final = {"X-API-Key": ADMIN_KEY}
TENANTS, LOAD = "/internal/v1/tenant.list", "/internal/v1/orchestrator.load"
PENDING: Final = "/internal/v1/notification.pending/ann"


async def make(client: Client, name: str = "query", headers: Any = KEY, **more: Any) -> Any:
    reply = await client.call("POST", "/internal/v1/key.create", {"name": name, **more}, headers)
    assert reply.status == 201, reply.raw
    return reply.data


async def status(client: Client, key: str, path: str = PENDING, tenant: str = "acme") -> int:
    headers = {"X-API-Key": key} | ({"X-Tenant-ID": tenant} if tenant else {})
    return (await client.call("GET", path, headers=headers)).status


async def until(client: Client, key: str, wanted: int) -> None:
    async def now() -> int:
        return await status(client, key)

    await eventually(f"the key is answered {wanted}", now, lambda found: found == wanted)


@asynccontextmanager
async def two_processes(redis_url: str) -> AsyncIterator[tuple[Client, Client]]:
    async with service(redis_url, consuming=True) as one, service(redis_url, consuming=True) as another:
        yield one, another


async def test_a_key_that_is_made_in_one_process_is_good_in_all_until_it_is_revoked(redis_url: str) -> None:
    async with two_processes(redis_url) as (one, another):
        made = await make(one)
        assert re.fullmatch(r"nok_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", made["key"])
        assert await status(one, made["key"]) == 200
        await until(another, made["key"], 200)
        key_id = made["record"]["key_id"]
        revoked = await another.call("DELETE", f"/internal/v1/key.revoke/{key_id}", headers=KEY)
        assert (revoked.status, revoked.data["key_id"]) == (200, key_id)
        assert await status(another, made["key"]) == 401
        await until(one, made["key"], 401)
        again = await another.call("DELETE", f"/internal/v1/key.revoke/{key_id}", headers=KEY)
        assert again.fault == (404, "ORCH_NOTF_001", "")


async def test_a_revocation_is_noticed_within_two_seconds_although_its_announcement_is_lost(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_processes(redis_url) as (one, another):
        made = await make(one)
        await until(another, made["key"], 200)
        await one.process.stores.redis.delete(Keys().api_keys)
        with trio.fail_after(api_keys.RELOAD_SECONDS + 3):
            await until(another, made["key"], 401)


async def test_redis_has_no_key_and_no_answer_but_the_first_shows_one(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        made = await make(client)
        secret = made["key"].rpartition("_")[2]
        redis = client.process.stores.redis
        for name in await redis.keys("orchestrator:api_keys*"):
            assert secret.encode() not in b"".join((await redis.hgetall(name)).values())
        listed = await client.call("GET", "/internal/v1/key.list", headers=KEY)
        assert secret not in listed.raw.decode()
        assert listed.data["items"] == [made["record"]]
        entries = await redis.xrange(Keys().audit)
        assert secret not in str(entries)


@pytest.mark.parametrize(
    ("scopes", "opened"),
    [
        (["internal"], {PENDING: 200, TENANTS: 403, "/metrics": 401}),
        (["admin"], {PENDING: 200, TENANTS: 200, "/metrics": 200}),
        (["metrics"], {PENDING: 403, TENANTS: 403, "/metrics": 200}),
        (["internal", "metrics"], {PENDING: 200, TENANTS: 403, "/metrics": 200}),
    ],
)
async def test_a_key_opens_what_its_scopes_say(redis_url: str, scopes: list[str], opened: dict[str, int]) -> None:
    async with service(redis_url, consuming=True) as client:
        key = (await make(client, scopes=scopes))["key"]
        found = {path: await status(client, key, path) for path in opened}
        assert {path: code if path != "/metrics" or code == 200 else 401 for path, code in found.items()} == opened


async def test_a_key_of_one_tenant_is_good_for_it_alone(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        key = (await make(client, tenant_id="acme"))["key"]
        assert [await status(client, key, tenant=tenant) for tenant in ("acme", "", "globex")] == [200, 200, 403]
        admin = (await make(client, scopes=["admin"], tenant_id="acme"))["key"]
        assert await status(client, admin, "/internal/v1/queue.get/acme", tenant="") in {200, 404}
        for path in ("/internal/v1/queue.get/globex", TENANTS, "/internal/v1/key.list", LOAD):
            for tenant in ("acme", ""):
                assert await status(client, admin, path, tenant=tenant) in {403} or path == LOAD
        refused = await client.call("POST", "/internal/v1/token.revoke", {"user_id": "bob"}, {"X-API-Key": admin})
        assert refused.fault == (403, "ORCH_AUTH_003", "")
        wrong = await client.call(
            "POST", "/internal/v1/key.create", {"name": "p", "scopes": ["metrics"], "tenant_id": "acme"}, KEY
        )
        assert wrong.fault == (422, "ORCH_VAL_002", "$.data.tenant_id")


async def test_a_rotated_key_stays_good_for_its_grace_beside_the_new_one(redis_url: str) -> None:
    async with two_processes(redis_url) as (one, another):
        old = await make(one, scopes=["internal", "metrics"], tenant_id=None)
        route = f"/internal/v1/key.rotate/{old['record']['key_id']}"
        new = (await one.call("POST", route, {"grace_seconds": 1.5}, KEY)).data
        assert new["record"]["replaces"] == old["record"]["key_id"]
        assert new["record"]["scopes"] == old["record"]["scopes"]
        assert [await status(one, key["key"]) for key in (old, new)] == [200, 200]
        await until(another, new["key"], 200)
        for client in (one, another):
            await until(client, old["key"], 401)
            assert await status(client, new["key"]) == 200
        assert (await one.call("POST", route, {}, KEY)).fault == (404, "ORCH_NOTF_001", "")


async def test_a_key_with_an_end_is_refused_afterwards(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        made = await make(client, ttl_seconds=1)
        assert await status(client, made["key"]) == 200
        assert made["record"]["expires_at"] is not None
        await until(client, made["key"], 401)


async def test_what_is_done_with_keys_is_in_the_audit_trail(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "RELOAD_SECONDS", 0.05)
    async with service(redis_url, consuming=True) as client:
        made = await make(client, name="query")
        await status(client, made["key"])
        redis = client.process.stores.redis

        async def used() -> Any:
            listed = await client.call("GET", "/internal/v1/key.list", headers=KEY)
            return listed.data["items"][0]["last_used_at"]

        first = await eventually("the use is noted", used, lambda moment: moment is not None)
        await status(client, made["key"])
        await trio.sleep(0.3)
        assert await used() == first
        key_id = made["record"]["key_id"]
        await client.call("POST", f"/internal/v1/key.rotate/{key_id}", {}, KEY)
        await client.call("DELETE", f"/internal/v1/key.revoke/{key_id}", headers=KEY)
        streams = [await redis.xrange(name) for name in (Keys().audit, Keys().audit_keys)]
        actions = [fields[b"action"].decode() for entries in streams for _, fields in entries]
        assert {"key.create", "key.use", "key.rotate", "key.revoke"} <= set(actions)


@pytest.mark.parametrize(
    "presented",
    [
        "nok_",
        "nok__",
        "nok_x_y",
        "nok_{id}_",
        "nok_{id}",
        "{key}x",
        "x{key}",
        "{key} ",
        "NOK_{rest}",
        "nok_{other}_{end}",
    ],
)
async def test_what_is_nearly_a_key_is_none(redis_url: str, presented: str) -> None:
    async with service(redis_url, consuming=True) as client:
        made, other = await make(client), await make(client)
        key = made["key"]
        near = presented.format(
            id=made["record"]["key_id"], key=key, rest=key[4:], other=other["record"]["key_id"], end=key[21:]
        )
        find = client.process.services.api_keys.find
        assert find(near) is None
        assert find(key) is not None


async def test_a_body_that_is_wrong_makes_no_key(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        for body in (
            {},
            {"name": "a b"},
            {"name": "a", "scopes": []},
            {"name": "a", "scopes": ["root"]},
            {"name": "a", "tenant_id": "a:b"},
            {"name": "a", "ttl_seconds": 0},
        ):
            reply = await client.call("POST", "/internal/v1/key.create", body, KEY)
            assert reply.status in {400, 422}, body
        for key in (INTERNAL_KEY, METRICS_KEY):
            reply = await client.call("POST", "/internal/v1/key.create", {"name": "a"}, {"X-API-Key": key})
            assert reply.status == 403
        assert not await client.process.stores.redis.exists(Keys().api_keys)


async def test_there_are_only_so_many_keys(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_KEYS", 2)
    async with service(redis_url, consuming=True) as client:
        await make(client)
        await make(client)
        reply = await client.call("POST", "/internal/v1/key.create", {"name": "a"}, KEY)
        assert reply.status == 422
        listed = await client.call("GET", "/internal/v1/key.list?limit=1", headers=KEY)
        assert (len(listed.data["items"]), listed.json["meta"]["pagination"]["has_more"]) == (1, True)


async def test_a_record_that_cannot_be_read_hides_no_other(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        redis = client.process.stores.redis
        for number, rubbish in enumerate((b"{", b"[]", b"{}", b'{"key_id": 1}', b"\xff")):
            await redis.hset(Keys().api_keys, f"bad{number}", rubbish)
        made = await make(client)
        assert await status(client, made["key"]) == 200


def test_the_keys_of_the_settings_go_on_without_any_in_redis() -> None:
    authenticator = Authenticator(SETTINGS)
    with pytest.raises(Exception, match="not known"):
        authenticator.service({"x-api-key": "nok_0123456789abcdef_x", "x-tenant-id": "acme"}, Scope.INTERNAL)
