"""Where a request really came from: what trusted proxies say of it, by `X-Forwarded-*` and `Forwarded` (RFC 7239).

Nothing else is believed. Of the chain of addresses that proxies have written, each behind the last, the rightmost one
that is no trusted proxy counts: what stands left of it may be the client's own invention. An entry that is no address
ends the chain at the proxy that has passed it on.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from attrs import field, frozen

HOPS: Final = 64
"""Entries of a chain that are looked at, from the right; beyond, the chain is cut there."""
_PORT: Final = re.compile(r":[0-9]{1,5}", re.ASCII)
_PAIR: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*', re.ASCII)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_HOST_NAME: Final = re.compile(r"(.*?)(?::[0-9]{1,5})?", re.ASCII)


@frozen
class Asked:
    """The scheme and the host that a client asked for."""

    scheme: str
    host: str
    """With its port, where that is not the scheme's own; empty: unknown."""
    told: bool = field(default=False, eq=False)
    """Whether a trusted proxy has named the host."""


class RemoteAddress:
    """Finds the address that a request really came from.

    Args:
        trusted: addresses and networks of proxies whose headers are believed.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(entry, strict=False) for entry in trusted
        )
        self._is_trusted = lru_cache(4096)(self._check)

    def of(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
        """Return the nearest address that is no trusted proxy.

        Where proxies have left both headers, and these name different addresses, one of them is the client's own: then
        neither is believed, and the address of the nearest proxy counts.

        Args:
            scope: the ASGI scope.
            headers: names in lower case; several lines of one name are one list.
        """
        client = scope.get("client")
        address = str(client[0]) if client else ""
        if not self._trusted:
            return address
        nearest = read_address(address) or address
        if not self._is_trusted(nearest):
            return nearest
        chains = [read(headers[name]) for name, read in _CHAINS.items() if name in headers]
        found = {self._first_untrusted(nearest, chain) for chain in chains}
        return found.pop() if len(found) == 1 else nearest

    def complete(self, scope: dict[str, Any], headers: dict[str, str]) -> bool:
        """Have a request of a trusted proxy look as its client has sent it: by scheme and by `Host`.

        Returns whether a trusted proxy has named the host; else `Host` is as the client or the proxy has sent it.

        Args:
            scope: the ASGI scope, which is changed.
            headers: its headers, names in lower case, which are changed likewise.
        """
        client = scope.get("client")
        if not (client and self.trusts(str(client[0]))):
            return False
        asked = self.asked(scope, headers)
        scope["scheme"] = asked.scheme
        if asked.host != headers.get("host", ""):
            headers["host"] = asked.host
            others = [pair for pair in scope["headers"] if pair[0].lower() != b"host"]
            scope["headers"] = [*others, (b"host", asked.host.encode("latin-1"))]
        return asked.told

    def asked(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
        """Return the scheme and the host that the client asked for.

        They are the connection's own and the header `Host`, unless the connection comes from a trusted proxy, which may
        say otherwise by `Forwarded`, or by `X-Forwarded-Proto`, `-Host` and `-Port`. Of several the nearest one counts.
        """
        scheme, host, told = str(scope["scheme"]), headers.get("host", ""), False
        client = scope.get("client")
        if client and self.trusts(str(client[0])):
            said = _elements(headers.get("forwarded", ""))
            nearest = said[-1] if said else {}
            scheme = _scheme(nearest.get("proto") or _last(headers, "x-forwarded-proto"), scheme)
            named = nearest.get("host") or _last(headers, "x-forwarded-host")
            told = bool(_HOST.fullmatch(named))
            host = named if told else host
            port = _last(headers, "x-forwarded-port")
            if _PORT.fullmatch(f":{port}") and host:
                host = _with_port(host, port, scheme)
        return Asked(scheme, host, told)

    def trusts(self, address: str) -> bool:
        """Tell whether an address is a trusted proxy."""
        return bool(self._trusted) and self._is_trusted(read_address(address) or "")

    def _first_untrusted(self, nearest: str, chain: list[str | None]) -> str:
        address = nearest
        for hop in chain[: -HOPS - 1 : -1]:
            if hop is None:
                return address
            address = hop
            if not self._is_trusted(address):
                return address
        return address

    def _check(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


def read_address(text: str) -> str | None:
    """Read an address as proxies write it, and return it as it is compared; None: it is none.

    It may stand in quotes, an address of IPv6 in brackets, and either may be followed by a port. An address of IPv4
    that is mapped into IPv6 is that of IPv4, and the zone of an IPv6 address means nothing elsewhere.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    if text.startswith("["):
        bare, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _PORT.fullmatch(port)) or ":" not in bare:
            return None
        text = bare
    elif text.count(":") == 1:
        bare, _, port = text.partition(":")
        if not _PORT.fullmatch(f":{port}"):
            return None
        text = bare
    parsed = _parse(text.partition("%")[0])
    return None if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _forwarded_for(line: str) -> list[str | None]:
    """Read `X-Forwarded-For`; an entry that is no address is None, and empty ones are nothing (RFC 9110, 5.6.1)."""
    return [read_address(hop) for hop in line.split(",") if hop.strip()]


def _forwarded(line: str) -> list[str | None]:
    """Read the `for` of each element of `Forwarded`; one without, hidden or unknown, is None."""
    return [read_address(element.get("for", "")) for element in _elements(line)]


_CHAINS: Final = {"x-forwarded-for": _forwarded_for, "forwarded": _forwarded}


def _elements(line: str) -> list[dict[str, str]]:
    """Read the elements of `Forwarded`, names in lower case, values without quotes; a malformed element is empty."""
    elements: list[dict[str, str]] = []
    for written in _split(line, ","):
        if not written.strip():
            continue
        pairs: dict[str, str] = {}
        for part in _split(written, ";"):
            pair = _PAIR.fullmatch(part)
            if pair is None and part.strip():
                pairs = {}
                break
            if pair is not None:
                value = pair[2]
                if value.startswith('"'):
                    value = re.sub(r"\\(.)", r"\1", value[1:-1])
                pairs.setdefault(pair[1].lower(), value)
        elements.append(pairs)
    return elements


def _split(text: str, separator: str) -> list[str]:
    """Split where a separator stands outside of quotes; quotes that do not end go on to the end."""
    parts, begin, quoted, escaped = [], 0, False, False
    for place, letter in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif letter == separator and not quoted:
            parts.append(text[begin:place])
            begin = place + 1
    return [*parts, text[begin:]]


def _last(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").rpartition(",")[2].strip()


def _scheme(said: str, otherwise: str) -> str:
    said = said.lower()
    # A socket's scheme is told as `ws` by the server, and as `http` by many proxies.
    if said in {"http", "https"} and otherwise in {"ws", "wss"}:
        return {"http": "ws", "https": "wss"}[said]
    return said if said in {"http", "https", "ws", "wss"} else otherwise


def _with_port(host: str, port: str, scheme: str) -> str:
    """Give a host the port that the client asked for; the scheme's own is left out."""
    own = {"http": "80", "ws": "80", "https": "443", "wss": "443"}[scheme]
    named = _HOST_NAME.fullmatch(host)
    bare = named[1] if named and not host.endswith("]") else host
    return bare if port == own else f"{bare}:{port}"
