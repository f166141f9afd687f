"""What authentication, limits and audit cost a request: CPU of the process, with them and with them taken out.

    python -m tests.benchmarks.request_guards [--rounds 7] [--requests 3000] [--json FILE]

The service runs as it does in production, in two processes of their own over one Redis: one as it is, one whose
requests are of a fixed user and are neither counted nor audited. The same clients ask both for the same route in rounds
in turn, with a token that is remembered and whose agents are cached, so that what is asked for costs little. What the
processes do beside requests is in both figures.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field

from orchestrator import running
from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.models.common.principal import Principal, Role
from orchestrator.routes.http.endpoint import Endpoint
from tests.benchmarks.websocket_push import cpu_seconds
from tests.end_to_end.stack import Node, open_stack

PATH: Final = "/api/v1/agent.list"
CONNECTIONS: Final = 8
KINDS: Final = ("guarded", "without")
SETTINGS: Final = {"ORCH_RATE_TENANT": "1000000", "ORCH_RATE_USER": "1000000", "ORCH_RATE_ADDRESS": "1000000"}


def take_out_guards() -> None:
    """Let this process know its user beforehand, and count nothing."""
    holder = Principal("acme", "ann", Role.USER, frozenset(ROLE_PERMISSIONS[Role.USER]), expires_at=float("inf"))

    async def known(*_: object) -> Principal:
        return holder

    async def uncounted(*_: object) -> None:
        return

    def unlimited(*_: object) -> None:
        return

    replaced: Mapping[type, Mapping[str, Any]] = {
        Endpoint: {"_known": known, "_limit": uncounted},
        AddressLimiter: {"check": unlimited},
    }
    for owner, methods in replaced.items():
        for name, method in methods.items():
            assert hasattr(owner, name), name
            setattr(owner, name, method)


@define
class Side:
    """A process, and the microseconds of CPU that a request has taken it, by round."""

    node: Node
    spent: list[float] = field(factory=list)

    async def run(self, requests: int, token: str) -> None:
        """Ask so many times, on some connections that are kept."""
        began = cpu_seconds(self.node.process.pid)
        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(ask, int(self.node.url.rpartition(":")[2]), requests // CONNECTIONS, token)
        used = cpu_seconds(self.node.process.pid) - began
        self.spent.append(used / (requests // CONNECTIONS * CONNECTIONS) * 1e6)


async def ask(port: int, requests: int, token: str) -> None:
    """Send requests, each when the one before is answered."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for _ in range(requests):
            await stream.send_all(request)
            answer = b""
            while not is_whole(answer):
                piece = await stream.receive_some(65_536)
                assert piece, answer
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200"), answer


def is_whole(answer: bytes) -> bool:
    """Tell whether an answer has come to its end."""
    head, found, body = answer.partition(b"\r\n\r\n")
    return bool(found) and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


async def measure(rounds: int, requests: int) -> dict[str, list[float]]:
    """Run both in turn; the first round does not count."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_stack(Path(folder)) as stack:
            environ = {**stack.environ, **SETTINGS}
            sides = {}
            for name in KINDS:
                node = await Node.start(environ, ("--serve", name), module="tests.benchmarks.request_guards")
                stack.nodes.append(node)
                sides[name] = Side(node)
            stack.sandbox.connect(stack.node.url, "internal-key")
            token = stack.token()
            for _ in range(rounds + 1):
                for side in sides.values():
                    await side.run(requests, token)
    return {name: side.spent[1:] for name, side in sides.items()}


def main() -> None:
    """Read the command line, measure, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        if given.serve == "without":
            take_out_guards()
        sys.exit(running.run(None, bind="127.0.0.1:0"))
    found = trio.run(measure, given.rounds, given.requests)
    differences = [one - other for one, other in zip(found["guarded"], found["without"], strict=True)]
    for name, values in {**found, "difference": differences}.items():
        print(f"{name:12} {statistics.median(values):8.0f} µs of CPU a request")  # noqa: T201 # the report
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
