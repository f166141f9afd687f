"""Odd tokens: whatever stands in a header or in claims, the answer is 401."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any, Final

import pytest
from attrs import evolve

from orchestrator.config.settings import JwtSettings
from tests.support.credentials import SECRET, SETTINGS
from tests.support.house import House

LIST: Final = "/api/v1/session.list"
#: Tokens are made when the tests are collected, which may be long before they run.
SOON: Final = int(time.time()) + 24 * 3600
HEADER: Final = {"alg": "HS256", "typ": "JWT"}
CLAIMS: Final = {"sub": "ann", "tenant_id": "acme", "exp": SOON}
ADDRESSED: Final = {**CLAIMS, "aud": "orchestrator", "iss": "https://id.example"}


def segment(part: Any) -> str:
    """Encode a part of a token: bytes as they are, else JSON, where NaN and infinity are written as JavaScript does."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: Any = HEADER, claims: Any = CLAIMS) -> str:
    """Make a token whose signature is good."""
    content = f"{segment(header)}.{segment(claims)}"
    digest = hmac.new(SECRET.encode(), content.encode(), hashlib.sha256).digest()
    return f"{content}.{segment(digest)}"


def with_header(**fields: Any) -> str:
    return signed({**HEADER, **fields})


def with_claims(**fields: Any) -> str:
    return signed(claims={**CLAIMS, **fields})


def raw_claims(text: str) -> str:
    """A token with claims as they stand there; `good` ones are put in."""
    return signed(claims=text.replace("good", json.dumps(CLAIMS)[1:-1]).encode())


ODD: Final = {
    "alg a list": with_header(alg=["HS256"]),
    "alg an object": with_header(alg={"HS256": 1}),
    "alg a number": with_header(alg=256),
    "alg null": with_header(alg=None),
    "alg none": with_header(alg="none"),
    "alg nOnE": with_header(alg="nOnE"),
    "alg empty": with_header(alg=""),
    "alg in lower case": with_header(alg="hs256"),
    "alg with a space": with_header(alg="HS256 "),
    "alg of another kind": with_header(alg="RS256"),
    "alg unheard of": with_header(alg="HS\u0000256"),
    "alg missing": signed({"typ": "JWT"}),
    "kid a number": with_header(kid=1),
    "kid a list": with_header(kid=["a"]),
    "kid an object": with_header(kid={"a": 1}),
    "crit names exp": with_header(crit=["exp"], exp=1),
    "crit empty": with_header(crit=[]),
    "crit a string": with_header(crit="exp"),
    "crit unheard of": with_header(crit=["http://example.com/UNDEFINED"]),
    "b64 false": with_header(b64=False, crit=["b64"]),
    "b64 false, not critical": with_header(b64=False),
    "b64 a string": with_header(b64="false", crit=["b64"]),
    "header a list": signed([HEADER]),
    "header a string": signed("HS256"),
    "header null": signed(None),
    "header twice alg": signed(b'{"alg": "none", "alg": "HS256"}'),
    "header not UTF-8": signed(b'{"alg": "HS256", "a": "\xff"}'),
    "header not JSON": signed(b"{"),
    "header nested": signed(b'{"alg": "HS256", "a": ' + b"[" * 2000 + b"]" * 2000 + b"}"),
    "claims a list": signed(claims=[CLAIMS]),
    "claims a string": signed(claims="sub"),
    "claims null": signed(claims=None),
    "claims not JSON": signed(claims=b"{"),
    "claims empty": signed(claims=b""),
    "claims not UTF-8": signed(claims=b'{"sub": "\xff"}'),
    "claims nested": raw_claims('{good, "a": ' + "[" * 2000 + "]" * 2000 + "}"),
    "sub twice": raw_claims('{good, "sub": "bob"}'),
    "tenant twice": raw_claims('{good, "tenant_id": "acme"}'),
    "exp NaN": with_claims(exp=float("nan")),
    "exp infinite": with_claims(exp=float("inf")),
    "exp infinite below": with_claims(exp=float("-inf")),
    "exp beyond floats": raw_claims('{"sub": "ann", "tenant_id": "acme", "exp": 1e999}'),
    "exp of 400 digits": with_claims(exp=10**400),
    "exp of 5000 digits": raw_claims('{"sub": "ann", "tenant_id": "acme", "exp": ' + "9" * 5000 + "}"),
    "exp a string": with_claims(exp=str(SOON)),
    "exp a list": with_claims(exp=[SOON]),
    "exp an object": with_claims(exp={"a": SOON}),
    "exp true": with_claims(exp=True),
    "exp null": with_claims(exp=None),
    "exp negative": with_claims(exp=-SOON),
    "exp missing": signed(claims={"sub": "ann", "tenant_id": "acme"}),
    "iat a string": with_claims(iat=str(SOON - 100_000)),
    "iat a list": with_claims(iat=[1]),
    "iat NaN": with_claims(iat=float("nan")),
    "iat infinite below": with_claims(iat=float("-inf")),
    "iat of 400 digits below": with_claims(iat=-(10**400)),
    "iat true": with_claims(iat=True),
    "iat to come": with_claims(iat=SOON),
    "nbf a string": with_claims(nbf="1"),
    "nbf an object": with_claims(nbf={}),
    "nbf NaN": with_claims(nbf=float("nan")),
    "nbf infinite": with_claims(nbf=float("inf")),
    "nbf to come": with_claims(nbf=SOON),
    "jti a number": with_claims(jti=1),
    "jti a list": with_claims(jti=["a"]),
    "jti an object": with_claims(jti={}),
    "sub a number": with_claims(sub=1),
    "sub a list": with_claims(sub=["ann"]),
    "sub an object": with_claims(sub={}),
    "sub true": with_claims(sub=True),
    "sub empty": with_claims(sub=""),
    "sub a surrogate": with_claims(sub="\ud800"),
    "sub with a line break": with_claims(sub="ann\n"),
    "sub too long": with_claims(sub="a" * 2000),
    "role a number": with_claims(role=1),
    "role a list": with_claims(role=["admin"]),
    "role an object": with_claims(role={"admin": True}),
    "role null": with_claims(role=None),
    "role in upper case": with_claims(role="ADMIN"),
    "permissions a string": with_claims(permissions="*"),
    "permissions an object": with_claims(permissions={"*": True}),
    "permissions numbers": with_claims(permissions=[1]),
    "permissions nested": with_claims(permissions=[["*"]]),
    "permissions true": with_claims(permissions=True),
    "tenants a string": with_claims(tenants="acme"),
    "tenants an object": with_claims(tenants={"acme": 1}),
    "tenants numbers": with_claims(tenants=[1]),
    "tenants nested": with_claims(tenants=[["acme"]]),
    "tenants empty": with_claims(tenants=[]),
    "tenants null": with_claims(tenants=None),
    "tenants one odd": with_claims(tenants=["acme", "a{b}"]),
    "tenants too many": with_claims(tenants=[f"t{number}" for number in range(1001)]),
    "tenant a number": with_claims(tenant_id=1),
    "tenant a list": with_claims(tenant_id=["acme"]),
    "tenant empty": with_claims(tenant_id=""),
    "too long": with_claims(a="x" * 10_000),
    "four parts": signed() + ".x",
    "two parts": signed().rpartition(".")[0],
    "empty parts": "..",
    "no signature": signed().rpartition(".")[0] + ".",
    "padded": signed() + "==",
    "not ASCII": "\xff\xfe.\xff.\xff",
    "a space within": signed().replace(".", ". "),
}
MISADDRESSED: Final = {
    "aud missing": {"aud": None},
    "aud a number": {"aud": 1},
    "aud an object": {"aud": {"orchestrator": 1}},
    "aud numbers": {"aud": [1]},
    "aud nested": {"aud": [["orchestrator"]]},
    "aud empty": {"aud": []},
    "aud another": {"aud": ["another"]},
    "iss a number": {"iss": 1},
    "iss a list": {"iss": ["https://id.example"]},
    "iss an object": {"iss": {}},
    "iss null": {"iss": None},
}


async def test_the_tokens_that_these_are_made_from_are_good() -> None:
    assert (await House().call("GET", LIST, headers={"Authorization": f"Bearer {signed()}"})).status == 200


@pytest.mark.parametrize("token", [pytest.param(token, id=name) for name, token in ODD.items()])
async def test_an_odd_token_is_401(token: str) -> None:
    reply = await House().call("GET", LIST, headers={"Authorization": f"Bearer {token}"})
    assert reply.fault == (401, "ORCH_AUTH_001", "")


@pytest.mark.parametrize("claims", [pytest.param(claims, id=name) for name, claims in MISADDRESSED.items()])
async def test_a_token_that_is_oddly_addressed_is_401(claims: dict[str, Any]) -> None:
    jwt = JwtSettings(secret=SECRET, audience="orchestrator", issuer="https://id.example")
    house = House(settings=evolve(SETTINGS, jwt=jwt))
    good = signed(claims=ADDRESSED)
    assert (await house.call("GET", LIST, headers={"Authorization": f"Bearer {good}"})).status == 200
    odd = signed(claims={**ADDRESSED, **claims})
    reply = await house.call("GET", LIST, headers={"Authorization": f"Bearer {odd}"})
    assert reply.fault == (401, "ORCH_AUTH_001", "")
