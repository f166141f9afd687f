"""Revoked tokens: everywhere at once, for as long as they could be good, and through absences of Redis."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from attrs import evolve

from orchestrator.config.settings import JwtSettings
from orchestrator.domain.revocations import RevocationIndex
from orchestrator.models.common.principal import Principal, Role
from orchestrator.models.operations.revocation import Revocation
from tests.support.audited import audited
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, SECRET, SETTINGS, bearer
from tests.support.eventually import eventually
from tests.support.house import House
from tests.support.served import Client, service

LIST, REVOKE = "/api/v1/session.list", "/internal/v1/token.revoke"
KEY = {"X-API-Key": ADMIN_KEY}


def token(**claims: Any) -> dict[str, str]:
    good = {"sub": "ann", "tenant_id": "acme", "iat": time.time() - 5, "exp": time.time() + 60}
    known = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return {"Authorization": f"Bearer {jwt.encode(known, SECRET, algorithm='HS256')}"}


@asynccontextmanager
async def two_processes(redis_url: str) -> AsyncIterator[tuple[Client, Client]]:
    async with service(redis_url, consuming=True) as one, service(redis_url, consuming=True) as another:
        yield one, another


async def until_refused(client: Client, headers: dict[str, str]) -> None:
    async def status() -> int:
        return (await client.call("GET", LIST, headers=headers)).status

    await eventually("the token is refused", status, lambda found: found == 401)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"jti": "t1"}, {"t1"}),
        ({"user_id": "ann"}, {"t1", "t2", "elsewhere"}),
        ({"user_id": "ann", "tenant_id": "acme"}, {"t1", "t2"}),
        ({"tenant_id": "acme"}, {"t1", "t2", "bob"}),
    ],
)
async def test_what_was_revoked_is_refused_in_every_process(
    redis_url: str, body: dict[str, str], refused: set[str]
) -> None:
    tokens = {
        "t1": token(jti="t1"),
        "t2": token(jti="t2"),
        "bob": token(sub="bob"),
        "elsewhere": token(tenant_id="globex"),
    }
    async with two_processes(redis_url) as clients:
        for client in clients:
            for headers in tokens.values():
                assert (await client.call("GET", LIST, headers=headers)).status == 200
        answer = await clients[0].call("POST", REVOKE, body, KEY)
        assert (answer.status, set(answer.data)) == (200, {"revoked_at", "kept_until"})
        for client in clients:
            for name in refused:
                await until_refused(client, tokens[name])
            for name in tokens.keys() - refused:
                assert (await client.call("GET", LIST, headers=tokens[name])).status == 200
            fresh = token(iat=time.time() + 1)
            assert (await client.call("GET", LIST, headers=fresh)).status == 200


async def test_a_process_that_starts_later_knows_what_was_revoked(redis_url: str) -> None:
    async with service(redis_url) as client:
        assert (await client.call("POST", REVOKE, {"jti": "t1"}, KEY)).status == 200
    async with service(redis_url, consuming=True) as client:
        assert (await client.call("GET", LIST, headers=token(jti="t1"))).fault[:2] == (401, "ORCH_AUTH_001")


async def test_what_a_process_missed_is_read_again_after_a_lost_connection(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        services = client.process.services
        await services.revocations._store.add(jti="t1", user_id="", tenant_id="")
        services.revocations._index.replace([])
        await client.process.stores.redis.client_kill_filter(_type="pubsub")

        async def status() -> int:
            return (await client.call("GET", LIST, headers=token(jti="t1"))).status

        # The first reading of a start may come in between: it is what follows the lost connection that counts.
        await eventually("the token is refused", status, lambda found: found == 401)


async def test_revocations_are_kept_until_the_tokens_have_expired(redis_url: str) -> None:
    jwt_settings = evolve(SETTINGS.jwt, max_lifetime=60.0)
    async with service(redis_url, jwt=jwt_settings) as client:
        services, stores = client.process.services, client.process.stores
        for jti in ("t1", "t2"):
            await client.call("POST", REVOKE, {"jti": jti}, KEY)
        assert 50_000 < await stores.redis.pttl(stores.keys.revocations) <= 60_000
        await stores.redis.zadd(stores.keys.revocations, {b'{"jti":"old"}': 1})
        assert {one.jti for one in await services.revocations._store.load()} == {"t1", "t2"}
        await client.call("POST", REVOKE, {"user_id": "ann"}, KEY)
        assert await stores.redis.zcard(stores.keys.revocations) == 3


async def test_a_token_that_would_outlive_its_revocation_is_refused() -> None:
    house = House(settings=evolve(SETTINGS, jwt=JwtSettings(secret=SECRET, max_lifetime=60.0)))
    assert (await house.call("GET", LIST, headers=bearer(ttl=50))).status == 200
    for long in (bearer(ttl=120), token(iat=None, exp=time.time() + 120), token(iat=time.time() - 600)):
        assert (await house.call("GET", LIST, headers=long)).fault[:2] == (401, "ORCH_AUTH_001")


async def test_a_ticket_of_a_revoked_token_opens_nothing(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session(token(jti="t1"))
        ticket = (await client.call("POST", f"/api/v1/session.ticket/{session_id}", None, token(jti="t1"))).data
        await client.call("POST", REVOKE, {"jti": "t1"}, KEY)
        principal = await client.process.services.tickets.redeem(ticket["ticket"], session_id)
        assert client.process.services.revocations.covers(principal)


async def test_only_operators_revoke_and_it_is_written_down(redis_url: str) -> None:
    async with service(redis_url) as client:
        for headers, status in ((bearer(role=Role.ADMIN), 401), ({"X-API-Key": INTERNAL_KEY}, 403)):
            assert (await client.call("POST", REVOKE, {"jti": "t1"}, headers)).status == status
        assert (await client.call("POST", REVOKE, {"user_id": "ann", "tenant_id": "acme"}, KEY)).status == 200
        stores = client.process.stores
        [entry] = await audited(stores.redis, "token.revoke")
        assert (entry.tenant_id, entry.user_id, entry.outcome) == ("acme", "operator", "ok")
        assert entry.detail == "all of user 'ann'"


@pytest.mark.parametrize("body", [{}, {"jti": "t1", "user_id": "ann"}, {"jti": "t1", "tenant_id": "acme"}])
async def test_a_revocation_of_nothing_or_of_two_things_is_refused(redis_url: str, body: dict[str, str]) -> None:
    async with service(redis_url) as client:
        assert (await client.call("POST", REVOKE, body, KEY)).fault == (422, "ORCH_VAL_002", "$.data")


def test_a_token_without_moment_of_issue_counts_as_issued_before() -> None:
    index = RevocationIndex()
    ann = Principal("acme", "ann", Role.USER, frozenset(), 1e12)
    assert not index.covers(ann)
    index.add(Revocation("", "ann", "", 5_000, 9_000))
    index.add(Revocation("", "ann", "", 4_000, 9_000))
    assert [index.covers(evolve(ann, issued_at=moment)) for moment in (0.0, 4.9, 5.0)] == [True, True, False]
