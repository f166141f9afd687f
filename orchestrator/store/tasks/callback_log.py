"""The delivery log: how each attempt at a callback went, newest first."""

from collections.abc import Mapping
from functools import partial
from typing import Final

import orjson
from attrs import frozen

from orchestrator.codec import decode_kept, encode
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.tasks.callback import CallbackAttempt
from orchestrator.store.records import readable, reading
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tenant_store import TenantStore

ATTEMPTS_KEPT: Final = 100
"""Of one task or batch."""
_DELIVERY: Final = b"webhook.deliver"
_NOTE: Final = Script("operations/note_callback")


@frozen
class CallbackSubject:
    """What callbacks tell of."""

    subject_id: str
    """The task or the batch."""
    delivery_id: str | None = None
    """The delivery that was asked for; None: all."""


class CallbackLog(TenantStore):
    """Keeps and reads the attempts at callbacks."""

    async def note(self, tenant_id: str, subject_id: str, attempt: CallbackAttempt, seconds: int) -> None:
        """Keep an attempt.

        Args:
            tenant_id: whose it is.
            subject_id: the task or the batch that is told of.
            attempt: how it went.
            seconds: how long the log is kept after it.
        """
        key = self.keys.callbacks(tenant_id, subject_id)
        await self.run(_NOTE, tenant_id, encode(attempt), ATTEMPTS_KEPT, seconds, keys=[key])

    async def subject(self, viewer: Viewer, named: str) -> CallbackSubject | None:
        """Return what a task, a batch or a delivery tells of; None: there is none that `viewer` may see."""
        tenant_id = viewer.tenant_id
        task, (owner,) = await self.redis.gather(
            [("HGETALL", self.keys.task(tenant_id, named)), ("HMGET", self.keys.batch(tenant_id, named), "user_id")]
        )
        if task and viewer.may_see(task):
            is_delivery = task.get(b"type") == _DELIVERY
            return self._told_of(tenant_id, named, task) if is_delivery else CallbackSubject(named)
        return CallbackSubject(named) if owner is not None and viewer.may_see({b"user_id": owner}) else None

    def _told_of(self, tenant_id: str, delivery_id: str, record: Mapping[bytes, bytes]) -> CallbackSubject:
        """Return what a delivery tells of.

        Raises:
            RecordDamaged: its message can't be read.
        """
        with reading("task", delivery_id):
            message = self.contents.open_record(tenant_id, "task", record)[b"message"]
            payload = orjson.loads(message)["payload"]
            return CallbackSubject(str(payload.get("task_id") or payload["batch_id"]), delivery_id)

    async def attempts(self, tenant_id: str, subject: CallbackSubject) -> list[CallbackAttempt]:
        """Return the attempts that are kept and can be read, newest first."""
        kept = await self.redis.execute_command("LRANGE", self.keys.callbacks(tenant_id, subject.subject_id), 0, -1)
        found = readable(partial(_read, subject.subject_id), kept)
        return [one for one in found if subject.delivery_id in {None, one.task_id}]


def _read(subject_id: str, kept: bytes) -> CallbackAttempt:
    with reading("callback of", subject_id):
        attempt = decode_kept(kept, CallbackAttempt)
        from_timestamp(attempt.at)  # raises where it is no moment
        return attempt
