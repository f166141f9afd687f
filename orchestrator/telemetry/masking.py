"""Secrets in texts that are shown or logged: `***` stands in their place."""

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

MASK: Final = "***"
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/?#'\"]*@")
_SECRET_PARAMETER: Final = re.compile(
    r"((?:^|[?&;])[\w.-]*(?:password|passwd|secret|token|key|credential|signature|sig|auth|code|ticket)[\w.-]*=)"
    r"[^&;#\s'\"]+",
    re.IGNORECASE,
)


def mask_credentials(text: str) -> str:
    """Return a text with the credentials of all URLs in it masked: users with passwords, and parameters that hold some.

    Args:
        text: a URL, or words with URLs in them.
    """
    if "://" not in text:
        return text
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", _CREDENTIALS.sub(f"{MASK}@", text))


def bare_url(url: str) -> str:
    """Return a URL without credentials, query and fragment: what may be kept and told of one that is a client's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
