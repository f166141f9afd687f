"""Records of tasks and of their messages, as they are read."""

from collections.abc import Mapping, Sequence
from functools import partial

import orjson

from orchestrator.codec import decode
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.task import Task, TaskStatus
from orchestrator.store.records import readable, reading
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tenant_store import TenantStore, descending


class TaskRecords(TenantStore):
    """The records of tenants' tasks."""

    async def get(self, viewer: Viewer, task_id: str) -> Task | None:
        """Return a task; None if there is none that `viewer` may see."""
        record = await self.redis.hgetall(self.keys.task(viewer.tenant_id, task_id))
        return read_task(viewer.tenant_id, record) if record and viewer.may_see(record) else None

    async def page(self, tenant_id: str, *, before: tuple[int, str] | None, count: int) -> list[tuple[int, str]]:
        """List the (moment of acceptance in ms, id) of tasks, the newest first."""
        return await descending(self.redis, self.keys.task_index(tenant_id), before, count)

    async def load(self, tenant_id: str, task_ids: Sequence[str]) -> list[Task]:
        """Return the tasks that still have a record."""
        records = await self.redis.gather(
            [("HGETALL", self.keys.task(tenant_id, task_id)) for task_id in task_ids], raise_on_error=False
        )
        return readable(partial(read_task, tenant_id), records)

    async def of_message(self, tenant_id: str, message_id: str) -> dict[str, str]:
        """Return the session, user and task of a message; empty if it is unknown."""
        record = await self.redis.hgetall(self.keys.message(tenant_id, message_id))
        with reading("message", message_id):
            return {key.decode(): value.decode() for key, value in record.items()}

    async def cancel_reason(self, tenant_id: str, task_id: str) -> str | None:
        """Return why a task was asked to stop: `cancelled` or `interrupted`; None: it was not."""
        reason = await self.redis.hget(self.keys.task(tenant_id, task_id), "cancel")
        return reason.decode(errors="replace") if reason else None

    async def forget_message(self, tenant_id: str, session_id: str, message_id: str) -> None:
        """Take a message out of what is kept here of its conversation."""
        log = self.keys.history(tenant_id, session_id)
        entries = await self.redis.xrange(log)
        with reading("history of session", session_id):
            doomed = [entry for entry, fields in entries if orjson.loads(fields[b"m"])["message_id"] == message_id]
        if doomed:
            await self.redis.xdel(log, *doomed)
        await self.redis.delete(self.keys.message(tenant_id, message_id))

    async def history(self, tenant_id: str, session_id: str, count: int) -> list[bytes]:
        """Return the last messages that are kept of a conversation (JSON each), oldest first."""
        entries = await self.redis.xrevrange(self.keys.history(tenant_id, session_id), count=count)
        with reading("history of session", session_id):
            return [fields[b"m"] for _, fields in reversed(entries)]


def read_task(tenant_id: str, record: Mapping[bytes, bytes]) -> Task:
    """Read a task's hash."""
    with reading("task", record.get(b"task_id", b"").decode(errors="replace")):
        text = {key.decode(): value for key, value in record.items()}

        def optional(name: str) -> str | None:
            return text[name].decode() if name in text else None

        def moment(name: str) -> str | None:
            return to_timestamp(int(text[name])) if name in text else None

        chosen = orjson.loads(text.get("checkpoint:agent_version", b"{}"))
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
            result=orjson.loads(text["result"]) if "result" in text else None,
            error=decode(text["error"], ErrorBody) if "error" in text else None,
            checkpoints=sorted(name.removeprefix("checkpoint:") for name in text if name.startswith("checkpoint:")),
            replay_of=optional("replay_of"),
            replayed_as=optional("replayed_as"),
            agent_id=chosen.get("agent_id"),
            agent_version=chosen.get("version"),
        )
