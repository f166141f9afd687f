"""Authentication by tokens and API keys."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from attrs import evolve

from orchestrator.config.settings import JwtSettings
from orchestrator.errors import StoreUnavailable, Unauthorized
from orchestrator.middleware.api_keys import Scope
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.jwt import Grant, TokenVerifier
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, METRICS_KEY, SECRET, SETTINGS, bearer
from tests.support.house import House

LIST = "/api/v1/session.list"
#: Tokens are made when the tests are collected, which may be long before they run.
DAY = 24 * 3600


def token(key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    good = {"sub": "ann", "tenant_id": "acme", "exp": time.time() + DAY}
    return jwt.encode({**good, **claims}, key, algorithm=algorithm)


def unsigned(algorithm: str) -> str:
    parts = ({"alg": algorithm, "typ": "JWT"}, {"sub": "ann", "tenant_id": "acme", "exp": time.time() + DAY})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer not-a-token"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": f"Bearer {unsigned('none')}"},
        {"Authorization": f"Bearer {unsigned('None')}"},
        {"Authorization": f"Bearer {unsigned('HS256')}"},
        {"Authorization": f"Bearer {token('another-secret-of-32-characters-xx')}"},
        {"Authorization": f"Bearer {token(exp=time.time() - 60)}"},
        {"Authorization": f"Bearer {token(nbf=time.time() + DAY)}"},
        {"Authorization": f"Bearer {token(exp=None)}"},
        {"Authorization": f"Bearer {token(exp='soon')}"},
        {"Authorization": f"Bearer {token(exp=float('inf'))}"},
        {"Authorization": f"Bearer {token(sub=None)}"},
        {"Authorization": f"Bearer {token(sub='a:b')}"},
        {"Authorization": f"Bearer {token(tenant_id=None)}"},
        {"Authorization": f"Bearer {token(tenant_id='a{b}')}"},
        {"Authorization": f"Bearer {token(tenants=[])}"},
        {"Authorization": f"Bearer {token(tenants='acme')}"},
        {"Authorization": f"Bearer {token(role='emperor')}"},
        {"Authorization": f"Bearer {token(role=['user'])}"},
        {"Authorization": f"Bearer {token(permissions='*')}"},
        {"Authorization": "Bearer " + "x" * 10_000},
        {"X-API-Key": INTERNAL_KEY},
    ],
)
async def test_a_bad_token_is_refused_and_audited(headers: dict[str, str]) -> None:
    house = House()
    reply = await house.call("GET", LIST, headers=headers)
    assert reply.fault == (401, "ORCH_AUTH_001", "")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert [entry["action"] for entry in house.audit.entries] == ["auth.failed"]
    assert not any(len(value) > 10 and value in str(house.audit.entries) for value in headers.values())


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_only_the_algorithm_that_was_agreed_on_is_taken(algorithm: str) -> None:
    long_secret = "s" * 64
    authenticator = Authenticator(evolve(SETTINGS, jwt=JwtSettings(secret=long_secret)))
    with pytest.raises(Exception, match="algorithm that is not taken"):
        await authenticator.principal_of(token(long_secret, algorithm), tenant=None)


async def test_issuer_and_audience_must_fit_where_they_are_set() -> None:
    settings = evolve(SETTINGS, jwt=JwtSettings(secret=SECRET, issuer="https://id.example", audience="orch"))
    authenticator = Authenticator(settings)
    good = create_token(SECRET, "acme", "ann", issuer="https://id.example", audience="orch")
    assert (await authenticator.principal_of(good, tenant=None)).user_id == "ann"
    for bad in (
        create_token(SECRET, "acme", "ann"),
        create_token(SECRET, "acme", "ann", issuer="https://id.example"),
        create_token(SECRET, "acme", "ann", issuer="https://evil.example", audience="orch"),
    ):
        with pytest.raises(Exception, match="The token"):
            await authenticator.principal_of(bad, tenant=None)


async def test_a_token_with_an_audience_is_good_where_none_is_set() -> None:
    authenticator = Authenticator(SETTINGS)
    named = create_token(SECRET, "acme", "ann", issuer="https://id.example", audience="other")
    assert (await authenticator.principal_of(named, tenant=None)).tenant_id == "acme"


async def test_a_clock_that_is_a_little_off_is_tolerated() -> None:
    authenticator = Authenticator(SETTINGS)
    late = token(exp=time.time() - 5, nbf=time.time() + 5)
    assert (await authenticator.principal_of(late, tenant=None)).user_id == "ann"


async def test_a_remembered_token_is_examined_again_only_when_it_has_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier = TokenVerifier(SETTINGS.jwt)
    examined = 0
    examine = verifier._examine

    async def count(text: str) -> Grant:
        nonlocal examined
        examined += 1
        return await examine(text)

    monkeypatch.setattr(verifier, "_examine", count)
    good = token()
    grants = [await verifier.verify(good) for _ in range(3)]
    assert (examined, grants[0] is grants[2]) == (1, True)
    later = time.time() + 2 * DAY
    monkeypatch.setattr("time.time", lambda: later)
    with pytest.raises(Unauthorized, match="expired"):
        await verifier.verify(good)
    assert examined == 2


async def test_the_memory_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.middleware.jwt.CACHE_TOKENS", 3)
    authenticator = Authenticator(SETTINGS)
    for number in range(6):
        await authenticator.principal_of(token(sub=f"user-{number}"), tenant=None)
    assert len(authenticator._tokens._known) == 3


async def test_a_role_gives_permissions_where_the_token_names_none() -> None:
    authenticator = Authenticator(SETTINGS)
    monitor = await authenticator.principal_of(token(role="monitor"), tenant=None)
    assert monitor.may("session:read")
    assert not monitor.may("session:write")
    narrow = await authenticator.principal_of(token(role="admin", permissions=["chat:read"]), tenant=None)
    assert not narrow.may("session:read")
    assert (narrow.role, narrow.may("chat:read")) == (Role.ADMIN, True)


@pytest.mark.parametrize(
    ("tenants", "header", "expected"),
    [
        ("acme", None, 200),
        ("acme", "acme", 200),
        ("acme", "globex", (403, "ORCH_AUTH_002", "")),
        ("acme", "a:b", (403, "ORCH_AUTH_002", "")),
        (["acme", "globex"], "globex", 200),
        (["acme", "globex"], None, (400, "ORCH_VAL_003", "$.headers.X-Tenant-ID")),
        (["acme", "globex"], "initech", (403, "ORCH_AUTH_002", "")),
    ],
)
async def test_the_tenant_must_be_one_that_the_token_carries(tenants: Any, header: str | None, expected: Any) -> None:
    headers = bearer(tenants) | ({"X-Tenant-ID": header} if header else {})
    reply = await House().call("GET", LIST, headers=headers)
    if expected == 200:
        assert (reply.status, reply.json["tenant_id"]) == (200, header or "acme")
    else:
        assert reply.fault == expected
        assert header is None or header not in reply.raw.decode()


async def test_a_refusal_stays_a_refusal_while_the_audit_trail_is_away() -> None:
    house = House()
    house.audit.error = StoreUnavailable("Redis is away.")
    assert (await house.call("GET", LIST, headers={})).status == 401


@pytest.mark.parametrize(
    ("key", "scope", "opens"),
    [
        (INTERNAL_KEY, Scope.INTERNAL, True),
        (INTERNAL_KEY, Scope.ADMIN, False),
        (INTERNAL_KEY, Scope.METRICS, False),
        (ADMIN_KEY, Scope.INTERNAL, True),
        (ADMIN_KEY, Scope.ADMIN, True),
        (ADMIN_KEY, Scope.METRICS, True),
        (METRICS_KEY, Scope.METRICS, True),
        (METRICS_KEY, Scope.INTERNAL, False),
        ("unknown", Scope.INTERNAL, False),
        ("", Scope.METRICS, False),
    ],
)
def test_an_api_key_opens_what_its_scope_says(key: str, scope: Scope, opens: bool) -> None:
    authenticator = Authenticator(SETTINGS)
    headers = {"x-api-key": key, "x-tenant-id": "acme"}
    if opens:
        assert authenticator.service(headers, scope).tenant_id == "acme"
    else:
        with pytest.raises(Exception, match="API"):
            authenticator.service(headers, scope)


@pytest.mark.parametrize("tenant", ["", "a:b"])
def test_an_api_key_needs_a_tenant_that_can_be_one(tenant: str) -> None:
    with pytest.raises(Exception, match="X-Tenant-ID"):
        Authenticator(SETTINGS).service({"x-api-key": INTERNAL_KEY, "x-tenant-id": tenant}, Scope.INTERNAL)


@pytest.mark.parametrize(
    ("named", "role", "may", "may_not"),
    [
        ({"role": "reader"}, Role.READER, "chat:read", "chat:write"),
        ({"roles": ["reader"]}, Role.READER, "workflow:read", "workflow:execute"),
        ({"roles": ["billing", "reader"]}, Role.READER, "workflow:read", "workflow:execute"),
        ({"roles": ["reader", "operator"]}, Role.OPERATOR, "session:admin", "metrics:read"),
        ({"role": "user", "roles": ["monitor"]}, Role.MONITOR, "metrics:read", "session:admin"),
        ({"role": "reader", "roles": []}, Role.READER, "chat:read", "chat:write"),
        ({"roles": ["monitor", "user"], "permissions": ["chat:read"]}, Role.MONITOR, "chat:read", "chat:write"),
        ({}, Role.USER, "chat:write", "session:admin"),
    ],
)
async def test_roles_add_up(named: dict[str, Any], role: Role, may: str, may_not: str) -> None:
    principal = await Authenticator(SETTINGS).principal_of(token(**named), tenant=None)
    assert (principal.role, principal.may(may), principal.may(may_not)) == (role, True, False)


@pytest.mark.parametrize("late", [0.4, 9.4])
async def test_one_leeway_counts_for_the_first_look_and_for_the_remembered_token(
    monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    expires_at = int(time.time()) + 60.5
    text = token(exp=expires_at)
    monkeypatch.setattr("time.time", lambda: expires_at + late)
    authenticator = Authenticator(SETTINGS)
    for _ in range(2):
        principal = await authenticator.principal_of(text, tenant=None)
    assert principal.expires_at == expires_at + SETTINGS.jwt.leeway
    monkeypatch.setattr("time.time", lambda: expires_at + SETTINGS.jwt.leeway)
    for one in (authenticator, Authenticator(SETTINGS)):
        with pytest.raises(Unauthorized, match="expired"):
            await one.principal_of(text, tenant=None)
