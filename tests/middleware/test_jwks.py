"""Tokens signed by an identity provider, whose keys come over HTTP."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from trio.testing import MockClock

from orchestrator.errors import ServiceUnreachable, Unauthorized
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.jwks import (
    FETCH_SECONDS,
    MAX_AGE_SECONDS,
    REFRESH_SECONDS,
    RENEW_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
)
from orchestrator.services.shared.revocations import Revocations
from tests.support.credentials import SECRET
from tests.support.identity_provider import PRIVATE, RSA, Provider, public, running, token


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


async def test_a_withdrawn_key_stops_counting_within_five_minutes_also_for_a_token_that_is_remembered(
    autojump_clock: MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "old"), public("ES256", "new"))
        withdrawn = token("RS256", "old", exp=time.time() + 3600)
        kept = token("ES256", "new", exp=time.time() + 3600)
        for one in (withdrawn, kept):
            await authenticator.principal_of(one, tenant=None)
        provider.publish(public("ES256", "new"))
        await trio.sleep(RENEW_SECONDS - 1)
        await authenticator.principal_of(withdrawn, tenant=None)
        assert provider.fetches == 1
        await trio.sleep(MAX_AGE_SECONDS - RENEW_SECONDS + 1)
        with pytest.raises(Unauthorized, match="does not publish"):
            await authenticator.principal_of(withdrawn, tenant=None)
        assert (await authenticator.principal_of(kept, tenant=None)).user_id == "ann"
        assert provider.fetches == 2
        provider.publish(public("RS256", "old"))
        await trio.sleep(MAX_AGE_SECONDS)
        await authenticator.principal_of(withdrawn, tenant=None)


async def test_a_key_of_the_same_name_with_other_numbers_does_not_vouch_for_remembered_tokens(
    autojump_clock: MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"))
        remembered = token("RS256", "rsa", exp=time.time() + 3600)
        await authenticator.principal_of(remembered, tenant=None)
        provider.publish({**public("RS256", "rsa"), "n": public_of(generate_rsa(65537, 2048))["n"]})
        await trio.sleep(MAX_AGE_SECONDS)
        with pytest.raises(Unauthorized):
            await authenticator.principal_of(remembered, tenant=None)


def public_of(key: Any) -> Any:
    return json.loads(RSAAlgorithm.to_jwk(key.public_key()))


async def test_the_last_keys_count_for_an_hour_while_the_provider_is_away(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"))
        remembered = token("RS256", "rsa", exp=time.time() + 7200)
        await authenticator.principal_of(remembered, tenant=None)
        provider.status = "500 Oops"
        await trio.sleep(STALE_SECONDS - 60)
        for _ in range(3):
            await authenticator.principal_of(remembered, tenant=None)
        assert provider.fetches == 2
        await trio.sleep(60)
        with pytest.raises(ServiceUnreachable):
            await authenticator.principal_of(remembered, tenant=None)
        provider.status = "200 OK"
        await trio.sleep(RETRY_SECONDS)
        assert (await authenticator.principal_of(remembered, tenant=None)).user_id == "ann"


async def test_while_one_request_renews_the_keys_the_others_go_on_with_them(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "rsa"))
        remembered = token("RS256", "rsa", exp=time.time() + 3600)
        await authenticator.principal_of(remembered, tenant=None)
        await trio.sleep(RENEW_SECONDS)
        provider.hangs, provider.asked = True, trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask, authenticator, remembered)
            await provider.asked.wait()
            began = trio.current_time()
            await authenticator.principal_of(remembered, tenant=None)
            await authenticator.principal_of(token("RS256", "rsa", sub="bob"), tenant=None)
            assert trio.current_time() == began
        assert trio.current_time() - began >= FETCH_SECONDS - 1


async def _ask(authenticator: Authenticator, token: str) -> None:
    await authenticator.principal_of(token, tenant=None)


async def test_what_is_open_by_a_withdrawn_key_ends_within_five_minutes_without_a_request(
    autojump_clock: MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, authenticator):
        provider.publish(public("RS256", "old"), public("EdDSA", "ed"))
        leaked = await authenticator.principal_of(token("RS256", "old"), tenant=None)
        kept = await authenticator.principal_of(token("EdDSA", "ed"), tenant=None)
        provider.publish(public("EdDSA", "ed"))
        revocations = Revocations(None, None)  # type: ignore[arg-type] # no Redis behind it
        revocations.consider(authenticator.withdrawn)
        revocations.renew_keys = authenticator.renew_keys
        ended = trio.Event()
        revocations.watch(lambda: ended.set() if revocations.covers(leaked) else None)
        async with trio.open_nursery() as nursery:
            await nursery.start(revocations.watch_keys)
            assert not revocations.covers(leaked)
            with trio.fail_after(MAX_AGE_SECONDS):
                await ended.wait()
            assert not revocations.covers(kept)
            nursery.cancel_scope.cancel()


async def test_a_key_that_only_another_process_has_seen_counts_until_this_one_has_asked(
    autojump_clock: MockClock,
) -> None:
    autojump_clock.autojump_threshold = 0.2  # real sockets join in
    async with running() as (provider, first):
        provider.publish(public("RS256", "old"))
        holder = await first.principal_of(token("RS256", "old"), tenant=None)
        second, third = Authenticator(provider.settings()), Authenticator(provider.settings())
        assert not second.withdrawn(holder)
        await second.renew_keys()
        assert not second.withdrawn(holder)
        assert not third.withdrawn(holder)
        provider.publish(public("EdDSA", "ed"))
        await trio.sleep(1)
        await third.renew_keys()
        assert third.withdrawn(holder)
