"""Records of tasks and of their messages, as they are read."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
from attrs import evolve, frozen

from orchestrator.codec import decode_kept
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.models.tasks.task import CancelledBy, Task, TaskStatus
from orchestrator.store.contents import HISTORY, MESSAGE
from orchestrator.store.records import as_object, as_text, readable, reading
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.claims import StopAsked, read_stop
from orchestrator.store.tasks.live_tasks import LIVE, LiveTasks
from orchestrator.store.tenant_store import descending

_OPEN_TURNS: Final = Script("sessions/open_turns")
_PLACE: Final = ("session_id", "user_id", "task_id")
"""What the record of a message says."""
_SCANNED: Final = 500
ENDED_INDEXED: Final = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.PARTIAL})
"""Statuses of ended tasks that have an index of their own."""
_INDEXED_WORDS: Final = frozenset(status.encode() for status in ENDED_INDEXED)


@frozen
class OpenTurns:
    """The turns of a session that have not ended."""

    messages: list[bytes]
    """The task message of each (JSON), the active one first."""
    text: str
    """What the active one has streamed so far."""
    waits: frozenset[str]
    """The calls that the active one waits for."""
    log_from: int | None
    """The offset behind which the events of the active one begin; None: there is no active one, or it is not known."""


class TaskRecords(LiveTasks):
    """The records of tenants' tasks."""

    async def get(self, viewer: Viewer, task_id: str) -> Task | None:
        """Return a task; None if there is none that `viewer` may see."""
        record = await self.redis.hgetall(self.keys.task(viewer.tenant_id, task_id))
        if not record or not viewer.may_see(record):
            return None
        opened = self.contents.open_record(viewer.tenant_id, "task", record)
        return evolve(read_task(viewer.tenant_id, opened), input=read_input(opened.get(b"message", b"")))

    async def page(
        self, tenant_id: str, *, before: tuple[int, str] | None, count: int, status: TaskStatus | None = None
    ) -> list[tuple[int, str]]:
        """List the (moment of acceptance in ms, id) of tasks, the newest first.

        Args:
            tenant_id: whose they are.
            before: the place after which to go on; None: from the newest.
            count: how many at most.
            status: tasks of another one are left out, where that costs less than to look at each.
        """
        index = self.keys.task_index(tenant_id)
        live = await self.live(tenant_id) if status in LIVE else None
        if live is not None:
            return [place for place in live if before is None or place < before][:count]
        if status in ENDED_INDEXED:
            await self._index_ended(tenant_id)
            index = self.keys.ended_index(tenant_id, status)
        return await descending(self.redis, index, before, count)

    async def _index_ended(self, tenant_id: str) -> None:
        """Bring tasks into the index of their status that ended before there was one; does so once a tenant."""
        marker = self.keys.ended_indexed(tenant_id)
        if await self.redis.exists(marker):
            return
        cursor = 0
        while True:
            cursor, rows = await self.redis.zscan(self.keys.task_index(tenant_id), cursor, count=_SCANNED)
            names = [(name.decode(errors="replace"), score) for name, score in rows]
            statuses = await self.redis.gather(
                [("HGET", self.keys.task(tenant_id, name), "status") for name, _ in names], raise_on_error=False
            )
            adding = [
                ("ZADD", self.keys.ended_index(tenant_id, status.decode()), score, name)
                for (name, score), status in zip(names, statuses, strict=True)
                if isinstance(status, bytes) and status in _INDEXED_WORDS
            ]
            if adding:
                await self.redis.gather(adding)
            if cursor == 0:
                break
        await self.redis.set(marker, "1")

    async def load(self, tenant_id: str, task_ids: Sequence[str]) -> list[Task]:
        """Return the tasks that still have a record."""
        records = await self.redis.gather(
            [("HGETALL", self.keys.task(tenant_id, task_id)) for task_id in task_ids], raise_on_error=False
        )
        return readable(partial(self._read, tenant_id), records)

    def _read(self, tenant_id: str, record: Mapping[bytes, bytes]) -> Task:
        return read_task(tenant_id, self.contents.open_record(tenant_id, "task", record))

    async def of_message(self, viewer: Viewer, message_id: str) -> dict[str, str]:
        """Return the session, user and task of a message, the viewer's own first; empty if it is unknown.

        It may be another user's: whether the viewer may see it is for its session to say.
        """
        own, first = await self.redis.gather(
            [("HGETALL", key) for key in self._message_keys(viewer.tenant_id, viewer.user_id, message_id)]
        )
        with reading("message", message_id):
            record = own or first
            return {name: record[name.encode()].decode() for name in _PLACE} if record else {}

    async def open_turns(self, tenant_id: str, session_id: str, count: int) -> OpenTurns:
        """Return the turns of a session that have not ended, up to `count`, the active one first."""
        log_from, text, waiting_for, *turns = await self.run(_OPEN_TURNS, tenant_id, session_id, count)
        with reading("turn", f"of the session {session_id}"):
            return OpenTurns(
                [self.contents.open(tenant_id, MESSAGE, message) for _, _, message in turns],
                self.contents.open_text(tenant_id, text).decode("utf-8", "replace"),
                frozenset(orjson.loads(waiting_for)) if waiting_for else frozenset(),
                int(log_from) if log_from else None,
            )

    async def stop_asked(self, tenant_id: str, task_id: str) -> StopAsked | None:
        """Return how a task was asked to stop; None: it was not."""
        asked = await self.redis.hmget(self.keys.task(tenant_id, task_id), "cancel", "cancelled_by")
        return read_stop(*asked)

    async def forget_message(self, tenant_id: str, session_id: str, message_id: str, user_id: str) -> None:
        """Take a user's message out of what is kept here of its conversation."""
        log = self.keys.history(tenant_id, session_id)
        entries = await self.redis.xrange(log)
        read = partial(self._read_message, tenant_id)
        doomed = [entry for entry, fields in entries if _id_of(readable(read, [fields])) == message_id]
        if doomed:
            await self.redis.xdel(log, *doomed)
        keys = self._message_keys(tenant_id, user_id, message_id)
        owners = await self.redis.gather([("HGET", key, "user_id") for key in keys])
        mine = [key for key, owner in zip(keys, owners, strict=True) if owner == user_id.encode()]
        if mine:
            await self.redis.delete(*mine)

    def _message_keys(self, tenant_id: str, user_id: str, message_id: str) -> tuple[str, str]:
        return self.keys.user_message(tenant_id, message_id, user_id), self.keys.message(tenant_id, message_id)

    async def history(self, tenant_id: str, session_id: str, count: int) -> list[HistoryMessage]:
        """Return the last messages that are kept of a conversation and can be read, oldest first."""
        entries = await self.redis.xrevrange(self.keys.history(tenant_id, session_id), count=count)
        return readable(partial(self._read_message, tenant_id), [fields for _, fields in reversed(entries)])

    def _read_message(self, tenant_id: str, fields: Mapping[bytes, bytes]) -> HistoryMessage:
        with reading("message", "of a history"):
            return decode_kept(self.contents.open(tenant_id, HISTORY, fields[b"m"]), HistoryMessage)


def _id_of(found: Sequence[HistoryMessage]) -> str | None:
    """Return the id of a kept message; None: it can't be read."""
    return next((message.message_id for message in found), None)


def read_input(message: bytes) -> dict[str, Any] | None:
    """Return what a task was asked, of its message (JSON); None where that can't be read."""
    try:
        payload = orjson.loads(message)["payload"]
    except (ValueError, KeyError, TypeError):
        return None
    return payload if isinstance(payload, dict) else None


def _cancelled_by(text: Mapping[str, bytes]) -> CancelledBy | None:
    """Return who has stopped a task, if that has ended it: one that was asked to stop may have ended before."""
    cancelled = text["status"] == TaskStatus.CANCELLED.encode() and "cancelled_by" in text
    return CancelledBy(text["cancelled_by"].decode()) if cancelled else None


def read_task(tenant_id: str, record: Mapping[bytes, bytes]) -> Task:
    """Read a task's hash."""
    with reading("task", record.get(b"task_id", b"").decode(errors="replace")):
        text = {key.decode(): value for key, value in record.items()}

        def optional(name: str) -> str | None:
            return text[name].decode() if name in text else None

        def moment(name: str) -> str | None:
            return to_timestamp(int(text[name])) if name in text else None

        chosen = as_object(orjson.loads(text.get("checkpoint:agent_version", b"{}")))
        return Task(
            task_id=text["task_id"].decode(),
            tenant_id=tenant_id,
            type=text["type"].decode(),
            status=TaskStatus(text["status"].decode()),
            attempt=int(text["attempt"]),
            priority=int(text["priority"]),
            created_at=to_timestamp(int(text["created_at"])),
            correlation_id=text["correlation_id"].decode(),
            session_id=optional("session_id"),
            message_id=optional("message_id"),
            scheduled_for=moment("scheduled_for"),
            user_id=optional("user_id"),
            started_at=moment("started_at"),
            finished_at=moment("finished_at"),
            result=as_object(orjson.loads(text["result"])) if "result" in text else None,
            error=decode_kept(text["error"], ErrorBody) if "error" in text else None,
            checkpoints=sorted(name.removeprefix("checkpoint:") for name in text if name.startswith("checkpoint:")),
            replay_of=optional("replay_of"),
            replayed_as=optional("replayed_as"),
            agent_id=as_text(chosen.get("agent_id")),
            agent_version=as_text(chosen.get("version")),
            cancel_reason=optional("cancel_reason"),
            cancelled_by=_cancelled_by(text),
        )
