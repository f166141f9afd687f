"""Addresses that requests to clients' URLs may go to: public ones, and those that an operator has allowed."""

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import trio
from attrs import frozen

from orchestrator.errors import ServiceRefused, ServiceUnreachable

_NAT64: Final = IPv6Network("64:ff9b::/96")
_UNICAST: Final = IPv6Network("2000::/3")
"""The part of IPv6 that public addresses are given out of; what is outside of it wraps others, or stays on a site."""
_NOT_PUBLIC: Final = tuple(ip_network(text) for text in ("2002::/16", "2001::/32", "3fff::/20", "192.88.99.0/24"))
"""Networks that `ipaddress` may call global: 6to4 with its relays and Teredo, which wrap others, and documentation."""
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})
"""Begins the interface part of an IPv6 address that wraps an IPv4 address in its last 32 bits."""
_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254", "169.254.169.253", "169.254.169.123", "169.254.170.2", "169.254.170.23", "168.63.129.16",
        "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::253", "fd00:ec2::123", "fd00:ec2::23",
        "fd20:ce::254", "fe80::a9fe:a9fe",
    )
)  # fmt: skip
"""Addresses at which clouds tell a machine its credentials, with name and time servers beside. One of them is public;
a network that an operator allows does not include them."""
_METADATA_HOSTS: Final = frozenset(
    {"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal",
     "metadata.azure.internal", "metadata.tencentyun.com", "metadata.platformequinix.com", "metadata.packet.net"}
)  # fmt: skip
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
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
        """Tell whether a host can be refused before it is resolved: by its name, its spelling, or as an address."""
        if self._refuses_name(host):
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return _is_odd(host)
        return not self.allows(host, address)

    def allows(self, host: str, address: IPv4Address | IPv6Address) -> bool:
        """Tell whether `address`, to which `host` resolves, may be connected to."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if _is_metadata(address):
            return any(entry == str(address) for entry in self.allowed)
        return is_public(address) or any(_covers(entry, host, address) for entry in self.allowed)

    def _refuses_name(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return name in _METADATA_HOSTS and not any(entry.lower() == name for entry in self.allowed)

    async def resolve(self, target: Target) -> str:
        """Resolve a host, once; returns an allowed address of it.

        Raises:
            ServiceUnreachable: the name can't be resolved.
            ServiceRefused: its name, its spelling or each of its addresses is not allowed.
        """
        if self._refuses_name(target.host) or _is_odd(target.host):
            raise ServiceRefused(f"{target.host} is no host that requests may be sent to.")
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

    Private, loopback, link-local, shared, multicast and reserved ones are not, nor is the metadata service of a cloud,
    an address with a zone, or one that wraps such a one.
    """
    if isinstance(address, IPv6Address):
        wrapped = _wrapped(address)
        if wrapped is not None and (address in _NAT64 or address.ipv4_mapped is not None):
            return address.scope_id is None and is_public(wrapped)
        if address not in _UNICAST or address.scope_id is not None or (wrapped and not is_public(wrapped)):
            return False
    if _is_metadata(address) or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _wrapped(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to (mapped, by NAT64 or ISATAP); None: it is none of these."""
    if not isinstance(address, IPv6Address):
        return None
    low = int(address) & 0xFFFFFFFF
    if address in _NAT64 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(low)
    return address.ipv4_mapped


def _is_metadata(address: IPv4Address | IPv6Address) -> bool:
    plain = IPv6Address(int(address)) if isinstance(address, IPv6Address) else address
    return plain in _METADATA or _wrapped(plain) in _METADATA


def _is_odd(host: str) -> bool:
    """Tell whether a host is an IPv4 address that is not spelled as four decimal numbers: `0x7f.1`, `2130706433`."""
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False


def _covers(entry: str, host: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return entry.lower() == host.lower()
    return address in network
