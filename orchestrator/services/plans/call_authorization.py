"""Authorization of the calls of users' plans, by the record of each operation.

The permissions that calls need are checked when the plan comes in (`domain.permissions`). What its parameters name may
come from an earlier result, so its owner is checked here, right before the call, by the values that are sent. A call is
made only where it is known that all of it is the user's: what is unknown is refused as what is another user's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from orchestrator.clients.conversation import MESSAGES
from orchestrator.clients.registry import OPERATIONS
from orchestrator.errors import NotFound, PermissionMissing, Unprocessable
from orchestrator.models.common.ids import is_id
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.services.plans.call_executor import CallExecutor, PlannedCall
from orchestrator.store.plans.ownership import OwnershipStore, Registered

NESTED: Final[Mapping[str, Owner]] = {
    "user_id": Owner.USER,
    "session_id": Owner.SESSION,
    "conversation_id": Owner.CONVERSATION,
}
"""What is looked for within nested parameters, beside `tenant_id`."""
_GIVEN_ELSEWHERE: Final = re.compile(r"[0-9a-f]{32}")
"""How the ids of sessions look, without dashes: no plan makes one up."""
MOST_NAMED: Final = 100
"""Things that the parameters of one call may name; each takes a round trip."""
_NO_HEX: Final = re.compile(r"[^0-9a-f]")


@frozen
class CallAuthorization:
    """A `CallExecutor` that refuses calls which concern another user.

    Args:
        calls: makes the calls.
        ownership: knows whose things are.
        keep_seconds: how long what a plan begins is known as its user's.
    """

    calls: CallExecutor
    ownership: OwnershipStore
    keep_seconds: int

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call, and return its result; see `CallExecutor.perform`.

        Raises:
            PermissionMissing: plans can't call the operation.
            Unprocessable: its parameters name more than `MOST_NAMED` things.
            NotFound: a parameter names what is not known as the user's.
        """
        operation = OPERATIONS.get((call.step.service, call.step.operation))
        if operation is None or operation.plan is None:
            raise PermissionMissing(f"A plan can't call {call.step.service}.{call.step.operation}.")
        named = list(_named(operation, operation.plan, call.step.parameters))
        if len(named) > MOST_NAMED:
            raise Unprocessable(f"The parameters of a call name more than {MOST_NAMED} users, sessions and the like.")
        for name, value, owner in named:
            if not await self._is_own(call, value, owner):
                raise NotFound(f"There is no {_noun(name)} {str(value)[:64]!r} for this plan.")
        if "tenant_id" in call.step.parameters or _names_other_tenant(call, operation.plan):
            raise NotFound("There is no other tenant for this plan.")
        result = await self.calls.perform(call)
        await self._note(call, operation.plan, result)
        return _without(result, operation.plan.hidden) if operation.plan.hidden else result

    async def _is_own(self, call: PlannedCall, value: Any, owner: Owner) -> bool:
        """Tell whether what a parameter names is known as the user's."""
        message = call.run.message
        tenant_id, user_id = message.tenant_id, message.metadata.user_id
        if owner is Owner.USER:
            return bool(value == user_id)
        if not isinstance(value, str) or not is_id(value):
            return False
        match owner:
            case Owner.TENANT | Owner.WITHIN:
                return True
            case Owner.SESSION:
                return await self.ownership.of_session(tenant_id, value) == user_id
            case Owner.CONVERSATION:
                return await self.ownership.of_conversation(tenant_id, value) == user_id
            case Owner.NEW_CONVERSATION:
                return await self._may_begin(call, value)
            case Owner.MESSAGE:
                return await self.ownership.of_message(tenant_id, value, user_id) == user_id
            case Owner.TASK:
                return await self.ownership.of_task(tenant_id, value) == user_id

    async def _may_begin(self, call: PlannedCall, conversation_id: str) -> bool:
        """Tell whether a conversation is the user's, or there is none by this id, which is the user's from then on."""
        message = call.run.message
        tenant_id, user_id = message.tenant_id, message.metadata.user_id
        holder = await self.ownership.of_conversation(tenant_id, conversation_id)
        if holder is not None or _GIVEN_ELSEWHERE.search(_NO_HEX.sub("", conversation_id.lower())):
            return holder == user_id
        step = ServiceCall(*MESSAGES.key, MEDIUM, parameters={"conversation_id": conversation_id, "limit": 1})
        try:
            await self.calls.perform(evolve(call, step=step, answer=None))
        except NotFound:
            return await self._register(call, conversation_id)
        return False

    async def _note(self, call: PlannedCall, access: PlanAccess, result: Any) -> None:
        begun = result.get(access.begins) if access.begins and isinstance(result, dict) else None
        if begun is not None and not (isinstance(begun, str) and is_id(begun) and await self._register(call, begun)):
            raise NotFound(f"The {_noun(access.begins)} that the service names is not this plan's.")

    async def _register(self, call: PlannedCall, conversation_id: str) -> bool:
        message = call.run.message
        return await self.ownership.register(
            message.tenant_id, Registered.CONVERSATION, conversation_id, message.metadata.user_id, self.keep_seconds
        )


def _named(operation: Operation, access: PlanAccess, parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any, Owner]]:
    """Yield what the parameters of a call name that has an owner; a field that is null names nothing."""
    for name, value in parameters.items():
        if name in access.owners and (value is not None or name in operation.path_parameters):
            yield name, value, access.owners[name]
    for name in access.nested:
        for inner, value in _fields(parameters.get(name)):
            if inner in NESTED and value is not None:
                yield inner, value, NESTED[inner]


def _names_other_tenant(call: PlannedCall, access: PlanAccess) -> bool:
    inner = (pair for name in access.nested for pair in _fields(call.step.parameters.get(name)))
    return any(name == "tenant_id" and value not in (None, call.run.message.tenant_id) for name, value in inner)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every field of a structure, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)


def _without(result: Any, hidden: tuple[str, ...]) -> Any:
    """Return a result with some fields as null, however deep they stand."""
    if isinstance(result, dict):
        return {name: None if name in hidden else _without(value, hidden) for name, value in result.items()}
    return [_without(one, hidden) for one in result] if isinstance(result, list) else result


def _noun(parameter: str) -> str:
    return parameter.removesuffix("_id").replace("_", " ")
