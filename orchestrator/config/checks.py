"""What a setting must be: each check returns nothing, or what was expected in words."""

import base64
import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, Final
from urllib.parse import urlsplit

Check = Callable[[Any], str | None]

_API_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}:(internal|admin|metrics):[0-9a-f]{64}")
_UNIX: Final = re.compile(r"unix://([^/@]*@)?/.+")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY_BYTES: Final = 32
_SUBJECT: Final = re.compile(r"[^,]{1,255}=[A-Za-z0-9_.-]{1,64}")
_MODEL_PRICE: Final = re.compile(r".{1,128}=[0-9]{1,9}(\.[0-9]{1,6})?(/[0-9]{1,9}(\.[0-9]{1,6})?)?")
_HOST_PATTERN: Final = re.compile(
    r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?"
)
_HOST: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def one_of(*choices: str) -> Check:
    """Expect one of `choices`."""
    return lambda value: None if value in choices else f"one of {', '.join(choices)}"


def at_least(least: float) -> Check:
    """Expect a number that is not smaller than `least`."""
    return lambda value: None if value >= least else f"at least {least:g}"


def between(least: float, most: float) -> Check:
    """Expect a number from `least` to `most`."""
    return lambda value: None if least <= value <= most else f"a number from {least:g} to {most:g}"


def optional(check: Check) -> Check:
    """Expect nothing, or what `check` expects."""
    return lambda value: check(value) if value else None


def each(check: Check) -> Check:
    """Expect of every item what `check` expects."""
    return lambda values: next((fault for value in values if (fault := check(value))), None)


def http_url(value: str) -> str | None:
    """Expect an absolute HTTP URL."""
    return None if _is_url(value, {"http", "https"}) else "an absolute http:// or https:// URL"


def own_url(value: str) -> str | None:
    """Expect an absolute HTTP URL that all clients may see."""
    if "@" in value.partition("://")[2].partition("/")[0]:
        return "an absolute http:// or https:// URL without a user and a password, because all clients see it"
    return http_url(value)


def host_pattern(value: str) -> str | None:
    """Expect a host as clients ask for it, with or without a port; `*.example.com`; or `*`."""
    return None if _HOST_PATTERN.fullmatch(value) else "a host such as example.com, example.com:8443 or *.example.com"


def redis_url(value: str) -> str | None:
    """Expect a URL of a Redis server."""
    known = _is_url(value, {"redis", "rediss"}) or bool(_UNIX.fullmatch(value))
    return None if known else "a redis://, rediss:// or unix:// URL"


def network(value: str) -> str | None:
    """Expect a network or an address."""
    try:
        ip_network(value, strict=False)
    except ValueError:
        return "a network such as 10.0.0.0/8, or an address"
    return None


def network_or_host(value: str) -> str | None:
    """Expect a network, an address, or the name of a host."""
    if network(value) is None or _HOST.fullmatch(value):
        return None
    return "a network such as 10.0.0.0/8, an address, or the name of a host"


def encryption_key(value: str) -> str | None:
    """Expect `id:key`, the key 32 bytes in base64; or `clear`, which stands for none."""
    if value == "clear":
        return None
    name, _, encoded = value.partition(":")
    try:
        is_key = len(base64.b64decode(encoded, validate=True)) == _KEY_BYTES
    except ValueError:
        is_key = False
    return None if is_key and _KEY_ID.fullmatch(name) else "id:key, the key 32 random bytes in base64, or clear"


def api_key(value: str) -> str | None:
    """Expect `name:scope:sha256`."""
    return None if _API_KEY.fullmatch(value) else "name:scope:sha256 with scope internal, admin or metrics"


def certificate_subject(value: str) -> str | None:
    """Expect `subject=name`."""
    return None if _SUBJECT.fullmatch(value) else "subject=name with the name of API keys"


def host_and_port(value: str) -> str | None:
    """Expect `HOST:PORT`."""
    host, _, port = value.rpartition(":")
    known = host and (port.isascii() and port.isdigit()) and int(port) < 65_536
    return None if known else "HOST:PORT, such as 0.0.0.0:8443 or [::]:8443"


def model_price(value: str) -> str | None:
    """Expect `model=prompt/completion`."""
    return None if _MODEL_PRICE.fullmatch(value) else "model=prompt/completion with prices such as 2.50"


def _is_url(value: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
