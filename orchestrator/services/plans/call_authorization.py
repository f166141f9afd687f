"""Authorization of the calls of users' plans, by the record of each operation.

The permission that a call needs is checked when the plan comes in (`domain.permissions`). What its parameters name may
come from an earlier result, so its owner is checked here, right before the call.
"""

from typing import Any

from attrs import frozen

from orchestrator.clients.registry import OPERATIONS
from orchestrator.errors import NotFound, PermissionMissing
from orchestrator.models.common.ids import is_id
from orchestrator.models.downstream.operation import Owner
from orchestrator.services.plans.call_executor import CallExecutor, PlannedCall
from orchestrator.store.sessions.sessions import SessionStore, Viewer


@frozen
class CallAuthorization:
    """A `CallExecutor` that refuses calls which concern another user.

    Args:
        calls: makes the calls.
        sessions: knows the owners of sessions and their conversations.
    """

    calls: CallExecutor
    sessions: SessionStore

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call, and return its result; see `CallExecutor.perform`.

        Raises:
            PermissionMissing: plans can't call the operation.
            NotFound: a parameter names another user, or the session or conversation of one.
        """
        operation = OPERATIONS.get((call.step.service, call.step.operation))
        if operation is None or operation.plan is None:
            raise PermissionMissing(f"A plan can't call {call.step.service}.{call.step.operation}.")
        for name, value in call.step.parameters.items():
            await self._check(call, name, value, operation.plan.owners.get(name))
        result = await self.calls.perform(call)
        if operation.plan.hidden and isinstance(result, dict):
            return {**result, **dict.fromkeys(operation.plan.hidden)}
        return result

    async def _check(self, call: PlannedCall, name: str, value: Any, owner: Owner | None) -> None:
        tenant_id, user_id = call.run.message.tenant_id, call.run.message.metadata.user_id
        if owner is Owner.USER and value != user_id:
            raise NotFound(f"There is no user {str(value)[:64]!r} for whom this plan could act.")
        if owner is Owner.SESSION and is_id(str(value)):
            session = await self.sessions.get(Viewer(tenant_id, user_id, sees_whole_tenant=True), str(value))
            if session is not None and session.user_id != user_id:
                raise NotFound(f"There is no {name.removesuffix('_id')} {value}.")
