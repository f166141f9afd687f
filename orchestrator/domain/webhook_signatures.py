"""Signatures of callbacks, made and verified as Standard Webhooks has them (https://www.standardwebhooks.com)."""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "whsec_"
_MOST_SIGNATURES: Final = 10


def new_secret() -> str:
    """Make a secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Tell whether a text is a secret, with or without its prefix."""
    try:
        return bool(base64.b64decode(text.removeprefix(PREFIX), validate=True))
    except ValueError:
        return False


def signed_headers(keys: Sequence[str], webhook_id: str, moment: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove to a receiver who sent `body`, and when.

    Args:
        keys: secrets with their prefix; while one replaces another there are two, and a signature by each.
        webhook_id: the same for each attempt at a delivery.
        moment: of the attempt, in seconds since the Unix epoch.
        body: exactly as it is sent.
    """
    content = b"%b.%d.%b" % (webhook_id.encode(), moment, body)
    marks = (hmac.digest(base64.b64decode(key.removeprefix(PREFIX)), content, "sha256") for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks),
    }


def verified(keys: Sequence[str], headers: Mapping[str, str], body: bytes, now: int, tolerance: int = 300) -> bool:
    """Tell whether a request was signed by one of `keys`, and not long ago: what receivers do with `signed_headers`.

    Args:
        keys: secrets with their prefix; while one replaces another there are two.
        headers: of the request, with their names in lower case.
        body: exactly as it came.
        now: the present moment, in seconds since the Unix epoch.
        tolerance: how old a request may be, and how far ahead of this clock, in seconds.
    """
    webhook_id, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not (moment.isascii() and moment.isdigit()) or abs(now - int(moment[:12])) > tolerance:
        return False
    expected = signed_headers(keys, webhook_id, int(moment), body)["webhook-signature"].split()
    given = [mark.encode() for mark in headers.get("webhook-signature", "").split()[:_MOST_SIGNATURES]]
    # Every pair is compared, so that the time tells nothing.
    return sum(hmac.compare_digest(one.encode(), mark) for one in expected for mark in given) > 0
