"""Limits by the class of a request, beside those of tenant and user, and how near the nearest of them is."""

import pytest

from orchestrator.models.common.limits import RateClass, RateState
from orchestrator.models.common.principal import Role
from orchestrator.services.shared.rate_limiter import nearer
from tests.support.credentials import ADMIN_KEY, bearer
from tests.support.served import BODY, CREATE, service
from tests.support.streams import open_stream

LIST = "/api/v1/session.list"
KEY = {"X-API-Key": ADMIN_KEY}
PARAMETERS = {"agent_id": "echo", "query": "hi"}


async def test_a_class_of_a_tenant_has_a_limit_of_its_own_which_takes_effect_live(redis_url: str) -> None:
    async with service(redis_url, rate_burst=1.0) as client:
        await client.session()
        configure = "/internal/v1/tenant.configure/acme"
        assert (await client.call("PUT", configure, {"rate_read": 0.01}, KEY)).status == 200
        first = await client.call("GET", LIST)
        assert (first.status, first.headers["RateLimit"]) == (200, '"default";r=0;t=100')
        refused = await client.call("GET", LIST)
        assert refused.fault[:2] == (429, "ORCH_RATE_001")
        assert (await client.call("POST", CREATE, BODY)).status == 201
        assert (await client.call("GET", LIST, headers=bearer(tenant="globex"))).status == 200
        assert (await client.call("GET", LIST, headers=bearer(user="other"))).status == 429


async def test_a_tenant_sets_the_rate_of_its_users(redis_url: str) -> None:
    async with service(redis_url, rate_burst=1.0) as client:
        await client.session()
        assert (await client.call("PUT", "/internal/v1/tenant.configure/acme", {"rate_user": 0.01}, KEY)).status == 200
        assert (await client.call("GET", LIST, headers=bearer(user="bob"))).status == 200
        assert (await client.call("GET", LIST, headers=bearer(user="bob"))).status == 429
        assert (await client.call("POST", CREATE, BODY, bearer(user="bob"))).status == 429
        assert (await client.call("GET", LIST, headers=bearer(user="eve"))).status == 200


async def test_a_tenant_at_its_limit_can_still_be_administered_and_an_api_key_has_its_own(redis_url: str) -> None:
    async with service(redis_url, rate_tenant=0.01, rate_admin=0.02, rate_burst=100.0) as client:
        await client.session()
        assert (await client.call("GET", LIST)).status == 429
        assert (await client.call("POST", "/internal/v1/tenant.pause/acme", headers=KEY)).status == 200
        told = await client.call("GET", "/internal/v1/tenant.get/acme", headers=KEY)
        assert (told.status, told.headers["RateLimit-Policy"]) == (200, '"default";q=2;w=100')
        assert (await client.call("GET", "/internal/v1/tenant.get/acme", headers=KEY)).status == 429


async def test_the_headers_tell_of_the_limit_that_is_nearer(redis_url: str) -> None:
    async with service(redis_url, rate_tenant=10.0, rate_user=2.0, rate_burst=5.0) as client:
        answers = [await client.call("GET", LIST) for _ in range(2)]
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=10;w=5'}
        await client.session()
        assert (await client.call("PUT", "/internal/v1/tenant.configure/acme", {"rate": 1.0}, KEY)).status == 200
        assert (await client.call("GET", LIST)).headers["RateLimit-Policy"] == '"default";q=5;w=5'


def test_the_nearer_of_two_limits_has_fewer_left() -> None:
    few, many = RateState(10, 1, 1.0, 5.0), RateState(5, 4, 1.0, 5.0)
    assert nearer(few, many) is few
    assert nearer(many, few) is few
    assert nearer(None, many) is many
    assert nearer(None, None) is None


@pytest.mark.parametrize("tier", ["free", "advance", "professional"])
async def test_tiers_have_defaults(redis_url: str, tier: str) -> None:
    async with service(redis_url) as client:
        await client.session()
        await client.call("PUT", "/internal/v1/tenant.configure/acme", {"tier": tier}, KEY)
        limiter = client.process.services.class_limiter
        assert limiter is not None
        principal = await client.app.extensions["authenticator"].principal(
            {"authorization": bearer(role=Role.USER)["Authorization"]}, tenant=None
        )
        state = await limiter.check(principal, RateClass.STREAM)
        assert state is not None
        assert state.limit == 5 * {"free": 20, "advance": 50, "professional": 200}[tier]


async def test_what_is_sent_tells_of_the_nearest_limit_with_what_is_configured(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.services.shared.rate_limiter.UNBOUNDED_SECONDS", 0.0)
    async with service(redis_url, rate_tenant=100.0, rate_user=50.0, rate_burst=4.0) as client:
        session_id = await client.session()
        flow = {
            "plan": {"calls": {"a": {"service": "agent_execution", "operation": "execute", "parameters": PARAMETERS}}}
        }
        configure = "/internal/v1/tenant.configure/acme"
        for limits, policy in (
            ({}, '"default";q=200;w=4'),
            ({"rate_user": 10}, '"default";q=40;w=4'),
            ({"rate": 5}, '"default";q=20;w=4'),
            ({"rate_write": 2}, '"default";q=8;w=4'),
        ):
            assert (await client.call("PUT", configure, limits, KEY)).status == 200
            replies = [
                await client.say(session_id),
                await client.call("POST", "/api/v1/workflow.execute", flow),
                await client.call("POST", "/api/v1/session.create", {"agent_id": "docs-guide"}),
            ]
            assert [reply.status for reply in replies] == [202, 202, 201]
            assert [reply.headers["RateLimit-Policy"] for reply in replies] == [policy] * 3, limits
            body = {"session_id": session_id, "content": "hi", "mode": "stream"}
            async with open_stream(client.app, "POST", "/api/v1/chat.message", bearer(), body=body) as stream:
                assert stream.headers["ratelimit-policy"] == policy, limits


async def test_each_session_that_is_created_counts_in_what_is_told(redis_url: str) -> None:
    async with service(redis_url, rate_tenant=100.0, rate_user=0.01, rate_burst=400.0) as client:
        replies = [await client.call("POST", "/api/v1/session.create", {"agent_id": "docs-guide"}) for _ in range(2)]
        told = [reply.headers["RateLimit"].partition(";t=") for reply in replies]
        assert [left for left, _, _ in told] == ['"default";r=3', '"default";r=2']
        assert 99 <= int(told[0][2]) <= 100


@pytest.mark.parametrize("name", ["rate", "rate_user", "rate_write"])
async def test_a_refusal_names_the_limit_that_is_reached(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("orchestrator.services.shared.rate_limiter.UNBOUNDED_SECONDS", 0.0)
    async with service(redis_url, rate_burst=1.0) as client:
        session_id = await client.session()
        assert (await client.call("PUT", "/internal/v1/tenant.configure/acme", {name: 0.01}, KEY)).status == 200
        while (reply := await client.say(session_id)).status != 429:
            pass
        assert reply.fault == (429, "ORCH_RATE_001", name)
        assert (await client.call("POST", CREATE, BODY)).fault == (429, "ORCH_RATE_001", name)
        if name != "rate_write":
            assert (await client.call("GET", LIST)).fault == (429, "ORCH_RATE_001", name)
