"""An example of every frame that clients and services send, for `/asyncapi.json`."""

from collections.abc import Mapping
from typing import Any, Final

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "chat.message": {"content": "How do I drain a tenant?", "if_busy": "enqueue"},
    "chat.cancel": {"message_id": "m-1"},
    "tool.result": {"tool_call_id": "call-1", "result": {"status": "success", "data": {"confirmed": True}}},
    "workflow.input": {"node_id": "approval", "input": {"approved": True}},
    "workflow.cancel": {"task_id": "t-1", "reason": "no longer needed"},
    "session.sync": {"last_offset": 41, "epoch": "5f3c9a12"},
    "system.auth": {"token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"},
    "system.ping": {"client_timestamp": 1767225600000},
    "task.progress": {"task_id": "t-1", "callback_token": "c-1", "progress": 0.5},
    "task.complete": {"task_id": "t-1", "callback_token": "c-1", "result": {"rows": 3}},
    "task.fail": {"task_id": "t-1", "callback_token": "c-1", "error": {"code": "ENGINE_001", "message": "No disk."}},
}
"""The data of each, by name."""


def example_frame(name: str) -> dict[str, Any]:
    """Return a whole frame.

    Args:
        name: the frame, `domain.action`.
    """
    domain, _, action = name.partition(".")
    kind = {"domain": domain, "action": action}
    return {"type": kind, "message_id": "frame-1", "correlation_id": "corr-1", "data": dict(EXAMPLES[name])}
