"""The documented fields of log lines, in those that a process writes."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from orchestrator.models.operations.audit import AuditKind
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from tests.end_to_end.stack import Stack, open_stack
from tests.platform.entries import Writer, open_writer
from tests.platform.vectors import missing, vector
from tests.support.eventually import eventually

WORDS: Final = "the words of a user"
UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_NAMES: Final = {
    "timestamp": "at",
    "event_type": "action",
    "resource_type": "detail",
    "resource_id": "detail",
    "details": "detail",
    "status": "outcome",
    "source_ip": "remote_address",
}
"""The names of documented facts in entries of the audit trail, where those are other ones."""
_FACTS: Final = {
    "action": "session.close",
    "outcome": "ok",
    "tenant_id": "acme",
    "user_id": "ann",
    "service": "agent-orchestrator",
    "remote_address": "127.0.0.1",
}


class Log:
    """The log of the processes that a test has started."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.text = ""

    def lines(self, event: str) -> list[Any]:
        """Return the lines of an event, so far."""
        self.text += self._capfd.readouterr().err
        written = [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]
        return [line for line in written if line["event"] == event]

    async def until(self, event: str) -> list[Any]:
        """Wait for lines of an event."""

        async def look() -> list[Any]:
            return self.lines(event)

        return await eventually(f"the log has {event}", look, bool)


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Log:
    return Log(capfd)


async def test_every_line_has_what_is_known_of_its_task(tmp_path: Path, log: Log) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start(log_level="debug")
        session = await stack.session()
        await stack.say(session, "hi", mode="wait")
        [line] = await log.until("task.claimed")
        for name in ("log-line", "log-common"):
            # A task is no request, and its trace is that of the request: it has neither id of its own.
            known = vector(name).example.keys() - {"context", "span_id", "request_id"}
            assert missing({field: vector(name).example[field] for field in known}, line) == []
        assert (line["session_id"], line["category"], line["message"]) == (session, "business", "task.claimed")
        every = [json.loads(text) for text in log.text.splitlines() if text.startswith("{")]
        assert every
        for other in every:
            assert missing(dict.fromkeys(("timestamp", "level", "service", "message", "category"), ""), other) == []


async def test_what_fails_leaves_a_line_without_content(tmp_path: Path, log: Log) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start(task_retries="0")
        session = await stack.session()
        async with stack.client() as client:
            said = {"session_id": session, "content": WORDS, "no_such_field": WORDS}
            refused = (await client.post("/api/v1/chat.message?token=abc", json=said)).json()
        [line] = await log.until("request.failed")
        assert missing(vector("log-error").example, line) == []
        assert (line["level"], line["error_code"], line["http_status"]) == ("warning", "ORCH_VAL_003", 400)
        assert line["metadata"] == {"request_path": "/api/v1/chat.message", "method": "POST"}
        assert (line["tenant_id"], line["correlation_id"]) == ("acme", refused["correlation_id"])
        await _refuse_socket(stack)
        lines = log.lines("request.failed")
        assert [(one["http_status"], one["metadata"]["request_path"]) for one in lines[1:]] == [
            (404, "/ws/v1/chat/unknown")
        ]
        stack.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", "execute", status=400))
        sent = await stack.say(session, WORDS)
        [failed] = await log.until("task.failed")
        assert missing(vector("log-error").example, failed) == []
        assert (failed["task_id"], failed["tenant_id"]) == (sent["data"]["task_id"], "acme")
        assert WORDS not in log.text
        assert "abc" not in log.text.partition("request.failed")[2]


async def test_audited_entries_have_the_documented_facts(tmp_path: Path) -> None:
    admin, keys = "key-of-operators", Keys()
    async with open_stack(tmp_path) as stack:
        stack.environ["ORCH_API_KEYS"] += f",operator:admin:{sha256(admin.encode()).hexdigest()}"
        await stack.start()
        session = await stack.session()
        async with stack.client() as client, stack.client() as operator:
            assert (await client.delete(f"/api/v1/session.close/{session}")).status_code == 200
            headers = {"X-API-Key": admin}
            made = await operator.post("/internal/v1/key.create", json={"name": "another"}, headers=headers)
            assert made.status_code == 201, made.text
        async with open_writer(stack) as writer:
            [entry] = await _entries(writer, keys.tenant_audit("acme", AuditKind.ACTIVITY), "session.close")
            assert {**entry, **_FACTS} == entry
            assert session in entry["detail"]
            assert keys.audit == "orchestrator:audit:events"
            [copy] = await _entries(writer, keys.audit, "session.close")
            assert copy == entry | {"copied": "1"}
            [entry] = await _entries(writer, keys.audit, "key.create")
        documented = {_NAMES.get(name, name) for name in vector("log-audit").example}
        assert documented - entry.keys() == documented - copy.keys() == set()
        assert (entry["tenant_id"], entry["outcome"], entry["user_id"]) == ("", "ok", "operator")


async def _entries(writer: Writer, stream: str, action: str) -> list[dict[str, str]]:
    async def look() -> list[dict[str, str]]:
        rows = await writer.redis.xrange(stream)
        entries = [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in rows]
        return [entry for entry in entries if entry["action"] == action]

    return await eventually(f"{action} is audited", look, bool)


async def _refuse_socket(stack: Stack) -> None:
    async with stack.client() as client:
        refused = await client.get("/ws/v1/chat/unknown", headers=UPGRADE)
    assert refused.status_code == 404
