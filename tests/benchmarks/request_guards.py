"""What authentication, limits and audit cost a request: CPU of the process, with them and with them taken out.

    python -m tests.benchmarks.request_guards [--requests 3000]

The service runs as it does in production, in two processes of their own over one Redis: one as it is, one whose
requests are of a fixed user and are neither counted nor audited. The same clients ask both for the same route in rounds
in turn, with a token that is remembered and whose agents are cached, so that what is asked for costs little. What the
processes do beside requests is in both figures.
"""

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen

from orchestrator import running
from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.models.common.principal import Principal, Role
from orchestrator.routes.http.endpoint import Endpoint
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, run
from tests.benchmarks.processes import cpu_seconds
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


@frozen
class Side:
    """A process."""

    node: Node

    async def run(self, requests: int, token: str) -> float:
        """Ask so many times, on some connections that are kept; returns the µs of CPU that one request took."""
        began = cpu_seconds(self.node.process.pid)
        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(ask, int(self.node.url.rpartition(":")[2]), requests // CONNECTIONS, token)
        used = cpu_seconds(self.node.process.pid) - began
        return used / (requests // CONNECTIONS * CONNECTIONS) * 1e6


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


@asynccontextmanager
async def opened(requests: int = 3000) -> AsyncIterator[Round]:
    """Start both processes over one Redis."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_stack(Path(folder)) as stack:
            environ = {**stack.environ, **SETTINGS}
            sides = {}
            for name in KINDS:
                node = await Node.start(environ, ("--part", "serve", name), module="tests.benchmarks.request_guards")
                stack.nodes.append(node)
                sides[name] = Side(node)
            stack.sandbox.connect(stack.node.url, "internal-key")
            token = stack.token()

            async def one_round() -> Figures:
                found = {f"{name}, CPU us": await side.run(requests, token) for name, side in sides.items()}
                return {**found, "difference, CPU us": found["guarded, CPU us"] - found["without, CPU us"]}

            yield one_round


def serve(kind: str) -> None:
    """Be one of the two processes."""
    if kind == "without":
        take_out_guards()
    sys.exit(running.run(None, bind="127.0.0.1:0"))


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("CPU of what guards a request", "the same request without", "difference, CPU us", unit="µs"),
        Row("CPU of a guarded request", "the same request without guards", "guarded, CPU us", "without, CPU us"),
    ),
    smallest={"requests": 80},
    warm_up=1,
    rounds=7,
)

if __name__ == "__main__":
    run(BENCHMARK, serve=serve)
