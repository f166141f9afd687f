"""The calls of users' plans, kept to what is the user's.

A conversation is named like the session that it belongs to, so whose it is is asked of the session. What other services
name themselves (executions, runs of the Workflow Engine) can't be guessed, and is told to nobody else. What an agent is
told to be is not for users.
"""

from typing import Any, Final

from attrs import frozen

from orchestrator.errors import NotFound
from orchestrator.models.common.ids import is_id
from orchestrator.services.plans.call_executor import CallExecutor, PlannedCall
from orchestrator.store.sessions.sessions import SessionStore, Viewer

_OF_SESSIONS: Final = ("conversation_id", "session_id")
_AGENT: Final = ("agent_management", "get")


@frozen
class CallAuthorization:
    """Makes calls of plans that concern nobody else; what `services.performing.Performer` asks for.

    Args:
        calls: makes them.
        sessions: knows whose conversations are.
    """

    calls: CallExecutor
    sessions: SessionStore

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call, and return its result; see `CallExecutor.perform`.

        Raises:
            NotFound: it names another user, or the conversation or session of one.
        """
        message = call.run.message
        viewer = Viewer(message.tenant_id, message.metadata.user_id, sees_whole_tenant=True)
        user_id = call.step.parameters.get("user_id", viewer.user_id)
        if user_id != viewer.user_id:
            raise NotFound(f"There is no user {str(user_id)[:64]!r} for whom this plan could act.")
        for name in _OF_SESSIONS:
            named = str(call.step.parameters.get(name, ""))
            session = await self.sessions.get(viewer, named) if is_id(named) else None
            if session is not None and session.user_id != viewer.user_id:
                raise NotFound(f"There is no {name.removesuffix('_id')} {named}.")
        result = await self.calls.perform(call)
        if (call.step.service, call.step.operation) == _AGENT and isinstance(result, dict):
            # As `agent.get` tells it to users.
            return {**result, "system_prompt": None}
        return result
