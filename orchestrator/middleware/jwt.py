"""Verifying users' tokens (RFC 7519)."""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, Final

import jwt
from attrs import frozen

from orchestrator.config.settings import JwtSettings
from orchestrator.domain.api_keys import KEY_OWNERS
from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.errors import TokenExpired, Unauthorized
from orchestrator.middleware.jwks import ALGORITHMS, JwksKeys
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.principal import RANKS, Principal, Role

CACHE_TOKENS: Final = 10_000
MAX_TOKEN_BYTES: Final = 8192
MAX_TENANTS: Final = 1000
_PARTS: Final = 3
_KNOWN: Final = frozenset(Role)
_EXTENSIONS: Final = frozenset({"crit", "b64"})
"""Members of a header that change how the rest is to be read (RFC 7515, RFC 7797)."""


@frozen
class Grant:
    """What a verified token gives: a principal for each tenant that it carries."""

    principals: Mapping[str, Principal]
    expires_at: float
    """Seconds since the Unix epoch, leeway included."""
    key: jwt.PyJWK | None = None
    """The key of the identity provider that it was verified with; None: the shared secret."""


class TokenVerifier:
    """Verifies tokens, and remembers those that were good until they expire or their key is withdrawn.

    The algorithm decides which key is asked: HS256 the shared secret, RS256, ES256 and EdDSA the keys of the identity
    provider. A key is never used with an algorithm of the other kind, and `none` belongs to neither.
    """

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings
        self._jwks = JwksKeys(settings.jwks_url) if settings.jwks_url else None
        self._known: OrderedDict[bytes, Grant] = OrderedDict()

    async def verify(self, token: str) -> Grant:
        """Return what `token` gives.

        Raises:
            Unauthorized: it is forged, malformed, expired, not yet good, or meant for another audience.
            ServiceUnreachable: the identity provider's keys cannot be had.
        """
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        grant = self._known.get(digest)
        if grant is not None:
            if time.time() < grant.expires_at and await self._still_published(grant):
                self._known.move_to_end(digest)
                return grant
            self._known.pop(digest, None)
        grant = await self._examine(token)
        self._known[digest] = grant
        self._known.move_to_end(digest)
        if len(self._known) > CACHE_TOKENS:
            self._known.popitem(last=False)
        return grant

    async def _still_published(self, grant: Grant) -> bool:
        """Tell whether the key that a remembered token was verified with still counts."""
        if grant.key is None or self._jwks is None:
            return True
        return await self._jwks.publishes(grant.key)

    async def _examine(self, token: str) -> Grant:
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthorized("The token is too long.")
        try:
            _check_form(token)
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthorized("The token is malformed.") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if _EXTENSIONS & header.keys():
            raise Unauthorized("The token needs an extension that is not known here.")
        key = await self._key(algorithm, kid)
        claims = self._claims(token, key, str(algorithm))
        if isinstance(key, str) or self._jwks is None:
            return _grant(claims, self._settings, None, None)
        return _grant(claims, self._settings, key, self._jwks.fingerprint_of(key))

    def withdrawn(self, principal: Principal) -> bool:
        """Tell whether the key that a principal's token was verified with counts no more, by what was fetched last."""
        if principal.signing_key is None or self._jwks is None:
            return False
        return not self._jwks.counts(principal.signing_key)

    async def keep_fresh(self) -> None:
        """Fetch the keys of the identity provider where they are in use and are to be renewed."""
        if self._jwks is not None:
            await self._jwks.keep_fresh()

    async def _key(self, algorithm: Any, kid: Any) -> str | jwt.PyJWK:
        if algorithm == "HS256" and self._settings.secret:
            return self._settings.secret
        # A header is any JSON: an algorithm may be a list, which can't be looked up.
        known = isinstance(algorithm, str) and algorithm in ALGORITHMS
        if self._jwks is not None and known and (kid is None or isinstance(kid, str)):
            return await self._jwks.key(kid, algorithm)
        raise Unauthorized("The token is signed with an algorithm that is not taken here.")

    def _claims(self, token: str, key: str | jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        settings = self._settings
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=settings.issuer or None,
                audience=settings.audience or None,
                options={
                    "require": ["exp", "sub"],
                    "verify_iss": bool(settings.issuer),
                    "verify_aud": bool(settings.audience),
                    # Times are checked in one place, `_check_times`: the library cuts their fractions off.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise Unauthorized("The token is meant for another audience.") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"The token lacks the claim {error.claim!r}.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("The token is not valid.") from None


def _check_form(token: str) -> None:
    """Refuse what readers may understand differently, or what is a token in two spellings; ValueError, RecursionError.

    RFC 8725, 2.6 and 3.1: of two members of one name each reader may take another one; `NaN` is no JSON. RFC 4648,
    3.5: of some texts in base64 the last bits say nothing, and lenient readers pass over strange letters.
    """
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise ValueError("it has not three parts")
    raw = [urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts]
    if any(urlsafe_b64encode(read).rstrip(b"=") != part.encode() for read, part in zip(raw, parts, strict=True)):
        raise ValueError("a part is not in base64url as it is to be written")
    for read in raw[:2]:
        json.loads(read, object_pairs_hook=_unique, parse_constant=_no_number)


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(members)
    if len(names) < len(members):
        raise ValueError("a name stands there twice")
    return names


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a claim that is a moment, in seconds since the Unix epoch; None where it is not there."""
    moment = claims.get(name)
    if moment is None:
        return None
    # RFC 7519, 2: a NumericDate is a number. The library reads numbers out of strings, too.
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise Unauthorized(f"The token's claim {name!r} is no number.")
    try:
        seconds = float(moment)
    except OverflowError:
        seconds = inf
    if not isfinite(seconds):
        raise Unauthorized("The token's times are no moments.")
    return seconds


def _check_times(claims: Mapping[str, Any], settings: JwtSettings) -> tuple[float, float]:
    """Return until when a token is good, leeway included, and when it was issued (0 where it does not say).

    One leeway counts for all of it, and for what outlives a request: a socket ends by the same clock as the next
    request would be refused by.
    """
    now, leeway = time.time(), settings.leeway
    expires_at, not_before, issued_at = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires_at is None:
        raise Unauthorized("The token lacks the claim 'exp'.")
    if now >= expires_at + leeway:
        raise TokenExpired("The token has expired.")
    if max(not_before or 0.0, issued_at or 0.0) > now + leeway:
        raise Unauthorized("The token is not good yet.")
    # Revocations are kept for as long as a token may live: one that lived longer would be good again afterwards.
    if expires_at - (issued_at or now) > settings.max_lifetime + leeway:
        raise Unauthorized("The token lives longer than tokens may here.")
    return expires_at + leeway, issued_at or 0.0


def _grant(claims: dict[str, Any], settings: JwtSettings, key: jwt.PyJWK | None, fingerprint: str | None) -> Grant:
    user_id, token_id = claims["sub"], claims.get("jti")
    good_until, issued_at = _check_times(claims, settings)
    if not isinstance(user_id, str) or not is_id(user_id):
        raise Unauthorized("The token's claim 'sub' is no acceptable id.")
    if user_id.startswith(KEY_OWNERS):
        raise Unauthorized(f"The token's claim 'sub' begins with '{KEY_OWNERS}', as the owners of API keys do.")
    if token_id is not None and not isinstance(token_id, str):
        raise Unauthorized("The token's claim 'jti' is no string.")
    roles = _roles(claims)
    permissions = _permissions(claims, roles)
    role = next(role for role in RANKS if role in roles)
    principals = {
        tenant: Principal(tenant, user_id, role, permissions, good_until, token_id, issued_at, signing_key=fingerprint)
        for tenant in _tenants(claims)
    }
    return Grant(MappingProxyType(principals), good_until, key)


def _tenants(claims: dict[str, Any]) -> list[str]:
    named = claims.get("tenants") if "tenants" in claims else [claims.get("tenant_id")]
    if not isinstance(named, list) or not 0 < len(named) <= MAX_TENANTS:
        raise Unauthorized("The token carries no tenant.")
    if not all(isinstance(tenant, str) and is_id(tenant) for tenant in named):
        raise Unauthorized("The token carries no acceptable tenant.")
    return named


def _roles(claims: dict[str, Any]) -> frozenset[Role]:
    """Return what `role` and `roles` name together; a user's where there is neither."""
    named: list[Any] = [claims["role"]] if "role" in claims else []
    if "roles" in claims:
        listed = claims["roles"]
        if not isinstance(listed, list) or not all(isinstance(role, str) for role in listed):
            raise Unauthorized("The token's claim 'roles' is no list of strings.")
        # Other services have roles of their own: those that are known here count.
        named += [role for role in listed if role in _KNOWN]
    elif not named:
        named = [Role.USER]
    try:
        roles = frozenset(Role(name) for name in named)
    except ValueError:
        raise Unauthorized("The token carries a role that is unknown here.") from None
    if not roles:
        raise Unauthorized("The token carries no role that is known here.")
    return roles


def _permissions(claims: dict[str, Any], roles: frozenset[Role]) -> frozenset[str]:
    named = claims.get("permissions")
    if named is None:
        return frozenset().union(*(ROLE_PERMISSIONS[role] for role in roles))
    if not isinstance(named, list) or not all(isinstance(permission, str) for permission in named):
        raise Unauthorized("The token's claim 'permissions' is no list of strings.")
    return frozenset(named)
