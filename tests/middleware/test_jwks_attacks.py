"""Key sets that are to smuggle a key in, or to bring the service down: no token gets through, and none is 5xx."""

import gzip
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final

import jwt
import pytest
import trio
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from orchestrator.middleware import jwks
from tests.support.credentials import SECRET
from tests.support.eventually import eventually
from tests.support.house import House, Reply
from tests.support.identity_provider import Provider, public, running, token

LIST: Final = "/api/v1/session.list"
EVIL: Final = Ed25519PrivateKey.generate()
WEAK: Final = generate_rsa(65537, 1024)  # noqa: S505 - the weakness is what is tested
P384, K256 = generate_ec(SECP384R1()), generate_ec(SECP256K1())
GOOD: Final = public("RS256", "rsa")


def evil_key(**more: Any) -> dict[str, Any]:
    """A key of the attacker's own, as it would be taken if it were published honestly."""
    return {**json.loads(OKPAlgorithm.to_jwk(EVIL.public_key())), "kid": "evil", "use": "sig", **more}


def another_point() -> str:
    return str(json.loads(OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key()))["x"])


def evil_token(**headers: Any) -> str:
    return forged(EVIL, "EdDSA", **headers)


def forged(key: Any, algorithm: str, **headers: Any) -> str:
    """Sign with a key; the header may name another algorithm."""
    claims = {"sub": "ann", "tenant_id": "acme", "role": "admin", "exp": time.time() + 60}
    parts = ({"alg": algorithm, "kid": "evil", **headers}, claims)
    content = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    signature = jwt.get_algorithm_by_name(algorithm).sign(content.encode(), key)
    return f"{content}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": [GOOD, *keys]}).encode()


def b64(number: int, size: int) -> str:
    return urlsafe_b64encode(number.to_bytes(size, "big")).decode().rstrip("=")


@frozen
class Attack:
    """What the provider answers, and the token that is to get through by it."""

    body: bytes
    token: Callable[[], str] = evil_token
    status: str = "200 OK"
    headers: str = ""
    answers: Callable[[trio.SocketStream], Awaitable[None]] | None = None
    fetched: bool = True
    """Whether the token makes the service ask the provider again."""
    slow: bool = False
    """Whether the answer never ends, so that the service has to give it up."""


async def _drip(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for letter in document(evil_key()):
        await stream.send_all(bytes([letter]))
        await trio.sleep(0.05)


async def _hang_up(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + document(evil_key()))
    await stream.aclose()


async def _babble(stream: trio.SocketStream) -> None:
    await stream.send_all(b"\0\xff" * 500)
    await stream.aclose()


async def _endless_head(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 200_000)
    await stream.aclose()


BOMB: Final = gzip.compress(b" " * 20_000_000 + document(evil_key()))


ATTACKS: Final[dict[str, Attack]] = {
    "not JSON": Attack(b"keys"),
    "HTML": Attack(b"<html><script>" + document(evil_key()) + b"</script></html>"),
    "JSON cut off": Attack(document(evil_key())[:-2]),
    "JSON nested": Attack(b'{"keys": ' + b"[" * 100_000),
    "not UTF-8": Attack(b'{"keys": ["\xff"]}'),
    "a list": Attack(json.dumps([evil_key()]).encode()),
    "a bare key": Attack(json.dumps(evil_key()).encode()),
    "keys an object": Attack(json.dumps({"keys": {"evil": evil_key()}}).encode()),
    "no keys": Attack(b'{"keys": []}'),
    "too large": Attack(document(evil_key()) + b" " * 1_100_000),
    "compressed, though not asked for": Attack(
        gzip.compress(document(evil_key())), headers="Content-Encoding: gzip\r\n"
    ),
    "a bomb": Attack(BOMB, headers="Content-Encoding: gzip\r\n"),
    "a bomb in an unknown coding": Attack(BOMB, headers="Content-Encoding: x-odd\r\n"),
    "a redirect": Attack(document(evil_key()), status="302 Found", headers="Location: http://127.0.0.1:9/keys\r\n"),
    "moved for good": Attack(document(evil_key()), status="301 Moved", headers="Location: file:///etc/passwd\r\n"),
    "a failure with keys": Attack(document(evil_key()), status="500 Oops"),
    "refused with keys": Attack(document(evil_key()), status="403 Forbidden"),
    "partial content": Attack(document(evil_key()), status="206 Partial Content"),
    "dripping": Attack(b"", answers=_drip, slow=True),
    "hung up": Attack(b"", answers=_hang_up),
    "babble": Attack(b"", answers=_babble),
    "an endless head": Attack(b"", answers=_endless_head),
    "a shared secret": Attack(
        document({"kty": "oct", "kid": "evil", "k": "cGFzc3dvcmQ" * 4, "alg": "HS256"}),
        lambda: forged(b"password" * 4, "HS256"),
        fetched=False,
    ),
    "a shared secret without alg": Attack(
        document({"kty": "oct", "kid": "evil", "k": "cGFzc3dvcmQ" * 4}),
        lambda: forged(b"password" * 4, "HS256"),
        fetched=False,
    ),
    "a key for encryption": Attack(document(evil_key(use="enc"))),
    "a key of an odd use": Attack(document(evil_key(use=["sig"]))),
    "a key that may only sign": Attack(document(evil_key(key_ops=["sign"]))),
    "a key of odd operations": Attack(document(evil_key(key_ops="verify"))),
    "a private key": Attack(document({**json.loads(OKPAlgorithm.to_jwk(EVIL)), "kid": "evil"})),
    "an RSA key of 1024 bits": Attack(
        document({**json.loads(RSAAlgorithm.to_jwk(WEAK.public_key())), "kid": "evil"}), lambda: forged(WEAK, "RS256")
    ),
    "an RSA key with exponent 1": Attack(document({**GOOD, "kid": "evil", "e": "AQ"}), lambda: token("RS256", "evil")),
    "an RSA key with modulus 0": Attack(document({**GOOD, "kid": "evil", "n": "AA"}), lambda: token("RS256", "evil")),
    "an RSA key with a private exponent": Attack(
        document({**GOOD, "kid": "evil", "d": "AQAB"}), lambda: token("RS256", "evil")
    ),
    "ES256 on another curve": Attack(
        document({**json.loads(ECAlgorithm.to_jwk(P384.public_key())), "kid": "evil", "alg": "ES256"}),
        lambda: forged(P384, "ES384", alg="ES256"),
    ),
    "ES256 on the curve of coins": Attack(
        document({**json.loads(ECAlgorithm.to_jwk(K256.public_key())), "kid": "evil", "alg": "ES256"}),
        lambda: forged(K256, "ES256K", alg="ES256"),
    ),
    "a point that is not on the curve": Attack(
        document({"kty": "EC", "crv": "P-256", "kid": "evil", "x": b64(1, 32), "y": b64(1, 32)}),
        lambda: token("ES256", "evil"),
    ),
    "a point at infinity": Attack(
        document({"kty": "EC", "crv": "P-256", "kid": "evil", "x": b64(0, 32), "y": b64(0, 32)}),
        lambda: token("ES256", "evil"),
    ),
    "a key of another algorithm": Attack(document(evil_key(alg="ES256"))),
    "a key with alg none": Attack(document(evil_key(alg="none"))),
    "a key with alg HS256": Attack(
        document(evil_key(alg="HS256")), lambda: forged(evil_key()["x"].encode(), "HS256"), fetched=False
    ),
    "a key with alg a list": Attack(document(evil_key(alg=["EdDSA"]))),
    "a key of unknown type": Attack(document(evil_key(kty="AKP"))),
    "a key of type a list": Attack(document(evil_key(kty=["OKP"]))),
    "a key with fields of other types": Attack(document(evil_key(x=5), {"kty": 5}, 5, None, [], "key", {})),
    "a key with a number for a name": Attack(document(evil_key(kid=1)), lambda: evil_token(kid="1")),
    "a short point": Attack(document(evil_key(x="AA"))),
    "a key for agreement": Attack(document(evil_key(crv="X25519"))),
    "two keys of one name": Attack(document(evil_key(), evil_key(x=another_point()))),
    "another kind of key under the name of the good one": Attack(
        document(evil_key(kid="rsa")), lambda: evil_token(alg="RS256", kid="rsa"), fetched=False
    ),
}  # fmt: skip


async def ask(house: House, text: str) -> Reply:
    return await house.call("GET", LIST, headers={"Authorization": f"Bearer {text}"})


def perform(provider: Provider, attack: Attack) -> None:
    provider.body, provider.status = attack.body, attack.status
    provider.headers, provider.answers = attack.headers, attack.answers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch again at once."""
    monkeypatch.setattr(jwks, "REFRESH_SECONDS", 0.0)


@pytest.mark.parametrize("attack", [pytest.param(attack, id=name) for name, attack in ATTACKS.items()])
async def test_an_odd_key_set_lets_no_token_through(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (provider, _):
        provider.publish(GOOD)
        house = House(settings=provider.settings(secret=SECRET))
        good = token("RS256", "rsa")
        assert (await ask(house, good)).status == 200
        perform(provider, attack)
        forged = attack.token()
        with monkeypatch.context() as impatient:
            if attack.slow:
                impatient.setattr(jwks, "FETCH_SECONDS", 0.4)
            for _ in range(2):
                assert (await ask(house, forged)).fault == (401, "ORCH_AUTH_001", "")
            assert (provider.fetches > 1) == attack.fetched
            # What was good still is, and the next honest answer counts.
            assert (await ask(house, good)).status == 200
        perform(provider, Attack(b""))
        provider.publish(GOOD, public("ES256", "next"))
        assert (await ask(house, token("ES256", "next"))).status == 200
        assert (await ask(house, forged)).fault == (401, "ORCH_AUTH_001", "")


def test_there_are_more_than_thirty_attacks() -> None:
    assert len(ATTACKS) > 30


async def test_the_key_of_the_attacks_would_be_taken_if_it_were_published() -> None:
    async with running() as (provider, _):
        provider.publish(evil_key())
        assert (await ask(House(settings=provider.settings()), evil_token())).status == 200


async def test_a_flood_of_unknown_keys_is_one_fetch_in_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "REFRESH_SECONDS", 30.0)
    async with running() as (provider, _):
        provider.publish(GOOD)
        house = House(settings=provider.settings())
        assert (await ask(house, token("RS256", "rsa"))).status == 200
        replies: list[Reply] = []

        async def one(number: int) -> None:
            replies.append(await ask(house, evil_token(kid=f"k{number}")))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, number)
        assert {reply.fault for reply in replies} == {(401, "ORCH_AUTH_001", "")}
        assert provider.fetches == 1


async def test_a_provider_that_flaps_neither_opens_nor_closes_the_door() -> None:
    async with running() as (provider, _):
        provider.publish(GOOD)
        house = House(settings=provider.settings())
        good, honest = token("RS256", "rsa"), provider.body
        assert (await ask(house, good)).status == 200
        for turn in range(6):
            provider.status = "503 Away" if turn % 2 else "200 OK"
            provider.body = honest if turn % 3 else b"{}"
            assert (await ask(house, evil_token())).status == 401
            assert (await ask(house, good)).status == 200
        await eventually("every turn was a fetch", lambda: provider.fetches, lambda count: count == 7)
