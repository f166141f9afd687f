"""Writing the audit trail.

Each tenant has a stream for each kind of entry; what belongs to no tenant has streams of its own. Refusals and uses of
keys, which clients can cause without end, are sampled (`audit_sampling`). An entry that can't be written goes to
the log: the operation that it tells of has happened, and goes on. The newest entries of all tenants are copied into the
stream of what belongs to none, where other programs of the platform read them.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import OrchestratorError
from orchestrator.models.common.envelope import SOURCE_SERVICE
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.audit import AuditKind, kind_of
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit_sampling import Sampler
from orchestrator.store.redis.connection import Redis
from orchestrator.store.script import Script

ENTRIES_KEPT: Final = 100_000
"""Entries of one stream."""
WRITE_SECONDS: Final = 1.0
"""How long an operation waits for its entry to be written."""
FLUSH_SECONDS: Final = 5.0
"""Between two looks for samples whose window is over."""
KEY_SECONDS: Final = 600.0
"""The window in which uses of a key are told together."""
CUT_TOLD_SECONDS: Final = 3600.0
"""A stream that is cut says so once in this time."""
COPIED: Final = "copied"
"""The field by which copies are told from the entries of their stream."""
_COPY_MS: Final = AuditKind.ACTIVITY.retention_ms
_STREAM_MS: Final = AuditKind.ADMINISTRATION.retention_ms
_COPIED_AT_ONCE: Final = 100
_WAITING_COPIES: Final = 10_000
"""Copies that wait to be written; beyond it the oldest are left out."""
_NOTED_SECONDS: Final = 60.0
_NOTED_TENANTS: Final = 10_000
_LONGEST: Final = 512
"""Characters of a field; the names of what is asked for are clients' own."""
_RECORD: Final = Script("operations/record_audit")
_COPY: Final = Script("operations/copy_audit")
_log = structlog.get_logger("orchestrator.audit")


@define(eq=False)
class AuditTrail:
    """Who did what, when, from where, and how it ended.

    Args:
        redis: the connection.
        keys: the names of keys.
        most: entries of one stream.
        clock: seconds, monotonic.
        copies: entries of tenants that also stand in the stream of what belongs to none; 0: none.
    """

    redis: Redis
    keys: Keys
    most: int = ENTRIES_KEPT
    clock: Callable[[], float] = time.monotonic
    copies: int = field(default=0, kw_only=True)
    report: Callable[[str, int], None] = lambda _outcome, _count: None
    """Counts entries, by what became of them: `written`, `sampled`, `cut`, `logged`."""
    _refusals: Sampler = field(factory=Sampler, init=False)
    _key_uses: Sampler = field(factory=lambda: Sampler(KEY_SECONDS, per_source=1), init=False)
    _noted: OrderedDict[str, float] = field(factory=OrderedDict, init=False)
    _cuts_told: dict[str, float] = field(factory=dict, init=False)
    _to_copy: deque[Mapping[str, str]] = field(factory=lambda: deque(maxlen=_WAITING_COPIES), init=False)
    _copying: trio.Event = field(factory=trio.Event, init=False)

    async def done(self, ctx: RequestContext, action: str, detail: str, *, tenant_id: str | None = None) -> None:
        """Append what a request has done.

        Args:
            ctx: the request.
            action: what was done, such as `session.close`; a row of `ACTIONS`.
            detail: one sentence without content and secrets.
            tenant_id: the tenant that it concerns; None: the caller's.
        """
        await self.record(
            action,
            outcome="ok",
            tenant_id=ctx.tenant_id if tenant_id is None else tenant_id,
            user_id=ctx.principal.name,
            remote_address=ctx.remote_address,
            correlation_id=ctx.correlation_id,
            detail=detail,
        )

    async def record(
        self,
        action: str,
        *,
        outcome: str,
        tenant_id: str = "",
        user_id: str = "",
        remote_address: str = "",
        correlation_id: str = "",
        detail: str = "",
    ) -> None:
        """Append an entry, or count it where it is one of too many; one that can't be written is logged.

        Args:
            action: what was done or tried, such as `session.close` or `auth.failed`; a row of `ACTIONS`.
            outcome: `ok` or `refused`.
            tenant_id: of the tenant that it concerns.
            user_id: who did it.
            remote_address: from where.
            correlation_id: of the request.
            detail: one sentence without content and secrets.
        """
        kind = kind_of(action)
        if kind.sampled and not self._sampler(kind).take(
            self.clock(), tenant_id, f"{user_id}@{remote_address}", f"{action}|{outcome}|{detail}"
        ):
            self.report("sampled", 1)
            return
        await self._write(
            kind,
            {
                "action": action,
                "outcome": outcome,
                "tenant_id": tenant_id,
                "user_id": user_id,
                "remote_address": remote_address,
                "correlation_id": correlation_id,
                "detail": detail,
            },
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write copies, and what was counted when its window is over, for ever; at the end what is left."""
        task_status.started()
        try:
            next_flush = trio.current_time() + FLUSH_SECONDS
            while True:
                with trio.move_on_at(next_flush):
                    await self._copying.wait()
                await self._copy()
                if trio.current_time() >= next_flush:
                    await self.flush(self.clock())
                    next_flush = trio.current_time() + FLUSH_SECONDS
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 2 * WRITE_SECONDS, shield=True):
                await self.flush(float("inf"))
                await self._copy()

    async def _copy(self) -> None:
        """Write the copies that wait; those that can't be written are left out: the entries themselves are there."""
        self._copying = trio.Event()
        while self._to_copy:
            part = [self._to_copy.popleft() for _ in range(min(len(self._to_copy), _COPIED_AT_ONCE))]
            args: list[object] = [self.copies, _COPY_MS, _STREAM_MS]
            for entry in part:
                args += [2 * len(entry), *(text for pair in entry.items() for text in pair)]
            try:
                # What was taken out of the queue is written, or said not to be, also where the process ends.
                with trio.fail_after(WRITE_SECONDS, shield=True):
                    await _COPY(self.redis, keys=[self.keys.audit, self.keys.audit_copies], args=args)
            except (OrchestratorError, trio.TooSlowError) as error:
                _log.warning("audit.not_copied", entries=len(part), reason=str(error))

    async def flush(self, now: float) -> None:
        """Write what was counted in windows that are over at a moment."""
        for kind in (AuditKind.REFUSALS, AuditKind.KEYS):
            for counted in self._sampler(kind).ended(now):
                action, outcome, detail = [*counted.what.split("|", 2), "", ""][:3]
                entry = {
                    "action": action,
                    "outcome": outcome or "refused",
                    "tenant_id": counted.scope,
                    "detail": f"{counted.count} more, of {counted.sources} sources: {detail}",
                    "count": str(counted.count),
                }
                await self._write(kind, entry)

    def stream(self, tenant_id: str, kind: AuditKind) -> str:
        """Return the stream of a tenant's entries of a kind; without a tenant, that of what belongs to none."""
        if kind is AuditKind.KEYS:
            return self.keys.audit_keys
        if tenant_id:
            return self.keys.tenant_audit(tenant_id, kind)
        return self.keys.audit_refusals if kind is AuditKind.REFUSALS else self.keys.audit

    def _sampler(self, kind: AuditKind) -> Sampler:
        return self._key_uses if kind is AuditKind.KEYS else self._refusals

    async def _write(self, kind: AuditKind, entry: Mapping[str, str]) -> None:
        entry = {name: value[:_LONGEST] for name, value in entry.items()}
        entry |= {"at": to_timestamp(now_ms()), "service": SOURCE_SERVICE}
        tenant_id = entry["tenant_id"]
        stream = self.stream(tenant_id, kind)
        with trio.move_on_after(WRITE_SECONDS) as waiting:
            try:
                cut = await _RECORD(
                    self.redis,
                    keys=[stream],
                    args=[kind.retention_ms, self.most, *(part for pair in entry.items() for part in pair)],
                )
                self.report("written", 1)
                if tenant_id and self.copies:
                    self._to_copy.append(entry | {COPIED: "1"})
                    self._copying.set()
                await self._note(tenant_id)
            except OrchestratorError as error:
                self._logged(entry, getattr(error, "reason", error.message))
                return
        if waiting.cancelled_caught:
            self._logged(entry, f"no answer within {WRITE_SECONDS:g} s; it may have been written")
        elif cut:
            await self._cut(stream, tenant_id, kind, cut)

    def _logged(self, entry: Mapping[str, str], reason: str) -> None:
        self.report("logged", 1)
        _log.error("audit.not_written", reason=reason, **{f"entry_{name}": value for name, value in entry.items()})

    async def _note(self, tenant_id: str) -> None:
        """Have a tenant in the list of those with entries, where readers of all of them find it."""
        now = self.clock()
        if not tenant_id or now < self._noted.get(tenant_id, 0.0):
            return
        self._noted[tenant_id] = now + _NOTED_SECONDS
        self._noted.move_to_end(tenant_id)
        if len(self._noted) > _NOTED_TENANTS:
            self._noted.popitem(last=False)
        moment, oldest = now_ms(), now_ms() - AuditKind.ADMINISTRATION.retention_ms
        await self.redis.gather(
            [
                ("ZADD", self.keys.audit_tenants, "GT", moment, tenant_id),
                ("ZREMRANGEBYSCORE", self.keys.audit_tenants, "-inf", oldest),
            ]
        )

    async def _cut(self, stream: str, tenant_id: str, kind: AuditKind, count: int) -> None:
        self.report("cut", count)
        now = self.clock()
        if now < self._cuts_told.get(stream, 0.0):
            return
        if len(self._cuts_told) >= _NOTED_TENANTS:
            self._cuts_told.clear()
        self._cuts_told[stream] = now + CUT_TOLD_SECONDS
        _log.warning("audit.cut", tenant_id=tenant_id, kind=kind, entries=count, most=self.most)
        await self.record(
            "audit.cut",
            outcome="ok",
            tenant_id=tenant_id,
            detail=f"the oldest entries of '{kind}' are removed before their time: there are more than {self.most}",
        )
