"""The signing keys of an identity provider (RFC 7517): fetched, kept for some minutes, and fetched again.

In use they are fetched at least every five minutes, so a withdrawn key stops counting by then, also for tokens that
were verified with it before. While the provider is away the last keys go on to count for an hour, no longer.
"""

from hashlib import sha256
from typing import Any, Final

import httpx
import jwt
import orjson
import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from orchestrator.codec import parse_json
from orchestrator.errors import InvalidBody, ServiceUnreachable, Unauthorized

ALGORITHMS: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""The asymmetric algorithms that are taken, each with the key type it belongs to (RFC 7518, RFC 8037)."""

FETCH_SECONDS: Final = 5.0
"""Deadline of a fetch."""
WAIT_SECONDS: Final = 6.0
"""Deadline of a request that waits for a fetch, its own or another's."""
REFRESH_SECONDS: Final = 30.0
"""Least time between two fetches for the sake of an unknown key, or after one that failed."""
RETRY_SECONDS: Final = 2.0
"""Least time between two fetches while there are no keys at all."""
RENEW_SECONDS: Final = 240.0
"""Keys older than this are fetched again by one request, while the others go on with them."""
MAX_AGE_SECONDS: Final = 300.0
"""Keys older than this are used only after a fetch has been tried: a withdrawn key stops counting by then."""
STALE_SECONDS: Final = 3600.0
"""Keys older than this count no more, however long the provider is away."""
MAX_BYTES: Final = 1_048_576
MOST_UNSEEN: Final = 1000
"""Keys that are remembered because tokens of theirs are in use, and that are not published."""
_PUBLIC: Final = frozenset({"kty", "kid", "alg", "n", "e", "crv", "x", "y"})
"""The members of a key that say which one it is; all that is read of it."""
_RSA_BITS: Final = range(2048, 16_385)
_ASKED: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""Uncompressed: of a few bytes a compressed answer could make gigabytes."""

_log = structlog.get_logger("orchestrator.middleware.jwks")


class _FetchFailed(Exception):
    """The keys could not be had; the message says why."""


class JwksKeys:
    """Keys by `kid`.

    Many requests may meet an unknown key at once: one of them fetches, the others wait for its outcome. One that is
    cancelled while it fetches leaves no trace, and the next in line fetches.

    Args:
        url: where the keys are published.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._tls = httpx.create_ssl_context() if url.startswith("https://") else False
        self._lock = trio.Lock()
        self._keys: dict[bytes, jwt.PyJWK] = {}
        self._unseen: dict[str, float] = {}
        """Keys that are not among those, by the moment at which they were first asked for; withdrawn ones by -inf."""
        self._fetched = -float("inf")
        self._tried = -float("inf")

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key that a token names.

        Args:
            kid: the token's key id; None where its header has none.
            algorithm: the token's algorithm, one of `ALGORITHMS`.

        Raises:
            Unauthorized: the provider has no such key, or several of that name.
            ServiceUnreachable: the keys could not be fetched.
        """
        found = self._find(kid, algorithm)
        if found is not None and self._recent:
            return found
        await self._renew()
        found = self._find(kid, algorithm)
        if found is not None:
            return found
        if not self._usable:
            raise ServiceUnreachable(
                "The keys of the identity provider cannot be fetched at the moment.",
                retry_after_ms=round(self._pause() * 1000),
            )
        raise Unauthorized("The token is signed with a key that the identity provider does not publish.")

    def fingerprint_of(self, key: jwt.PyJWK) -> str:
        """Return the name of a key that was found here; empty where it has been withdrawn since."""
        return next((print_.hex() for print_, published in self._keys.items() if published is key), "")

    def counts(self, fingerprint: str) -> bool:
        """Tell whether a key counts, by what was fetched last; one that another process has seen does until a fetch."""
        if any(print_.hex() == fingerprint for print_ in self._keys):
            return self._usable
        if len(self._unseen) >= MOST_UNSEEN:
            self._unseen.clear()
        return self._fetched <= self._unseen.setdefault(fingerprint, trio.current_time())

    async def keep_fresh(self) -> None:
        """Fetch the keys where they are in use and are to be renewed."""
        if (self._keys or self._unseen) and not self._recent:
            await self._renew()

    async def publishes(self, key: jwt.PyJWK) -> bool:
        """Tell whether a key that was found here before still counts; fetches the keys where they are too old."""
        if not self._recent:
            await self._renew()
        return self._usable and any(published is key for published in self._keys.values())

    @property
    def _recent(self) -> bool:
        """Whether the keys may be used without a fetch; the first request that finds them old fetches them anew."""
        age = trio.current_time() - self._fetched
        return age < RENEW_SECONDS or (age < MAX_AGE_SECONDS and self._lock.locked())

    @property
    def _usable(self) -> bool:
        return bool(self._keys) and trio.current_time() < self._fetched + STALE_SECONDS

    def _find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        if not self._usable:
            return None
        fitting = [
            key for key in self._keys.values() if key.algorithm_name == algorithm and (kid is None or key.key_id == kid)
        ]
        # Which of several is meant can't be told, and trying all of them would let one stand in for another.
        return fitting[0] if len(fitting) == 1 else None

    def _pause(self) -> float:
        return REFRESH_SECONDS if self._usable else RETRY_SECONDS

    async def _renew(self) -> None:
        with trio.move_on_after(WAIT_SECONDS):
            async with self._lock:
                await self._refresh()

    async def _refresh(self) -> None:
        now = trio.current_time()
        if now < max(self._fetched, self._tried) + self._pause():
            return
        try:
            with trio.fail_after(FETCH_SECONDS):
                keys = _signing_keys(await self._fetch())
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError, _FetchFailed) as error:
            self._tried = trio.current_time()
            _log.warning("jwks.failed", reason=str(error) or type(error).__name__)
        else:
            # A key that is published again stays the same object, by which tokens that are remembered know it.
            withdrawn = self._keys.keys() - keys.keys()
            self._keys = {print_: self._keys.get(print_, key) for print_, key in keys.items()}
            self._unseen.update((print_.hex(), -float("inf")) for print_ in withdrawn)
            self._fetched = self._tried = trio.current_time()
            _log.info("jwks.fetched", keys=len(keys), withdrawn=len(withdrawn))

    async def _fetch(self) -> bytes:
        body = bytearray()
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=FETCH_SECONDS) as client,
            client.stream("GET", self._url, headers=_ASKED) as response,
        ):
            if response.status_code != 200:
                raise _FetchFailed(f"HTTP {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _FetchFailed("the answer is compressed, although that was not asked for")
            # Read to its end, or to the deadline, even where it is too large: the client's own
            # generators are closed properly only then. What is kept stays bounded.
            async for chunk in response.aiter_raw():
                if len(body) <= MAX_BYTES:
                    body += chunk
        if len(body) > MAX_BYTES:
            raise _FetchFailed("the answer is too large")
        return bytes(body)


def _signing_keys(raw: bytes) -> dict[bytes, jwt.PyJWK]:
    """Read a key set, by the keys' fingerprints; what is no public signing key of an algorithm taken is left out."""
    try:
        document = parse_json(raw)
    except InvalidBody:
        raise _FetchFailed("the answer is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _FetchFailed("the answer is no key set")
    keys = {_fingerprint(entry): key for entry in entries if (key := _signing_key(entry)) is not None}
    if not keys:
        raise _FetchFailed("the key set has no signing key of RS256, ES256 or EdDSA")
    return keys


def _fingerprint(entry: dict[str, Any]) -> bytes:
    return sha256(orjson.dumps(_public(entry), option=orjson.OPT_SORT_KEYS)).digest()


def _public(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name in _PUBLIC}


def _signing_key(entry: Any) -> jwt.PyJWK | None:
    """Return the public key of an entry, or None where it is none that signatures are to be verified with."""
    # A symmetric key (`oct`) never comes from a public place: taking it would let anyone sign.
    algorithm = _algorithm(entry) if isinstance(entry, dict) else None
    if algorithm is None or entry.get("use", "sig") != "sig" or "verify" not in _list(entry.get("key_ops", ["verify"])):
        return None
    if "d" in entry:
        # With its private half in public, anyone may sign with it.
        _log.error("jwks.private_key_published", kid=str(entry.get("kid"))[:64])
        return None
    public = _public(entry)
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        key = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return key if _is_strong(key.key) else None


def _algorithm(entry: dict[str, Any]) -> str | None:
    """Return the algorithm that a key is for; None where it is none that is taken."""
    fitting = [algorithm for algorithm, kind in ALGORITHMS.items() if kind == entry.get("kty")]
    return fitting[0] if fitting and entry.get("alg", fitting[0]) == fitting[0] else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_strong(key: Any) -> bool:
    """Tell whether a key is of a size and on a curve that its algorithm asks for (RFC 7518, RFC 8037)."""
    if isinstance(key, RSAPublicKey):
        return key.key_size in _RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return isinstance(key.curve, SECP256R1)
    return isinstance(key, Ed25519PublicKey)
