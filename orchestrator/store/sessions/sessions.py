"""Sessions in Redis."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.models.common.ids import new_epoch, new_id
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.store.records import as_object, readable, reading
from orchestrator.store.script import Script
from orchestrator.store.sessions.ticket_store import TicketStore
from orchestrator.store.sessions.verdicts import (
    AgentAssignVerdict,
    DueSessions,
    SessionCloseVerdict,
    SessionCreateVerdict,
    SessionCreation,
    SessionMoveVerdict,
    SessionUpdateVerdict,
)
from orchestrator.store.tenant_store import descending, read_verdict

_CREATE: Final = Script("sessions/create_session")
_MOVE: Final = Script("sessions/move_session")
_UPDATE: Final = Script("sessions/update_session")
_ASSIGN: Final = Script("sessions/assign_agent")
_CLOSE: Final = Script("sessions/close_session")
_IDLE: Final = Script("sessions/idle_sessions")


@frozen
class Rates:
    """The rate limits that apply to a request: requests a second, and seconds' worth that may come at once."""

    tenant: float
    user: float
    burst_seconds: float


@frozen
class Viewer:
    """Who looks: what belongs to others does not exist for them, unless they see the whole tenant."""

    tenant_id: str
    user_id: str
    sees_whole_tenant: bool

    @property
    def flag(self) -> str:
        """`sees_whole_tenant` as scripts take it."""
        return "1" if self.sees_whole_tenant else "0"

    def may_see(self, record: Mapping[bytes, bytes]) -> bool:
        """Tell whether what has this record exists for the viewer, by the field `user_id`."""
        return self.sees_whole_tenant or record.get(b"user_id") == self.user_id.encode()


class SessionStore(TicketStore):
    """Sessions: their records, their states, their lists and tickets."""

    async def create(
        self,
        viewer: Viewer,
        *,
        owner: str,
        agent_id: str,
        fields: Mapping[str, str | bytes],
        rates: Rates,
        correlation_id: str,
        idempotency_key: str | None,
        digest: str,
        unused_ms: int,
    ) -> SessionCreation:
        """Create a session, all of it or nothing; one that is not used within `unused_ms` is closed."""
        session_id = new_id()
        record: dict[str, Any] = {"tenant_id": viewer.tenant_id, "user_id": owner, "agent_id": agent_id, **fields}
        record["epoch"] = new_epoch()
        reply = await self.run(
            _CREATE,
            viewer.tenant_id,
            session_id,
            owner,
            correlation_id,
            digest,
            "1" if idempotency_key else "0",
            rates.tenant,
            rates.user,
            rates.burst_seconds,
            IDEMPOTENCY_SECONDS,
            self.limit_defaults["sessions"],
            self.limit_defaults["bytes"],
            unused_ms,
            *self.contents.seal_fields(viewer.tenant_id, "session", record),
            keys=[
                self.keys.idempotency(viewer.tenant_id, viewer.user_id, idempotency_key or ""),
                self.keys.tenant_limit(viewer.tenant_id),
                self.keys.user_limit(viewer.tenant_id, viewer.user_id),
            ],
        )
        verdict = SessionCreateVerdict(reply[0].decode())
        if verdict is SessionCreateVerdict.OK:
            await self.note_tenant(viewer.tenant_id)
            return SessionCreation(verdict, session_id, *reply[1:])
        if verdict is SessionCreateVerdict.RATE:
            return SessionCreation(verdict, reply[2].decode(), reply[1])
        return SessionCreation(*read_verdict(SessionCreateVerdict, reply))

    async def get(self, viewer: Viewer, session_id: str) -> Session | None:
        """Return a session; None if there is none that `viewer` may see."""
        record = await self.redis.hgetall(self.keys.session(viewer.tenant_id, session_id))
        return self._read(viewer.tenant_id, record) if record and viewer.may_see(record) else None

    async def page(
        self, viewer: Viewer, *, before: tuple[int, str] | None, count: int, user_id: str | None = None
    ) -> list[tuple[int, str]]:
        """List sessions, the last active first.

        Args:
            viewer: who looks.
            before: the (moment in ms, session) that the page before ended with.
            count: how many at most.
            user_id: whose; None: all that the viewer may see.

        Returns:
            The moment of each session's last activity, and its id.
        """
        whose = self._whose(viewer, user_id)
        if user_id not in {None, whose}:
            return []
        return await descending(self.redis, self._index(viewer.tenant_id, whose), before, count)

    def _whose(self, viewer: Viewer, user_id: str | None) -> str | None:
        return user_id if viewer.sees_whole_tenant else viewer.user_id

    def _index(self, tenant_id: str, user_id: str | None) -> str:
        return self.keys.sessions(tenant_id) if user_id is None else self.keys.user_sessions(tenant_id, user_id)

    async def count(self, viewer: Viewer) -> int:
        """Return how many sessions there are that the viewer may see."""
        return int(await self.redis.zcard(self._index(viewer.tenant_id, self._whose(viewer, None))))

    async def marks(self, tenant_id: str, session_ids: Sequence[str]) -> list[tuple[str | None, str | None]]:
        """Return state and agent of sessions; None for those without a record that can be read."""
        records = await self.redis.gather(
            [("HMGET", self.keys.session(tenant_id, session_id), "state", "agent_id") for session_id in session_ids],
            raise_on_error=False,
        )
        read = [record if isinstance(record, list) else (None, None) for record in records]
        return [
            (state and state.decode(errors="replace"), agent and agent.decode(errors="replace"))
            for state, agent in read
        ]

    async def load(self, tenant_id: str, session_ids: list[str]) -> list[Session]:
        """Return the sessions that still have a record; the others leave the lists."""
        records = await self.redis.gather(
            [("HGETALL", self.keys.session(tenant_id, session_id)) for session_id in session_ids], raise_on_error=False
        )
        return readable(partial(self._read, tenant_id), records)

    def _read(self, tenant_id: str, record: Mapping[bytes, bytes]) -> Session:
        return read_session(self.contents.open_record(tenant_id, "session", record))

    async def move(
        self,
        viewer: Viewer,
        session_id: str,
        new: SessionState,
        *,
        sources: frozenset[SessionState],
        reason: str,
        correlation_id: str,
        body: bytes,
        next_idle_ms: int | None,
        retain_seconds: int,
        idle: bool = False,
    ) -> tuple[SessionMoveVerdict, str]:
        """Move a session to another state, if it is in one of `sources`; returns also the state before."""
        reply = await self.run(
            _MOVE,
            viewer.tenant_id,
            session_id,
            viewer.user_id,
            viewer.flag,
            new,
            ",".join(sources),
            reason,
            correlation_id,
            body,
            "" if next_idle_ms is None else next_idle_ms,
            "1" if idle else "0",
            "0" if idle else "1",
            retain_seconds,
        )
        return read_verdict(SessionMoveVerdict, reply)

    async def update(
        self,
        viewer: Viewer,
        session_id: str,
        fields: Mapping[str, str | bytes],
        *,
        states: frozenset[SessionState] = frozenset(),
        life_ms: int | None = None,
    ) -> tuple[SessionUpdateVerdict, str]:
        """Change fields of an open session.

        Args:
            viewer: who changes it.
            session_id: which.
            fields: of its record.
            states: it must be in one of these; none: in any.
            life_ms: how long it lives from now on; None: as it was.

        Returns:
            The verdict, and the state of one that is closed or in another state, or the quota that is reached.
        """
        pairs = self.contents.seal_fields(viewer.tenant_id, "session", fields)
        reply = await self.run(
            _UPDATE,
            viewer.tenant_id,
            session_id,
            viewer.user_id,
            viewer.flag,
            self.limit_defaults["bytes"],
            ",".join(states),
            "" if life_ms is None else life_ms,
            *pairs,
        )
        return read_verdict(SessionUpdateVerdict, reply)

    async def assign(
        self, viewer: Viewer, session_id: str, agent_id: str, version: str | None, body: bytes
    ) -> tuple[AgentAssignVerdict, str]:
        """Give a session another agent; returns also its state, or the active task where that forbids it.

        `assign_agent.lua` says what `body` is.
        """
        reply = await self.run(
            _ASSIGN, viewer.tenant_id, session_id, viewer.user_id, viewer.flag, agent_id, version or "", body
        )
        return read_verdict(AgentAssignVerdict, reply)

    async def knows_key(self, viewer: Viewer, idempotency_key: str) -> bool:
        """Tell whether a request came with this idempotency key."""
        key = self.keys.idempotency(viewer.tenant_id, viewer.user_id, idempotency_key)
        return bool(await self.redis.exists(key))

    async def close(
        self,
        viewer: Viewer,
        session_id: str,
        *,
        correlation_id: str,
        state_body: bytes,
        status_template: bytes,
        retain_tasks: int,
        retain_session: int,
        reason: str,
        if_over: bool = False,
        idle_ms: int | None = None,
    ) -> tuple[SessionCloseVerdict, str]:
        """Close a session and cancel its turns; returns also the state before.

        Args:
            viewer: who closes it.
            session_id: which.
            correlation_id: of the request.
            state_body: body of `session.state_update`.
            status_template: body of `chat.status_update`.
            retain_tasks: seconds that records of tasks are kept.
            retain_session: seconds that the session's record is kept.
            reason: why, for the history of its states.
            if_over: close it only if its `expires_at` has come.
            idle_ms: close it only if it was last active so long ago.
        """
        reply = await self.run(
            _CLOSE,
            viewer.tenant_id,
            session_id,
            viewer.user_id,
            viewer.flag,
            correlation_id,
            state_body,
            status_template,
            retain_tasks,
            retain_session,
            reason,
            "1" if if_over else "0",
            "" if idle_ms is None else idle_ms,
        )
        return read_verdict(SessionCloseVerdict, reply)

    async def due(self, tenant_id: str, limit: int, *, retain_seconds: int) -> DueSessions:
        """Return sessions that something is to be done with; those whose records have gone leave the lists.

        Args:
            tenant_id: whose.
            limit: how many at most of each kind.
            retain_seconds: how long records of closed sessions are kept.
        """
        idle, over = await self.run(_IDLE, tenant_id, limit, retain_seconds)
        return DueSessions(
            await self._names(self.keys.session_timers(tenant_id), idle),
            await self._names(self.keys.open_sessions(tenant_id), over),
        )

    async def _names(self, index: str, members: Sequence[bytes]) -> list[str]:
        """Read members of a list; those that are no names leave it."""
        names = {member: self.redis.unreadable.read("sessions", bytes.decode, member) for member in members}
        if odd := [member for member, name in names.items() if name is None]:
            await self.redis.zrem(index, *odd)
        return [name for name in names.values() if name is not None]

    async def drop_timer(self, tenant_id: str, session_id: str) -> None:
        """Drop the idle timer of a session that is gone, or has no further idle transition."""
        await self.redis.zrem(self.keys.session_timers(tenant_id), session_id)


def read_session(record: Mapping[bytes, bytes]) -> Session:
    """Read a session's hash."""
    with reading("session", record.get(b"session_id", b"").decode(errors="replace")):
        text = {key.decode(): value.decode() for key, value in record.items()}
        state = SessionState(text["state"])
        return Session(
            session_id=text["session_id"],
            tenant_id=text["tenant_id"],
            user_id=text["user_id"],
            agent_id=text["agent_id"],
            state=state,
            state_code=state.code,
            metadata=as_object(orjson.loads(text["metadata"])),
            context=as_object(orjson.loads(text["context"])),
            message_count=int(text["message_count"]),
            created_at=to_timestamp(int(text["created_at"])),
            updated_at=to_timestamp(int(text["updated_at"])),
            last_activity_at=to_timestamp(int(text["last_activity_at"])),
            expires_at=to_timestamp(int(text["expires_at"])) if "expires_at" in text else None,
            agent_version=text.get("agent_version"),
            conversation_id=text.get("conversation_id"),
            active_task_id=text.get("active_task_id"),
            pinned_version=text.get("pinned_version"),
        )
