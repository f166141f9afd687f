"""A service just big enough for the command line: one session whose answers follow a script by what is asked."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, request, websocket
from quart_trio import QuartTrio

SESSION = "session-1"
TOKEN = "the-token"
PAUSED = {"reason": "paused", "says": "Its tenant is paused: nothing starts until it is resumed."}
LONG_TASK = "01a204d8-6a56-7770-bdc0-01a89580ed9d"


class FakeService:
    """What tests see of it."""

    def __init__(self) -> None:
        self.url = ""
        self.log: list[dict[str, Any]] = []
        self.grown = trio.Event()
        self.connections: list[str] = []
        self.drop_after: int | None = None
        self.tool_results: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.sessions = [("session-1", "ACTIVE"), ("session-2", "ACTIVE")]
        self.assigned: list[dict[str, Any]] = []
        self.looks = 0
        self.closed = False
        self.gone = False
        self.asked = trio.Event()
        self.silent = ""
        """The route that never answers; `asked` tells that it was asked."""

    def append(self, name: str, **data: Any) -> None:
        """Add an event to the log."""
        domain, action = name.split(".")
        self.log.append(
            {
                "type": {"domain": domain, "action": action},
                "data": data,
                "offset": len(self.log) + 1,
                "epoch": "e1",
                "correlation_id": "correlation-1",
                "created_at": "2026-01-01T00:00:00.000Z",
            }
        )
        self.grown.set()
        self.grown = trio.Event()

    def answer(self, message: str, text: str, **more: Any) -> None:
        """Add the events of a whole answer."""
        self.append("chat.status_update", message_id=message, task_id="task-1", status="processing")
        for number, word in enumerate(text.split(" ")):
            chunk = word if number == 0 else f" {word}"
            self.append("chat.stream", parent_message_id=message, sequence_number=number + 1, chunk=chunk)
        self.complete(message, text, **more)

    def complete(self, message: str, text: str, **more: Any) -> None:
        """Add the end of an answer."""
        data = {"message_id": "answer-1", "content": text, "sources": [], "tool_calls": [], "usage": {}, **more}
        self.append("chat.completed", parent_message_id=message, **data)
        self.append("chat.status_update", message_id=message, task_id="task-1", status="completed")


def envelope(data: Any, status: int = 200, next_cursor: str | None = None) -> Response:
    """Make a successful answer."""
    meta = {"pagination": {"limit": 1, "has_more": bool(next_cursor), "next_cursor": next_cursor}}
    return Response(json.dumps({"data": data, "meta": meta}), status, content_type="application/json")


def refusal(status: int, message: str, *, code: str = "ORCH_X") -> Response:
    """Make an error."""
    error = {"code": code, "type": "x", "message": message, "details": [], "retryable": False}
    return Response(json.dumps({"data": None, "error": error}), status, content_type="application/json")


def session_record(**changes: Any) -> dict[str, Any]:
    """Make a session as the API has it."""
    return {
        "session_id": SESSION,
        "tenant_id": "acme",
        "user_id": "ada",
        "agent_id": "echo",
        "state": "ACTIVE",
        "state_code": 20,
        "message_count": 0,
        "last_activity_at": "2026-01-01T00:00:00.000Z",
        **changes,
    }


def batch_record(batch_id: str, **changes: Any) -> dict[str, Any]:
    """Make a batch of four items as the API has it."""
    counts = {"completed": 0, "failed": 0, "cancelled": 0, "running": 0}
    return {"batch_id": batch_id, "status": "running", "total": 4, **counts, **changes}


def usage_item(key: str, requests: int) -> dict[str, Any]:
    """Make what was spent on one thing as the API has it."""
    tokens = {"prompt_tokens": 20_000 * requests, "completion_tokens": 5 * requests, "total_tokens": 20_005 * requests}
    cost = {"unsettled_tokens": 0, "cost": requests * 0.00125}
    return {"key": key, "requests": requests, "cached": 1, **tokens, **cost}


def make_app(fake: FakeService) -> QuartTrio:
    """Build the application."""
    app = QuartTrio("fake")

    @app.before_request
    async def check() -> Response | None:
        fake.requests.append(f"{request.method} {request.full_path.rstrip('?')}")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return refusal(401, "The token is not good.")
        if fake.silent and f"/{fake.silent}" in request.path:
            fake.asked.set()
            await trio.sleep_forever()
        return None

    @app.post("/api/v1/session.create")
    async def create() -> Response:
        body = await request.get_json()
        return envelope(session_record(agent_id=body["agent_id"]), 201)

    @app.get("/api/v1/session.list")
    async def listed() -> Response:
        if request.args.get("cursor"):
            return envelope({"items": [session_record(session_id="session-3")]})
        items = [session_record(session_id=session_id, state=state) for session_id, state in fake.sessions]
        return envelope({"items": items}, next_cursor="more")

    @app.get("/api/v1/session.get/<session_id>")
    async def get(session_id: str) -> Response:
        if session_id != SESSION:
            return refusal(404, f"There is no session {session_id}.")
        return envelope(session_record())

    @app.delete("/api/v1/session.close/<session_id>")
    async def close(session_id: str) -> Response:
        fake.closed = True
        return envelope(session_record(session_id=session_id, state="TERMINATED"))

    @app.get("/api/v1/task.list")
    async def tasks() -> Response:
        error = {"code": "ORCH_CONN_001", "message": "away"}
        item = {"task_id": LONG_TASK, "type": "chat.message", "status": "failed", "attempt": 2, "error": error}
        return envelope({"items": [item]})

    @app.post("/api/v1/task.cancel/<task_id>")
    async def cancel_task(task_id: str) -> Response:
        return envelope({"task_id": task_id, "cancelled": False})

    @app.get("/api/v1/batch.list")
    async def batches() -> Response:
        return envelope({"items": [batch_record("b1"), batch_record("b2", status="completed", completed=4)]})

    @app.get("/api/v1/batch.get/<batch_id>")
    async def batch(batch_id: str) -> Response:
        fake.looks += 1
        if fake.looks == 1 or batch_id == "endless":
            return envelope(batch_record(batch_id, completed=1, running=2))
        if batch_id == "partial":
            return envelope(batch_record(batch_id, status="partial", completed=3, failed=1))
        return envelope(batch_record(batch_id, status="completed", completed=4))

    @app.get("/api/v1/batch.results/<batch_id>")
    async def results(batch_id: str) -> Response:
        error = {"code": "ORCH_CONN_001", "message": "away"}
        return envelope({"items": [{"index": 3, "task_id": f"{batch_id}.3", "status": "failed", "error": error}]})

    @app.get("/api/v1/usage.get")
    async def usage() -> Response:
        items = [] if request.args.get("from") == "2020-01-01" else [usage_item("large", 3), usage_item("", 2)]
        return envelope({"items": items, "totals": usage_item("", 5)})

    @app.delete("/api/v1/batch.cancel/<batch_id>")
    async def cancel_batch(batch_id: str) -> Response:
        return envelope({"batch_id": batch_id, "cancelled": batch_id != "b2"})

    @app.get("/api/v1/agent.list")
    async def agents() -> Response:
        echo = {"agent_id": "echo", "version": "1.1.0", "name": "Echo", "description": "Says what you said."}
        return envelope({"items": [echo, {**echo, "agent_id": "calculator", "version": "1.0.0", "description": ""}]})

    @app.put("/api/v1/agent.assign/<session_id>")
    async def assign(session_id: str) -> Response:
        body = await request.get_json()
        fake.assigned.append(body)
        if body["agent_id"] == "nobody":
            return refusal(404, "There is no agent 'nobody'.")
        return envelope(session_record(agent_id=body["agent_id"]))

    @app.get("/api/v1/task.trace/<correlation_id>")
    async def trace(correlation_id: str) -> Response:
        moment = "2026-01-01T00:00:00.000Z"
        step = {
            "at": moment,
            "after_ms": 0,
            "step": "accepted",
            "task_id": "task-1",
            "attempt": 0,
            "detail": "",
            "node": "",
        }
        steps = [step, {**step, "after_ms": 5, "step": "claimed", "attempt": 1, "node": "node-1"}]
        steps.append({**step, "after_ms": 1500, "step": "finished", "detail": "completed"})
        return envelope({"correlation_id": correlation_id, "started_at": moment, "duration_ms": 1500, "steps": steps})

    @app.get("/api/v1/task.why/<task_id>")
    async def why(task_id: str) -> Response:
        fake.answer(f"message-{len(fake.messages)}", "resumed")
        return envelope({"task_id": task_id, "status": "pending", **PAUSED})

    @app.post("/api/v1/chat.message")
    async def message() -> Response:
        body = await request.get_json()
        fake.messages.append(body)
        message_id = f"message-{len(fake.messages)}"
        script(fake, message_id, body["content"])
        fake.asked.set()
        return envelope({"task_id": "task-1", "message_id": message_id, "session_id": SESSION, "status": "queued"}, 202)

    @app.post("/api/v1/chat.cancel/<message_id>")
    async def cancel(message_id: str) -> Response:
        fake.append("chat.status_update", message_id=message_id, task_id="task-1", status="cancelled")
        return envelope({"message_id": message_id, "cancelled": True})

    @app.websocket("/ws/v1/chat/<session_id>")
    async def follow(session_id: str) -> None:
        await serve_socket(fake)

    return app


def script(fake: FakeService, message: str, content: str) -> None:
    """Answer as the question asks for."""
    if content == "fail":
        error = {"code": "ORCH_CONN_001", "message": "Agent Execution is away."}
        fake.append("system.error", error=error, parent_id=message)
        fake.append("chat.status_update", message_id=message, task_id="task-1", status="failed")
    elif content == "hang":
        fake.append("chat.status_update", message_id=message, task_id="task-1", status="processing")
    elif content == "paused":
        return
    elif content == "confirm":
        fake.append(
            "tool.execute",
            tool_call_id="call-1",
            parent_message_id=message,
            tool_id="confirm_action",
            params={"message": "Really?"},
            timeout_ms=5000,
        )
    elif content.startswith("tool "):
        fake.append("chat.status_update", message_id=message, task_id="task-1", status="processing")
        call = {"tool_call_id": "call-1", "parent_message_id": message}
        fake.append("tool.started", **call, tool_id="calculator", params={"expression": "1+1"})
        if content == "tool hangs":
            return
        failed = {"status": "error", "data": None, "error_message": "Division by zero."}
        result = failed if content == "tool fails" else {"status": "success", "data": 2, "error_message": None}
        fake.append("tool.result", **call, result=result)
        called = {"tool_call_id": "call-1", "tool_id": "calculator", "parameters": {"expression": "1+1"}}
        fake.answer(message, "so it is", tool_calls=[called])
    elif content == "start over":
        fake.append("chat.stream", parent_message_id=message, sequence_number=1, chunk="half an ans")
        fake.append("chat.stream_reset", parent_message_id=message, attempt=2)
        fake.answer(message, "the whole answer")
    elif content == "sources":
        fake.answer(
            message,
            "as written",
            sources=[{"title": "Draining", "path": "docs/drain.md"}],
            tool_calls=[{"tool_id": "calculator", "params": {"expression": "1+1"}, "result": 2}],
            degraded=["conversation"],
        )
    else:
        fake.answer(message, content)


async def serve_socket(fake: FakeService) -> None:
    """Send the log as the service does, from where the client left off."""
    fake.connections.append(websocket.query_string.decode())
    offset = int(websocket.args.get("last_offset", len(fake.log)))
    await websocket.accept()
    state = {"session_id": SESSION, "state": "ACTIVE", "offset": offset, "epoch": "e1", "recovered": True}
    kind = {"domain": "session", "action": "state_update"}
    await websocket.send(json.dumps({"type": kind, "data": state, "offset": offset, "epoch": "e1"}))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_listen, fake)
        while not fake.gone:
            grown = fake.grown
            for frame in fake.log[offset:]:
                if fake.drop_after is not None and frame["offset"] > fake.drop_after:
                    fake.drop_after = None
                    await websocket.close(1012)
                    nursery.cancel_scope.cancel()
                    return
                await websocket.send(json.dumps(frame))
                offset = frame["offset"]
            await grown.wait()
        await websocket.close(1000)
        nursery.cancel_scope.cancel()


async def _listen(fake: FakeService) -> None:
    while True:
        frame = json.loads(await websocket.receive())
        fake.tool_results.append(frame["data"])
        fake.complete(f"message-{len(fake.messages)}", json.dumps(frame["data"]["result"]))


@asynccontextmanager
async def run_fake() -> AsyncIterator[FakeService]:
    """Serve it inside the block."""
    fake = FakeService()
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.loglevel = "CRITICAL"
    config.graceful_timeout = 0.1
    over = trio.Event()
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(
            lambda task_status: serve(make_app(fake), config, shutdown_trigger=over.wait, task_status=task_status)
        )
        fake.url = urls[0]
        yield fake
        fake.gone = True
        fake.grown.set()
        over.set()
