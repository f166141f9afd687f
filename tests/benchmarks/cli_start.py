"""What a command takes as a process of its own, beside `python -c pass` and a bare request of the same route.

    python -m tests.benchmarks.cli_start [--tasks 50]

The command asks a service of this machine that answers at once with a page of tasks: what is left is Python, its
imports and the command's own work. The rounds alternate.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.cli.commands.test_operators import open_operators
from tests.cli.runs import environment

BARE: Final = "bare Python"
REQUEST: Final = "bare request (http.client)"
_REQUEST = """
import http.client, os, urllib.parse
address = urllib.parse.urlsplit(os.environ["ORCH_API_URL"])
client = http.client.HTTPConnection(address.hostname, address.port)
client.request("GET", "/internal/v1/task.list", headers={"X-API-Key": "key"})
client.getresponse().read()
"""
COMMANDS: Final = {
    BARE: ("-c", "pass"),
    REQUEST: ("-c", _REQUEST),
    "nooble-orch --help": ("-m", "cli", "--help"),
    "tasks list -o json": ("-m", "cli", "tasks", "list", "--tenant", "acme", "-o", "json"),
    "tasks list -o table": ("-m", "cli", "tasks", "list", "--tenant", "acme", "-o", "table"),
    "tenants drain": ("-m", "cli", "tenants", "drain", "acme", "--yes"),
}


def task(number: int) -> dict[str, Any]:
    """Make a task as a list has it."""
    return {
        "task_id": f"01a204d8-6a56-7770-bdc0-{number:012}",
        "type": "chat.message",
        "status": "failed",
        "created_at": "2026-01-01T00:00:00Z",
        "error": {"code": "ORCH_CONN_001", "message": "away"},
    }


def run_once(arguments: tuple[str, ...], environ: dict[str, str]) -> tuple[float, float]:
    """Run a process to its end; returns its seconds, by the clock and of CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, env=environ, capture_output=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@asynccontextmanager
async def opened(tasks: int = 50) -> AsyncIterator[Round]:
    """Start the service that answers at once."""
    with tempfile.TemporaryDirectory() as home:
        async with open_operators() as fake:
            tenant = {"tenant_id": "acme", "state": "drained", "queued": 0, "in_hand": 0, "delayed": 0}
            fake.answers = {"task.list": [{"items": [task(number) for number in range(tasks)]}]}
            fake.answers |= {"tenant.drain": [tenant], "tenant.get": [tenant]}
            environ = environment(Path(home), **fake.target())

            async def one_round() -> Figures:
                found: dict[str, float] = {}
                for name, arguments in COMMANDS.items():
                    took, cpu = await trio.to_thread.run_sync(run_once, arguments, environ)
                    found |= {f"{name}, ms": took * 1000, f"{name}, CPU ms": cpu * 1000}
                return found

            yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("nooble-orch tasks list, as a process", "itself", "tasks list -o json, ms", reach=at_most(150), unit="ms"),
        *(
            Row(f"CPU of nooble-orch {name.removeprefix('nooble-orch ')}", peer, f"{name}, CPU ms", f"{peer}, CPU ms")
            for name in COMMANDS
            for peer in (BARE, REQUEST)
            if name not in {BARE, REQUEST}
        ),
    ),
    smallest={"tasks": 1},
    warm_up=1,
    rounds=10,
)

if __name__ == "__main__":
    run(BENCHMARK)
