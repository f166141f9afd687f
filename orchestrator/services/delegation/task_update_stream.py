"""News of delegated work that come as messages of a queue, rather than as requests."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from attrs import frozen

from orchestrator.codec import parse_request, structure
from orchestrator.errors import InvalidBody, OrchestratorError, PermissionMissing, StoreUnavailable, TenantDamaged
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.tasks.task_updates import TASK_UPDATES, TaskUpdate
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.operations.audit import AuditTrail

FIELD: Final = b"message"
"""Of a stream's entry: the message, JSON."""
_SPEAKER: Final = "queue"
_log = structlog.get_logger("orchestrator.services.delegation.task_update_stream")


@frozen
class TaskUpdateReader:
    """Takes news from a queue; who could be told what was wrong with them is not there, so the log is."""

    updates: TaskUpdateService
    audit: AuditTrail

    async def take(self, entry: Mapping[bytes, bytes]) -> bool:
        """Deal with one entry: what can't be read, or is refused, is logged and dropped.

        Returns:
            Whether it is done with; it is not where its tenant's keys are damaged, which may be mended later.

        Raises:
            StoreUnavailable: Redis is away; the entry has to come again.
        """
        try:
            ctx, task_id, token, update = _read(entry.get(FIELD, b""))
        except InvalidBody as error:
            await self._refused(None, error)
            return True
        with isolate_tenant(ctx.tenant_id):
            await self._take(ctx, task_id, token, update)
            return True
        return False

    async def _take(self, ctx: RequestContext, task_id: str, token: str | None, update: TaskUpdate) -> None:
        try:
            taken = await self.updates.take(ctx, task_id, token, update)
        except (StoreUnavailable, TenantDamaged):
            raise
        except OrchestratorError as error:
            await self._refused(ctx, error)
        else:
            if not taken.accepted:
                _log.info("task_news.late", tenant_id=ctx.tenant_id, task_id=task_id, status=taken.status)

    async def _refused(self, ctx: RequestContext | None, error: OrchestratorError) -> None:
        _log.warning(
            "task_news.refused",
            tenant_id=ctx.tenant_id if ctx else "",
            code=error.code,
            reason=error.message,
            details=[f"{fault.path} {fault.message}" for fault in error.details[:5]],
        )
        if ctx is not None and isinstance(error, PermissionMissing):
            await self.audit.record(
                "auth.refused",
                outcome="refused",
                tenant_id=ctx.tenant_id,
                user_id=_SPEAKER,
                correlation_id=ctx.correlation_id,
                detail=f"task_news: {error.code} {error.message}",
            )


def _read(raw: bytes) -> tuple[RequestContext, str, str | None, TaskUpdate]:
    """Read a message of schema 1.1.

    Raises:
        InvalidBody: it is none, none about delegated work, or nested too deeply to be written again.
    """
    message = parse_request(raw)
    if not isinstance(message, dict):
        raise _fault("$", "must be an object")
    kind, metadata = message.get("type"), message.get("metadata")
    if isinstance(kind, dict):
        kind = f"{kind.get('domain')}.{kind.get('action')}"
    model = TASK_UPDATES.get(str(kind))
    if model is None:
        raise _fault("$.type", f"must be one of {', '.join(TASK_UPDATES)}")
    metadata = metadata if isinstance(metadata, dict) else {}
    tenant_id = message.get("tenant_id")
    if not isinstance(tenant_id, str) or not is_id(tenant_id):
        raise _fault("$.tenant_id", "must be the id of a tenant")
    task_id = metadata.get("task_id") or message.get("task_id")
    if not isinstance(task_id, str) or not is_id(task_id):
        raise _fault("$.metadata.task_id", "must be the id of a task")
    token = metadata.get("callback_token")
    update: Any = structure(message.get("payload"), model, "$.payload")
    return _context(tenant_id, message), task_id, token if isinstance(token, str) else None, update


def _context(tenant_id: str, message: dict[str, Any]) -> RequestContext:
    correlation_id = message.get("correlation_id")
    return RequestContext(
        principal=Principal(tenant_id, _SPEAKER, Role.SERVICE, frozenset(), float("inf")),
        request_id=new_id(),
        correlation_id=correlation_id if isinstance(correlation_id, str) and is_id(correlation_id) else new_id(),
        trace=TraceContext.new(),
    )


def _fault(path: str, message: str) -> InvalidBody:
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])
