"""Signatures of outgoing callbacks, as Standard Webhooks has them (https://www.standardwebhooks.com)."""

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"


def new_secret() -> str:
    """Make a secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


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
