"""A running service with its sandbox, as people start it, and a client that speaks the documents' shapes."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, TypeVar

import httpx
from attrs import field, frozen

from orchestrator.models.common.ids import new_id
from tests.platform.vectors import missing, vector
from tests.support.eventually import PATIENCE

T = TypeVar("T")

START_SECONDS: Final = 60
SESSION: Final = "5e551000-0000-4000-8000-000000000001"
MESSAGE: Final = "3e550000-0000-4000-8000-000000000001"
FRAME: Final = "f4a30000-0000-4000-8000-000000000001"
CORRELATION: Final = "c0440000-0000-4000-8000-000000000001"
META: Final = frozenset({"message_id", "correlation_id", "type", "schema_version", "created_at", "tenant_id"})


@frozen
class Told:
    """An answer."""

    status: int
    headers: httpx.Headers
    json: Any

    @property
    def data(self) -> Any:
        """What was asked for."""
        return self.json["data"]

    @property
    def fault(self) -> tuple[int, str, str]:
        """Status, code, and the path of the first detail."""
        details = self.json["error"]["details"]
        return self.status, self.json["error"]["code"], details[0]["path"] if details else ""


@frozen
class Served:
    """The service, and who asks it."""

    url: str
    token: str
    admin_token: str
    internal_key: str
    admin_key: str
    http: httpx.Client = field(repr=False)

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Told:
        """Send a request; the token is the user's unless another one is given."""
        sent = {"Authorization": f"Bearer {token or self.token}", **headers}
        if "X-API-Key" in headers:
            del sent["Authorization"]
        answer = self.http.request(method, self.url + path, json=body, headers=sent)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return Told(answer.status_code, answer.headers, answer.json() if is_json else None)

    def session(self, agent_id: str = "echo") -> str:
        """Create a session; returns its id."""
        return str(self.ask("POST", "/api/v1/session.create", {"agent_id": agent_id}).data["session_id"])

    def say(self, session_id: str, content: str = "hello", **fields: Any) -> Told:
        """Say something."""
        return self.ask("POST", "/api/v1/chat.message", {"session_id": session_id, "content": content, **fields})

    def until(self, what: str, look: Callable[[], T], holds: Callable[[T], Any]) -> T:
        """Look until it holds."""
        end = monotonic() + PATIENCE
        while True:
            seen = look()
            if holds(seen):
                return seen
            assert monotonic() < end, f"{what}: {seen}"
            sleep(0.02)


def sent(name: str, ids: Mapping[str, str] | None = None) -> Any:
    """Return a documented request with the ids of the run, and with envelope and correlation ids of its own."""
    own = {FRAME: new_id(), CORRELATION: new_id()}
    return vector(name).filled({**own, **(ids or {})})


def lacks(name: str, came: Told, *nullable: str) -> list[str]:
    """Say what a documented answer has that this one lacks."""
    example = vector(name)
    faults = missing(example.example, came.json, nullable=frozenset(nullable))
    return faults if example.status in {None, came.status} else [f"the status is {came.status}", *faults]


@contextmanager
def serve(data_dir: Path) -> Iterator[Served]:
    """Run the service inside the block."""
    command = [sys.executable, "-m", "cli", "dev", "--data-dir", str(data_dir), "--port", "0", "--no-chat"]
    told = data_dir / "dev.json"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = monotonic() + START_SECONDS
            while not told.exists():
                assert process.poll() is None, "the service ended while it started"
                assert monotonic() < end, "the service did not start"
                sleep(0.05)
            read = json.loads(told.read_text())
            tokens, keys = read["tenants"]["acme"], read["api_keys"]
            with httpx.Client(trust_env=False, timeout=30) as http:
                yield Served(
                    read["api_url"], tokens["token"], tokens["admin_token"], keys["internal"], keys["admin"], http
                )
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)
