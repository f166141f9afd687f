"""Forged tokens where an identity provider's keys count beside a shared secret: none opens anything, all are 401."""

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from jwt.utils import der_to_raw_signature, raw_to_der_signature

from tests.support.credentials import SECRET
from tests.support.house import House
from tests.support.identity_provider import EC, ED, RSA, public, running, token

LIST: Final = "/api/v1/session.list"
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""
FOREIGN: Final = generate_rsa(65537, 2048)
KIDS: Final = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed"}


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ann", "tenant_id": "acme", "exp": time.time() + 60, **more}


def segment(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def hashed(header: dict[str, Any], secret: bytes, algorithm: str = "sha256", **more: Any) -> str:
    """A token signed by HMAC, whatever its header says."""
    content = f"{segment(header)}.{segment(claims(**more))}"
    return f"{content}.{segment(hmac.digest(secret, content.encode(), algorithm))}"


def good(algorithm: str = "RS256") -> str:
    return token(algorithm, KIDS[algorithm])


def signature_of(text: str) -> bytes:
    encoded = text.rpartition(".")[2]
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def resigned(text: str, signature: bytes) -> str:
    return f"{text.rpartition('.')[0]}.{segment(signature)}"


def reheaded(algorithm: str, header: dict[str, Any]) -> str:
    """A good token under another header."""
    return ".".join([segment(header), *good(algorithm).split(".")[1:]])


def reclaimed(algorithm: str = "RS256", **more: Any) -> str:
    """A good token with other claims."""
    header, _, signature = good(algorithm).split(".")
    return f"{header}.{segment(claims(**more))}.{signature}"


def pem(*, der: bool = False) -> bytes:
    return RSA.public_key().public_bytes(Encoding.DER if der else Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def foreign(**headers: Any) -> str:
    """A token signed with a key of the forger's own."""
    return jwt.encode(claims(), FOREIGN, algorithm="RS256", headers=headers)


def own_jwk() -> dict[str, Any]:
    return dict(json.loads(RSAAlgorithm.to_jwk(FOREIGN.public_key())))


def flipped(algorithm: str) -> str:
    signature = bytearray(signature_of(good(algorithm)))
    signature[0] ^= 1
    return resigned(good(algorithm), bytes(signature))


def respelled() -> str:
    """A good token whose last letter has other unused bits."""
    text, letters = good(), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + letters[letters.index(text[-1]) + 1]


def in_der() -> str:
    text = good("ES256")
    return resigned(text, raw_to_der_signature(signature_of(text), EC.curve))


def own(algorithm: str, **more: Any) -> Callable[[], str]:
    """A token by a published key, with odd claims."""
    return lambda: token(algorithm, KIDS[algorithm], **more)


ATTACKS: Final[dict[str, Callable[[], str]]] = {
    # Confusion of algorithms
    "HS256 by the PEM of the public key": lambda: hashed({"alg": "HS256", "kid": "rsa"}, pem()),
    "HS256 by that PEM without its last line break": lambda: hashed({"alg": "HS256", "kid": "rsa"}, pem().strip()),
    "HS256 by the DER of the public key": lambda: hashed({"alg": "HS256", "kid": "rsa"}, pem(der=True)),
    "HS256 by the modulus": lambda: hashed({"alg": "HS256", "kid": "rsa"}, public("RS256", "rsa")["n"].encode()),
    "HS256 by the point": lambda: hashed({"alg": "HS256", "kid": "ec"}, public("ES256", "ec")["x"].encode()),
    "HS256 by nothing": lambda: hashed({"alg": "HS256"}, b""),
    "HS256 by a byte": lambda: hashed({"alg": "HS256"}, b"\0"),
    "HS384 by the secret": lambda: hashed({"alg": "HS384"}, SECRET.encode(), "sha384"),
    "HS512 by the secret": lambda: hashed({"alg": "HS512"}, SECRET.encode(), "sha512"),
    "RS256 by the secret": lambda: hashed({"alg": "RS256", "kid": "rsa"}, SECRET.encode()),
    "EdDSA by the secret": lambda: hashed({"alg": "EdDSA", "kid": "ed"}, SECRET.encode()),
    "ES256 under the name of RS256": lambda: reheaded("ES256", {"alg": "RS256", "kid": "rsa"}),
    "RS256 under the name of ES256": lambda: reheaded("RS256", {"alg": "ES256", "kid": "ec"}),
    "RS256 that names the key of ES256": lambda: token("RS256", "ec"),
    "PS256 by the published key": lambda: jwt.encode(claims(), RSA, algorithm="PS256", headers={"kid": "rsa"}),
    "PS256 under the name of RS256": lambda: ".".join(
        [segment({"alg": "RS256", "kid": "rsa"}), *jwt.encode(claims(), RSA, algorithm="PS256").split(".")[1:]]
    ),
    "RS384 by the published key": lambda: jwt.encode(claims(), RSA, algorithm="RS384", headers={"kid": "rsa"}),
    "RS512 by the published key": lambda: jwt.encode(claims(), RSA, algorithm="RS512", headers={"kid": "rsa"}),
    "ES384 by a curve of one's own": lambda: jwt.encode(claims(), generate_ec(SECP384R1()), algorithm="ES384"),
    "ES256K by a curve of one's own": lambda: jwt.encode(claims(), generate_ec(SECP256K1()), algorithm="ES256K"),
    "none with the name of a key": lambda: f"{segment({'alg': 'none', 'kid': 'rsa'})}.{segment(claims())}.",
    "NONE with a good signature": lambda: reheaded("RS256", {"alg": "NONE", "kid": "rsa"}),
    "an algorithm of 4000 letters": lambda: reheaded("RS256", {"alg": "RS256" * 800, "kid": "rsa"}),
    # Keys that come along
    "a key in the header": lambda: foreign(jwk=own_jwk()),
    "a key in the header under a known name": lambda: foreign(kid="rsa", jwk={**own_jwk(), "kid": "rsa"}),
    "the address of a key set": lambda: foreign(kid="rsa", jku="http://127.0.0.1:9/keys"),
    "the address of a certificate": lambda: foreign(kid="rsa", x5u="http://127.0.0.1:9/cert"),
    "a certificate in the header": lambda: foreign(kid="rsa", x5c=[segment(b"certificate")]),
    "a thumbprint in the header": lambda: foreign(kid="rsa", x5t="x" * 27),
    # Names of keys
    "a key by path": lambda: foreign(kid="../../../../dev/null"),
    "a key by absolute path": lambda: hashed({"alg": "HS256", "kid": "/proc/sys/kernel/ostype"}, b"Linux\n"),
    "a key by SQL": lambda: foreign(kid="rsa' UNION SELECT 'secret' --"),
    "a key by command": lambda: foreign(kid="rsa|/bin/true"),
    "a key of an empty name": lambda: foreign(kid=""),
    "a key with a null byte": lambda: foreign(kid="rsa\0"),
    "a key of 4000 letters": lambda: foreign(kid="k" * 4000),
    "a key of half a letter": lambda: foreign(kid="\ud800"),
    "a key by address": lambda: foreign(kid="http://127.0.0.1:9/keys"),
    "a key without a name": foreign,
    "a key whose name is null": lambda: reheaded("RS256", {"alg": "RS256", "kid": ["rsa"]}),
    # Signatures
    "a signature of a key that was never published": lambda: foreign(kid="rsa"),
    "a signature of another Ed25519 key": lambda: token("EdDSA", "ed", Ed25519PrivateKey.generate()),
    "no signature": lambda: resigned(good(), b""),
    "a signature of zeros": lambda: resigned(good(), bytes(256)),
    "ES256 with r and s zero": lambda: resigned(good("ES256"), bytes(64)),
    "ES256 with r and s of the order": lambda: resigned(good("ES256"), ORDER.to_bytes(32, "big") * 2),
    "ES256 in DER": in_der,
    "ES256 cut in half": lambda: resigned(good("ES256"), signature_of(good("ES256"))[:32]),
    "ES256 with a byte more": lambda: resigned(good("ES256"), signature_of(good("ES256")) + b"\0"),
    "RS256 with a bit flipped": lambda: flipped("RS256"),
    "EdDSA with a bit flipped": lambda: flipped("EdDSA"),
    "EdDSA of zeros": lambda: resigned(good("EdDSA"), bytes(64)),
    "another user under a good signature": lambda: reclaimed(sub="bob"),
    "an admin under a good signature": lambda: reclaimed("ES256", role="admin"),
    # Spelling
    "another spelling of the signature": respelled,
    "padding in the middle": lambda: good().replace(".", "=.", 1),
    "a letter that is none in the signature": lambda: good()[:-4] + "!" + good()[-4:],
    "a dot more at the front": lambda: "." + good(),
    "a dot more at the end": lambda: good() + ".",
    "a dot within the signature": lambda: good()[:-6] + "." + good()[-6:],
    "the letters of plain base64": lambda: f"{segment({'alg': 'HS256'})}.{segment(claims())}.+/+/",
    "a tab in front": lambda: "\t\t" + good() + "\tx",
    "two tokens": lambda: f"{good()},{good()}",
    "cut off in the claims": lambda: good()[:90],
    # Tokens in tokens
    "a token within a token": lambda: ".".join(
        [segment({"alg": "RS256", "kid": "rsa", "cty": "JWT"}), segment(good().encode()), segment(b"x" * 256)]
    ),
    "an encrypted token": lambda: ".".join([segment({"alg": "dir", "enc": "A128GCM"}), "", "AAAA", "AAAA", "AAAA"]),
    "an encrypted token with an RSA key": lambda: ".".join(
        [segment({"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "rsa"}), *["AAAA"] * 4]
    ),
    "a token in JSON": lambda: json.dumps({"payload": "e30", "signatures": [{"protected": "e30", "signature": ""}]}),
    # Claims, under good signatures of published keys
    "expired by RS256": own("RS256", exp=time.time() - 60),
    "expired by ES256": own("ES256", exp=time.time() - 60),
    "exp in milliseconds": own("EdDSA", exp=10**15),
    "a life of a year": lambda: token("EdDSA", "ed", iat=time.time(), exp=time.time() + 366 * 86_400),
    "issued tomorrow": lambda: token("RS256", "rsa", iat=time.time() + 86_400, exp=time.time() + 90_000),
    "a tenant with a colon": own("RS256", tenant_id="acme:s1"),
    "a tenant in braces": own("ES256", tenant_id="{acme}"),
    "tenants beside a good tenant": own("RS256", tenants=["a b"]),
    "a user with a path": own("RS256", sub="../ann"),
    "roles a string": own("EdDSA", roles="admin"),
    "roles empty": own("EdDSA", roles=[]),
    "roles all unknown": own("EdDSA", roles=["root", "billing"]),
    "roles nested": own("EdDSA", roles=[["admin"]]),
    "roles an object": own("EdDSA", roles={"admin": True}),
    "role unknown beside good roles": own("EdDSA", role="root", roles=["user"]),
    "a critical extension by a good key": lambda: jwt.encode(
        claims(), ED, algorithm="EdDSA", headers={"kid": "ed", "crit": ["exp"]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", [pytest.param(attack, id=name) for name, attack in ATTACKS.items()])
async def test_a_forged_token_is_401_and_leaves_nothing_behind(attack: Callable[[], str]) -> None:
    async with running() as (provider, _):
        provider.publish(*(public(algorithm, kid) for algorithm, kid in KIDS.items()))
        house = House(settings=provider.settings(secret=SECRET))
        call = partial(house.call, "GET", LIST)
        assert (await call(headers={"Authorization": f"Bearer {good()}"})).status == 200
        forged = attack()
        for _ in range(2):
            reply = await call(headers={"Authorization": f"Bearer {forged}".encode().decode("latin-1")})
            assert reply.fault == (401, "ORCH_AUTH_001", "")
        assert house.audit.actions == ["auth.failed", "auth.failed"]
        assert provider.fetches == 1
        assert len(house.app.extensions["authenticator"]._tokens._known) == 1


def test_there_are_more_than_sixty_attacks() -> None:
    assert len(ATTACKS) > 60


async def test_the_other_signature_of_a_curve_gives_no_other_token() -> None:
    """Of (r, s) also (r, -s) is good, for a reader of one of them: it is the same holder's, and revoked alike."""
    async with running() as (provider, authenticator):
        provider.publish(public("ES256", "ec"))
        text = token("ES256", "ec", jti="t1")
        r, s = decode_dss_signature(raw_to_der_signature(signature_of(text), EC.curve))
        other = resigned(text, der_to_raw_signature(encode_dss_signature(r, ORDER - s), EC.curve))
        assert other != text
        both = [await authenticator.principal_of(one, tenant=None) for one in (text, other)]
        assert both[0] == both[1]
        assert both[0].token_id == "t1"
