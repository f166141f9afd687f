"""Addresses that requests to clients' URLs may go to: public ones, and those that an operator has allowed."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import trio
from attrs import frozen

from orchestrator.errors import ServiceRefused, ServiceUnreachable

_NAT64: Final = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: Final = tuple(IPv6Network(text) for text in ("::/96", "2002::/16", "2001::/32", "fec0::/10"))
"""IPv6 networks that `ipaddress` may call global, and that wrap any IPv4 address, or belong to a site."""
PORTS: Final = {"http": 80, "https": 443}


@frozen
class Target:
    """Parts of a URL that a request needs."""

    scheme: str
    host: str
    port: int
    authority: str
    """As it stands in the URL, for the header `Host`."""
    path: str
    """With the query."""


def parse_target(url: str) -> Target:
    """Parse a URL.

    Raises:
        ValueError: no request can be sent there; its text says why.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be a URL in ASCII, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("must be an absolute http:// or https:// URL") from None
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise ValueError("must be an absolute http:// or https:// URL")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must have neither a user, a password nor a fragment")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port or PORTS[parts.scheme], parts.netloc, path)


@frozen
class AddressGuard:
    """Decides which addresses may be connected to.

    Args:
        allowed: networks, addresses and host names (with all that they resolve to) that are allowed although they are
            not public.
    """

    allowed: Sequence[str]

    def refuses_literal(self, host: str) -> bool:
        """Tell whether a host is an address that is not allowed."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return not self.allows(host, address)

    def allows(self, host: str, address: IPv4Address | IPv6Address) -> bool:
        """Tell whether `address`, to which `host` resolves, may be connected to."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return is_public(address) or any(_covers(entry, host, address) for entry in self.allowed)

    async def resolve(self, target: Target) -> str:
        """Resolve a host, once; returns an allowed address of it.

        Raises:
            ServiceUnreachable: the name can't be resolved.
            ServiceRefused: none of its addresses is allowed.
        """
        try:
            found = await trio.socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ServiceUnreachable(f"The name {target.host} can't be resolved.") from error
        for *_, place in found:
            if self.allows(target.host, ip_address(place[0])):
                return str(place[0])
        raise ServiceRefused(f"{target.host} is at no address that requests may be sent to.")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is on the public network.

    Private, loopback, link-local, shared, multicast and reserved ones are not, nor is an address that wraps such a one.
    """
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if any(address in network for network in _NOT_PUBLIC):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _covers(entry: str, host: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return entry.lower() == host.lower()
    return address in network
