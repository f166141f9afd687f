"""Changes of agents, in the message of the documents: `agent.update`."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.errors import InvalidBody
from orchestrator.models.agents.agent_views import MOST_SESSIONS
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id

_FOLLOWED: Final = {"force_update_sessions": "rebind", "notify_sessions": "notify"}
"""What becomes of the sessions that a change names, by its policy."""


def read_agent_change(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read `agent.update` as what `agent.updated` takes; None: the message is something else.

    Raises:
        InvalidBody: it names no agent.
    """
    if content.get("type") not in ({"domain": "agent", "action": "update"}, "agent.update"):
        return None
    payload: Mapping[str, Any] = next(
        (content[name] for name in ("payload", "data") if isinstance(content.get(name), dict)), {}
    )
    agent_id, version = payload.get("agent_id"), payload.get("new_version")
    if not isinstance(agent_id, str) or not is_id(agent_id):
        fault = FieldFault("$.payload.agent_id", "must be an id")
        raise InvalidBody(f"{fault.path} {fault.message}.", details=[fault])
    change: dict[str, Any] = {"agent_id": agent_id, "version": version if isinstance(version, str) else None}
    follow, sessions = _FOLLOWED.get(str(payload.get("update_policy"))), payload.get("active_sessions")
    if follow is not None and isinstance(sessions, list):
        change[follow] = [one for one in sessions if isinstance(one, str) and is_id(one)][:MOST_SESSIONS]
    return change
