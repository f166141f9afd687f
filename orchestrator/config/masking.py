"""Secrets in texts that are shown or logged: `***` stands in their place."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

MASK: Final = "***"
SHORTEST: Final = 6
"""Characters of a secret that is looked for: shorter ones would mask words."""
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/?#'\"]*@")
_PARAMETER: Final = re.compile(
    r"([?&;][\w.-]*(?:passw(?:or)?d|secret|token|key|credential|signature|sig|auth|code|ticket)[\w.-]*=)[^&;#\s'\"]+",
    re.IGNORECASE,
)


def mask_credentials(text: str) -> str:
    """Return a text with the credentials of all URLs in it masked: users with passwords, and parameters that hold some.

    Args:
        text: a URL, or words with URLs in them.
    """
    if "://" not in text:
        return text
    return _PARAMETER.sub(rf"\1{MASK}", _CREDENTIALS.sub(f"{MASK}@", text))


def bare_url(url: str) -> str:
    """Return a URL without credentials, query and fragment: what may be kept and told of one that is a client's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def masker_of(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that masks these secrets in a text, also where it is JSON, and the credentials of URLs."""
    spelled = {form for secret in secrets if len(secret) >= SHORTEST for form in (secret, json.dumps(secret)[1:-1])}
    if not spelled:
        return mask_credentials
    known = re.compile("|".join(re.escape(form) for form in sorted(spelled, key=len, reverse=True)))

    def mask(text: str) -> str:
        return mask_credentials(known.sub(MASK, text))

    return mask


def secrets_in_url(url: str) -> Iterator[str]:
    """Yield the password of a URL, or the user where there is none, and the values of parameters that hold secrets."""
    credentials = url.partition("://")[2].rpartition("@")[0]
    user, _, password = credentials.partition(":")
    # Libraries tell it as it is written, or decoded.
    for written in (password or user, *(found[0].partition("=")[2] for found in _PARAMETER.finditer(url))):
        yield written
        yield unquote(written)
