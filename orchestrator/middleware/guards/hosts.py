"""The host that a client has asked for, as far as it is known to be this service's: anything may stand in `Host`."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Final

import structlog

from orchestrator.middleware.guards.forwarded import read_address

_SHOWN: Final = 200
_REPORTED: Final = 20
"""So many unknown hosts are logged, each once."""
_LOCALHOST: Final = "localhost"
_log = structlog.get_logger("orchestrator.middleware")


class KnownHosts:
    """Decides which hosts may stand in URLs of answers.

    Known are loopback names and addresses, the address that the connection came to, what a trusted proxy says that its
    client asked for, and what is allowed.

    Args:
        allowed: hosts, each with its port or for any port; `*.example.com`: all below; `*`: any.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = tuple(entry.lower() for entry in allowed)
        self._reported: set[str] = set()

    def of(self, scope: Mapping[str, Any], headers: Mapping[str, str], *, told: bool = False) -> str:
        """Return the host that was asked for, with its port; the address that the connection came to, if it is unknown.

        Args:
            scope: the ASGI scope.
            headers: names in lower case.
            told: whether a trusted proxy has named the host.

        Returns:
            It; empty where the connection came to no address (a Unix socket).
        """
        host = headers.get("host", "")
        server = scope.get("server") or ("", None)
        if host and (told or self._knows(host, str(server[0]))):
            return host
        bound = read_address(str(server[0]))
        if host:
            self._report(host)
        if bound is None or server[1] is None:
            return ""
        return f"[{bound}]:{server[1]}" if ":" in bound else f"{bound}:{server[1]}"

    def _knows(self, host: str, server: str) -> bool:
        asked = host.lower()
        name = asked if asked.endswith("]") else asked.rpartition(":")[0] or asked
        name = name.rstrip(".")
        address = read_address(name)
        if address is not None and (ip_address(address).is_loopback or address == read_address(server)):
            return True
        if name == _LOCALHOST or name.endswith(f".{_LOCALHOST}"):
            return True
        return any(_covers(entry, asked, name) for entry in self._allowed)

    def _report(self, host: str) -> None:
        shown = host[:_SHOWN]
        if shown not in self._reported and len(self._reported) < _REPORTED:
            self._reported.add(shown)
            _log.warning(
                "host.unknown", host=shown, hint="ORCH_PUBLIC_URL or ORCH_ALLOWED_HOSTS names the service's own"
            )


def _covers(entry: str, asked: str, name: str) -> bool:
    if entry.startswith("*."):
        return name.endswith(entry[1:])
    return entry in {"*", asked, name}
