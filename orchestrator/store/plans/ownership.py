"""Whose a thing is that a plan names: from the records of sessions, messages and tasks, and from a register of what has
no record here, such as a conversation that a plan has begun, or an execution of a service.

Each question is one round trip, with the same commands whether the thing is another user's or not there at all.
"""

from enum import StrEnum
from typing import Final

from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_REGISTER: Final = Script("plans/register_owner")
_USER: Final = "user_id"


class Registered(StrEnum):
    """Kinds of things in the register."""

    CONVERSATION = "conversation"
    EXECUTION = "execution"
    RUN = "run"
    """An execution of a service, as belonging to the task that has it run."""


class OwnershipStore(TenantStore):
    """Knows the users that things belong to; None: unknown, or nothing."""

    async def of_session(self, tenant_id: str, session_id: str) -> str | None:
        """Return the user of a session."""
        return _text(await self.redis.hget(self.keys.session(tenant_id, session_id), _USER))

    async def of_conversation(self, tenant_id: str, conversation_id: str) -> str | None:
        """Return the user of a conversation: that of the session with its id, else as it is registered."""
        return await self._first(
            ("HGET", self.keys.session(tenant_id, conversation_id), _USER),
            ("GET", self.keys.owner(tenant_id, Registered.CONVERSATION, conversation_id)),
        )

    async def of_message(self, tenant_id: str, message_id: str, user_id: str) -> str | None:
        """Return the user in whose session a message was said; `user_id` is who asks, and may use the id too."""
        own, first = await self.redis.gather(
            [
                ("HGET", self.keys.user_message(tenant_id, message_id, user_id), "session_id"),
                ("HGET", self.keys.message(tenant_id, message_id), "session_id"),
            ]
        )
        return await self.of_session(tenant_id, _text(own or first) or "")

    async def of_task(self, tenant_id: str, task_id: str) -> str | None:
        """Return the user of a task, or of an execution that is registered."""
        return await self._first(
            ("HGET", self.keys.task(tenant_id, task_id), _USER),
            ("GET", self.keys.owner(tenant_id, Registered.EXECUTION, task_id)),
        )

    async def task_of(self, tenant_id: str, execution_id: str) -> str | None:
        """Return the task that has an execution of a service run; None: unknown.

        A run that the Workflow Engine has started by itself is known by its name alone until its task is claimed.
        """
        return await self._first(
            ("GET", self.keys.owner(tenant_id, Registered.RUN, execution_id)),
            ("GET", self.keys.execution(tenant_id, execution_id)),
        )

    async def register(self, tenant_id: str, kind: Registered, name: str, owner: str, seconds: int) -> bool:
        """Have something belong to a user, or a run to a task, for some time from now on.

        Returns:
            False where it is registered as another's.
        """
        place = self.keys.owner(tenant_id, kind, name)
        return bool(await self.run(_REGISTER, tenant_id, owner, seconds, keys=[place]))

    async def _first(self, *commands: tuple[str, ...]) -> str | None:
        return next((_text(value) for value in await self.redis.gather(list(commands)) if value is not None), None)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
