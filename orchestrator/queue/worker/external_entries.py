"""Entries that other programs have written into a lane: a task where they are one, a dead letter otherwise."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from attrs import evolve

from orchestrator.codec import encode
from orchestrator.dialects.agent_changes import read_agent_change
from orchestrator.dialects.news import is_news, is_of_conversation, read_news
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.errors import InternalFault, InvalidBody, OrchestratorError, StoreUnavailable
from orchestrator.models.agents.agent_views import AgentUpdated
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.queue.attempts.damaged_tasks import dead_letter_damaged, kept_of
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.dialects.entries import EntryTask, parse_entry, read_entry
from orchestrator.queue.dialects.envelopes import service_of
from orchestrator.services.agents.agent_runs import AGENT_RUN
from orchestrator.services.chat.turn_task import CHAT_TURN
from orchestrator.services.operations.enqueue import new_entry_of
from orchestrator.services.shared.views import quota_reached
from orchestrator.services.tasks.result_queues import result_record
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.enqueue import Enqueued, ExternalEntry

_log = structlog.get_logger()

_NAME_BYTES: Final = 60
"""So many bytes of what is no message go to the dead letters."""
_REFUSED: Final = {
    Enqueued.KNOWN: ("$.task_id", "is the id of another task"),
    Enqueued.UNKNOWN: ("$.session_id", "names a session that is not there, or not the user's"),
    Enqueued.CLOSED: ("$.session_id", "names a session that takes nothing more"),
}


async def import_entry(services: QueueServices, external_entry: ExternalEntry) -> None:
    """Make an entry without record a task, or a dead letter that says why it is none, or can't be read."""
    if external_entry.damage:
        await dead_letter_damaged(services, external_entry)
        return
    try:
        await _place(services, external_entry)
    except StoreUnavailable:
        raise
    except OrchestratorError as error:
        await _refuse(services, external_entry, error)
    except Exception:  # noqa: BLE001 - the boundary of one entry: logged, and told among the dead letters
        _log.exception("task.not_read", tenant_id=external_entry.tenant_id, entry=external_entry.entry)
        fault = InternalFault("The entry could not be read for a reason inside the service; its log has the reason.")
        await _refuse(services, external_entry, fault)


async def _place(services: QueueServices, external_entry: ExternalEntry) -> None:
    """Make an entry a task.

    Raises:
        InvalidBody: it is none.
        QueueFull: a quota of its tenant is reached.
        NotFound: it is news of work that is not there.
        StoreUnavailable, TenantDamaged
    """
    tenant_id = external_entry.tenant_id
    content = parse_entry(_raw(external_entry))
    if is_news(content):
        await services.service_news.take(_context(tenant_id, content), read_news(content))
        await services.enqueue.drop(external_entry)
        return
    if is_of_conversation(content):
        _log.info("conversation.told", tenant_id=tenant_id, entry=external_entry.entry)
        await services.enqueue.drop(external_entry)
        return
    change = read_agent_change(content)
    if change is not None and services.agent_updates is not None:
        await services.agent_updates.take(_context(tenant_id, content), AgentUpdated(**change))
        await services.enqueue.drop(external_entry)
        return
    asked = read_entry(content, tenant_id)
    if asked.message.status in FINISHED:
        fault = FieldFault("$.status", "says that the task has ended")
        raise InvalidBody(f"{fault.path} {fault.message}.", details=[fault])
    message = await _in_session(services, await _for_user(services, asked))
    kind = services.kinds.named(str(message.type))
    message = kind.complete(message)
    record: dict[str, str | bytes | int] = {}
    if asked.wants_result:
        record |= result_record(message, service_of(message.source_service))
    due_ms = asked.due_ms if asked.due_ms is not None and asked.due_ms > now_ms() else None
    if due_ms is not None:
        record["scheduled_for"] = due_ms
    placed, detail = await services.enqueue.place(
        new_entry_of(
            message,
            kind,
            record,
            due_ms=due_ms,
            deduplication_key=message.metadata.deduplication_key,
            idempotency_key=asked.idempotency_key,
        ),
        retain_seconds=int(services.settings.retain_tasks),
        external_entry=external_entry,
    )
    if placed is Enqueued.REPEATED:
        _log.info("task.repeated", tenant_id=tenant_id, task_id=message.task_id, first=detail)
        return
    if placed is Enqueued.FULL:
        raise quota_reached(str(detail))
    if placed in _REFUSED:
        path, words = _REFUSED[placed]
        raise InvalidBody(f"{path} {words}.", details=[FieldFault(path, words)])
    if due_ms is not None:
        await services.due.mark(tenant_id, due_ms)
    elif detail is True:
        await services.ready.mark(tenant_id)


def _context(tenant_id: str, content: Mapping[str, Any]) -> RequestContext:
    """Return as what a service is heard that writes its news into a lane."""
    correlation_id = content.get("correlation_id")
    return RequestContext(
        principal=Principal(tenant_id, "queue", Role.SERVICE, frozenset(), float("inf")),
        request_id=new_id(),
        correlation_id=correlation_id if isinstance(correlation_id, str) and is_id(correlation_id) else new_id(),
        trace=TraceContext.new(),
    )


async def _for_user(services: QueueServices, asked: EntryTask) -> TaskMessage:
    """Return a message with its user: the one it names, else that of its session, else the service that has sent it."""
    message = asked.message
    if asked.names_user or message.session_id is None:
        return message
    user_id = await services.ownership.of_session(message.tenant_id, message.session_id)
    return message if user_id is None else evolve(message, metadata=evolve(message.metadata, user_id=user_id))


async def _in_session(services: QueueServices, message: TaskMessage) -> TaskMessage:
    """Return the run of an agent as a turn of its session, where that agent answers there; else as it is."""
    if message.type != AGENT_RUN.type or message.session_id is None:
        return message
    viewer = Viewer(message.tenant_id, message.metadata.user_id, sees_whole_tenant=False)
    session = await services.sessions.store.get(viewer, message.session_id)
    if session is not None and session.agent_id != message.payload["agent_id"]:
        return message
    payload = {"content": message.payload["content"], "message_id": message.payload["message_id"]}
    return evolve(message, type=CHAT_TURN.type, payload=payload)


async def _refuse(services: QueueServices, external_entry: ExternalEntry, error: OrchestratorError) -> None:
    _log.warning("task.refused", tenant_id=external_entry.tenant_id, entry=external_entry.entry, reason=error.message)
    kept = kept_of(external_entry.fields.get(b"message", b""))
    await services.enqueue.dead_letter(external_entry, error=encode(error.body()), kept=kept)


def _raw(external_entry: ExternalEntry) -> bytes:
    raw = external_entry.fields.get(b"message")
    if raw is None:
        names = ", ".join(sorted(name[:_NAME_BYTES].decode(errors="replace") for name in external_entry.fields)[:5])
        fault = FieldFault("$", "has no field 'message'")
        raise InvalidBody(f"The entry has no field 'message', but {names}.", details=[fault])
    return raw
