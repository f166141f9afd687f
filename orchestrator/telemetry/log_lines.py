"""The fields of a log line that all services of the platform write: service, message, category and stack trace."""

from collections.abc import MutableMapping
from typing import Any, Final

SERVICE: Final = "agent-orchestrator"
CATEGORIES: Final = {
    "audit": "security",
    "failures": "security",
    "host": "security",
    "jwks": "security",
    "origin": "security",
    "batch": "business",
    "chat": "business",
    "notifications": "business",
    "schedule": "business",
    "session": "business",
    "task": "business",
    "workflow": "business",
    "answer": "external",
    "callback": "external",
    "catalog": "external",
    "delegation": "external",
    "gateway": "external",
    "service_call": "external",
    "task_news": "external",
    "loop": "performance",
    "quota": "performance",
}
"""By the first word of an event; all others are of the system itself."""
SYSTEM: Final = "system"


def complete(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what the platform's other services look for in a line; `event` stays as it is."""
    event = str(line.get("event", ""))
    line["service"] = SERVICE
    line.setdefault("message", event)
    line.setdefault("category", CATEGORIES.get(event.partition(".")[0], SYSTEM))
    if "exception" in line:
        line["stack_trace"] = line.pop("exception")
    return line
