"""The signing keys of an identity provider (RFC 7517): fetched, kept, and fetched again for a key not seen before."""

from typing import Any, Final

import httpx
import jwt
import structlog
import trio

from orchestrator.codec import parse_json
from orchestrator.errors import InvalidBody, ServiceUnreachable, Unauthorized

ALGORITHMS: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""The asymmetric algorithms that are taken, each with the key type it belongs to (RFC 7518, RFC 8037)."""

FETCH_SECONDS: Final = 5.0
"""Deadline of a fetch."""
WAIT_SECONDS: Final = 6.0
"""Deadline of a request that waits for a fetch, its own or another's."""
REFRESH_SECONDS: Final = 30.0
"""Least time between two fetches for the sake of an unknown key."""
RETRY_SECONDS: Final = 2.0
"""Least time between two fetches while there are no keys at all."""
MAX_AGE_SECONDS: Final = 3600.0
"""Keys older than this are fetched again, so that a withdrawn key stops counting."""
MAX_BYTES: Final = 1_048_576

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
        self._keys: list[jwt.PyJWK] = []
        self._fetched = -float("inf")
        self._tried = -float("inf")

    async def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key that a token names.

        Args:
            kid: the token's key id; None where its header has none.
            algorithm: the token's algorithm, one of `ALGORITHMS`.

        Raises:
            Unauthorized: the provider has no such key.
            ServiceUnreachable: the keys could not be fetched.
        """
        found = self._find(kid, algorithm)
        if found is not None and trio.current_time() < self._fetched + MAX_AGE_SECONDS:
            return found
        with trio.move_on_after(WAIT_SECONDS):
            async with self._lock:
                await self._refresh()
        found = self._find(kid, algorithm)
        if found is not None:
            return found
        if self._tried > self._fetched or not self._keys:
            raise ServiceUnreachable(
                "The keys of the identity provider cannot be fetched at the moment.",
                retry_after_ms=round(self._pause() * 1000),
            )
        raise Unauthorized("The token is signed with a key that the identity provider does not publish.")

    def _find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm_name == algorithm]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.key_id == kid), None)

    def _pause(self) -> float:
        return REFRESH_SECONDS if self._keys else RETRY_SECONDS

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
            self._keys = keys
            self._fetched = self._tried = trio.current_time()
            _log.info("jwks.fetched", keys=len(keys))

    async def _fetch(self) -> bytes:
        body = bytearray()
        async with (
            httpx.AsyncClient(verify=self._tls, timeout=FETCH_SECONDS) as client,
            client.stream("GET", self._url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise _FetchFailed(f"HTTP {response.status_code}")
            # Read to its end, or to the deadline, even where it is too large: the client's own
            # generators are closed properly only then. What is kept stays bounded.
            async for chunk in response.aiter_bytes():
                if len(body) <= MAX_BYTES:
                    body += chunk
        if len(body) > MAX_BYTES:
            raise _FetchFailed("the answer is too large")
        return bytes(body)


def _signing_keys(raw: bytes) -> list[jwt.PyJWK]:
    """Read a key set; what is no public signing key of an algorithm that is taken is left out."""
    try:
        document = parse_json(raw)
    except InvalidBody:
        raise _FetchFailed("the answer is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _FetchFailed("the answer is no key set")
    keys = [key for entry in entries if (key := _signing_key(entry)) is not None]
    if not keys:
        raise _FetchFailed("the key set has no signing key of RS256, ES256 or EdDSA")
    return keys


def _signing_key(entry: Any) -> jwt.PyJWK | None:
    # A symmetric key (`oct`) never comes from a public place: taking it would let anyone sign.
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, AttributeError):
        return None
    return key if ALGORITHMS.get(key.algorithm_name) == entry.get("kty") else None
