"""Figures and publications of sessions, under the names of the platform's documents."""

import re
from typing import Any

from tests.platform.served import Served
from tests.platform.vectors import vector


def figures(served: Served) -> tuple[dict[str, str], dict[str, set[str]]]:
    """The types of all figures, and the labels that their series have."""
    text = served.http.get(f"{served.url}/metrics", headers={"X-API-Key": served.admin_key}).text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    labels: dict[str, set[str]] = {}
    for name, inside in re.findall(r"^(\w+)\{([^}]*)\}", text, re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inside))
    return types, labels


def test_every_documented_figure_is_there_with_its_type_and_labels(served: Served) -> None:
    session_id = served.session()
    served.say(session_id, "hello", mode="wait")
    served.ask("POST", "/api/v1/chat.message", {"session_id": session_id})
    served.ask("DELETE", f"/api/v1/session.close/{session_id}")
    types, labels = figures(served)
    wanted: list[dict[str, Any]] = vector("met-names").example
    assert len(wanted) == 16
    for one in wanted:
        name = one["name"]
        assert types[name] == one["type"], name
        series = labels.get(f"{name}_count" if one["type"] == "histogram" else name)
        if series is not None:
            assert {*one["labels"]} <= series, name
    for name in ("sessions_completed_total", "session_duration_seconds_count", "websocket_connections_active"):
        assert "tenant_id" in labels[f"nooble_orchestrator_{name}"]
