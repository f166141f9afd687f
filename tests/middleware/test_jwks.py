"""Tokens signed by an identity provider, whose keys come over HTTP."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import jwt
import pytest
import trio
from attrs import define, evolve, field
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from trio.testing import MockClock

from orchestrator.config.settings import JwtSettings
from orchestrator.errors import ServiceUnreachable, Unauthorized
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.jwks import FETCH_SECONDS, REFRESH_SECONDS, RETRY_SECONDS
from tests.support.credentials import SECRET, SETTINGS

RSA = generate_rsa(65537, 2048)
EC = generate_private_key(SECP256R1())
ED = Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}
WRITERS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public(algorithm: str, kid: str, **more: Any) -> dict[str, Any]:
    written = json.loads(WRITERS[algorithm].to_jwk(PRIVATE[algorithm].public_key()))
    return {**written, "kid": kid, "use": "sig", **more}


def token(algorithm: str, kid: str | None, key: Any = None, **claims: Any) -> str:
    good = {"sub": "ann", "tenant_id": "acme", "exp": time.time() + 60, **claims}
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(good, key or PRIVATE[algorithm], algorithm=algorithm, headers=headers)


@define
class Provider:
    """An identity provider of one document, over bare HTTP."""

    body: bytes = b""
    hangs: bool = False
    status: str = "200 OK"
    fetches: int = 0
    url: str = ""
    asked: trio.Event = field(factory=trio.Event)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    async def serve(self, stream: trio.SocketStream) -> None:
        await stream.receive_some()
        self.fetches += 1
        self.asked.set()
        if self.hangs:
            await trio.sleep_forever()
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        await stream.send_all(head.encode() + self.body)
        await stream.aclose()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Provider, Authenticator]]:
    provider = Provider()
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), provider.serve, 0)
        provider.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/keys"
        yield provider, Authenticator(evolve(SETTINGS, jwt=JwtSettings(jwks_url=provider.url)))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("algorithm", list(PRIVATE))
async def test_a_token_by_a_published_key_is_good(algorithm: str) -> None:
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"), public("ES256", "ec"), public("EdDSA", "ed"))
        kid = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed"}[algorithm]
        assert (await authenticator.principal_of(token(algorithm, kid), tenant=None)).user_id == "ann"
        assert (await authenticator.principal_of(token(algorithm, None), tenant=None)).tenant_id == "acme"
        assert provider.fetches == 1


async def test_a_public_key_is_no_shared_secret() -> None:
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"), {"kty": "oct", "kid": "oct", "k": "c2VjcmV0", "alg": "HS256"})
        parts = token("RS256", "rsa").split(".")
        bad = [
            forged(pem),
            token("HS256", "oct", "s" * 32),
            ".".join([*parts[:2], ""]),
            token("RS256", "rsa", generate_rsa(65537, 2048)),
            token("ES256", "rsa"),
            token("HS256", "rsa", SECRET),
        ]
        for one in bad:
            with pytest.raises(Unauthorized):
                await authenticator.principal_of(one, tenant=None)


def forged(pem: bytes) -> str:
    """Sign by HMAC with a public key, as a forger would."""
    parts = (
        {"alg": "HS256", "kid": "rsa"},
        {"sub": "ann", "tenant_id": "acme", "exp": time.time() + 60},
    )
    text = b".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = urlsafe_b64encode(hmac.digest(pem, text, "sha256")).rstrip(b"=")
    return (text + b"." + signature).decode()


async def test_a_secret_does_not_open_where_only_published_keys_count() -> None:
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"))
        with pytest.raises(Unauthorized, match="algorithm"):
            await authenticator.principal_of(token("HS256", None, SECRET), tenant=None)
        assert provider.fetches == 0


async def test_an_unknown_key_is_asked_for_at_most_once_in_thirty_seconds(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "old"))
        await authenticator.principal_of(token("RS256", "old"), tenant=None)
        provider.publish(public("RS256", "old"), public("ES256", "new"))
        for _ in range(5):
            with pytest.raises(Unauthorized, match="does not publish"):
                await authenticator.principal_of(token("ES256", "new"), tenant=None)
        assert provider.fetches == 1
        await trio.sleep(REFRESH_SECONDS)
        await authenticator.principal_of(token("ES256", "new"), tenant=None)
        assert provider.fetches == 2


async def test_concurrent_requests_fetch_the_keys_once() -> None:
    async with running() as (provider, authenticator):
        provider.publish(public("EdDSA", "ed"))

        async def ask(number: int) -> None:
            await authenticator.principal_of(token("EdDSA", "ed", sub=f"user-{number}"), tenant=None)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
        assert provider.fetches == 1


async def test_a_request_cancelled_while_it_fetches_the_keys_does_not_fail_others() -> None:
    async with running() as (provider, authenticator):
        provider.publish(public("EdDSA", "ed"))
        provider.hangs = True
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as leaving:
                nursery.start_soon(_leave, provider, leaving)
                await authenticator.principal_of(token("EdDSA", "ed"), tenant=None)
        assert leaving.cancelled_caught
        provider.hangs = False
        assert (await authenticator.principal_of(token("EdDSA", "ed"), tenant=None)).user_id == "ann"


async def _leave(provider: Provider, scope: trio.CancelScope) -> None:
    await provider.asked.wait()
    scope.cancel()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("500 Oops", b""),
        ("302 Found", b""),
        ("200 OK", b"<html>"),
        ("200 OK", b"[]"),
        ("200 OK", b'{"keys": []}'),
        ("200 OK", b'{"keys": [{"kty": "RSA"}, 5, {"kty": "oct", "k": "c2VjcmV0"}]}'),
        ("200 OK", b" " * 1_100_000),
    ],
)
async def test_a_malformed_answer_of_the_provider_is_not_the_clients_fault(status: str, body: bytes) -> None:
    async with running() as (provider, authenticator):
        provider.status, provider.body = status, body
        with pytest.raises(ServiceUnreachable) as raised:
            await authenticator.principal_of(token("RS256", "rsa"), tenant=None)
        assert raised.value.retry_after_ms == RETRY_SECONDS * 1000


async def test_a_provider_that_is_away_or_hangs_is_given_up_in_time(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.hangs = True
        started = trio.current_time()
        with pytest.raises(ServiceUnreachable):
            await authenticator.principal_of(token("RS256", "rsa"), tenant=None)
        assert trio.current_time() - started < FETCH_SECONDS + 1
        with pytest.raises(ServiceUnreachable):
            await authenticator.principal_of(token("RS256", "rsa"), tenant=None)
        assert provider.fetches == 1
        provider.hangs = False
        provider.publish(public("RS256", "rsa"))
        await trio.sleep(RETRY_SECONDS)
        assert (await authenticator.principal_of(token("RS256", "rsa"), tenant=None)).user_id == "ann"


async def test_known_keys_go_on_counting_while_the_provider_is_away() -> None:
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"))
        await authenticator.principal_of(token("RS256", "rsa"), tenant=None)
        provider.status = "500 Oops"
        assert (await authenticator.principal_of(token("RS256", "rsa", sub="bob"), tenant=None)).user_id == "bob"
