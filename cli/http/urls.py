"""URLs of services, and the proxies on the way to them."""

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from attrs import frozen

from cli.http.errors import InvalidRequest

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_KEPT: Final = "%/:?[]@!$&'()*+,;=~"
"""What a path and a query may have as it is, beside letters, digits and `-._`; with `%` it may be encoded already."""


@frozen
class Address:
    """A host and its port, as a URL names them."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """In front of the paths of requests; without a slash at its end."""
    authorization: str = ""
    """The credentials of the URL as the value of a header; empty: it has none."""

    @property
    def is_local(self) -> bool:
        """Whether it is on the loopback interface of this machine."""
        return self.host in _LOOPBACK

    @property
    def origin(self) -> str:
        """The URL without path and credentials."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port, as the header `Host` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def address_of(url: str) -> Address:
    """Read the base URL of a service.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise InvalidRequest(f"'{url}' is no valid URL: {error}") from None
    if parts.scheme not in _PORTS or not host:
        raise InvalidRequest(f"'{url}' is no valid URL: it begins with http:// or https:// and a host")
    if any(character <= " " for character in host):
        raise InvalidRequest(f"'{url}' is no valid URL: its host has a space")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    basic = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}" if user or password else ""
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"), basic)


def encoded(path: str) -> str:
    """Return a path, with its query, as it stands in a request: what a URL can't have is escaped."""
    return quote(path, safe=_KEPT)


def proxy_of(address: Address, environ: Mapping[str, str] = os.environ) -> Address | None:
    """Return the proxy that the environment names for a service; None: none, or the service is on this machine.

    Raises:
        InvalidRequest: the URL of the proxy is none of a proxy by HTTP.
    """

    def variable(name: str) -> str:
        return environ.get(name) or environ.get(name.upper(), "")

    url = variable(f"{address.scheme}_proxy") or variable("all_proxy")
    if not url or address.is_local or _is_excepted(address, variable("no_proxy")):
        return None
    found = address_of(url if "://" in url else f"http://{url}")
    if found.scheme != "http":
        raise InvalidRequest(f"The proxy {found.origin} of the environment is none by http://")
    return found


def _is_excepted(address: Address, exceptions: str) -> bool:
    for one in exceptions.split(","):
        name = one.strip().lower()
        if "/" in name and _is_within(address.host, name):
            return True
        name = name if name == "*" else name.removeprefix("*").lstrip(".")
        bare = name.removeprefix("[").removesuffix("]")
        if name and (name in {"*", address.authority} or bare == address.host or address.host.endswith(f".{name}")):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    """Tell whether a host is an address of a network such as `10.0.0.0/8`."""
    import ipaddress  # noqa: PLC0415 - few environments name a network, and all others need not wait for it

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
