"""What the routes of the audit trail take, and how they answer: in an envelope, or as lines of JSON."""

from typing import Annotated, Final

from attrs import asdict, frozen
from msgspec import Meta
from quart import Response

from orchestrator.codec import encode
from orchestrator.config.constants import PAGE_LIMIT, PAGE_LIMIT_MAX
from orchestrator.middleware.exchange import respond
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.operations.audit import AuditOrder
from orchestrator.routes.http.paging import Cursor, Limit, Since, Until, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall
from orchestrator.store.operations.audit_reader import AuditQuery

JSON_LINES: Final = "application/x-ndjson"
NEXT_CURSOR: Final = "X-Next-Cursor"
_Action = Annotated[
    str | None,
    Meta(
        max_length=64, description="Only this action, such as `session.close`; with a dot at its end all of a domain."
    ),
]
_Actor = Annotated[str | None, Meta(max_length=64, description="Only what this user or API key has done.")]
_Outcome = Annotated[str | None, Meta(max_length=16, description="Only `ok`, or only `refused`.")]
_Order = Annotated[AuditOrder, Meta(description="Which entries come first.")]


@frozen
class AuditListQuery:
    """What `audit.list` takes."""

    since: Since = None
    until: Until = None
    action: _Action = None
    actor: _Actor = None
    outcome: _Outcome = None
    order: _Order = AuditOrder.NEWEST
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class AuditExportQuery(AuditListQuery):
    """What `audit.export` takes."""

    order: _Order = AuditOrder.OLDEST
    limit: Limit = PAGE_LIMIT_MAX


@frozen
class AdminAuditListQuery(AuditListQuery):
    """What the operators' `audit.list` takes."""

    tenant: Annotated[Id | None, Meta(description="Only what concerns this tenant; default: everything.")] = None


@frozen
class AdminAuditExportQuery(AuditExportQuery):
    """What the operators' `audit.export` takes."""

    tenant: Annotated[Id | None, Meta(description="Only what concerns this tenant; default: everything.")] = None


async def list_entries(call: RouteCall, tenant_id: str | None) -> RouteAnswer:
    """Answer with a page of entries."""
    query = call.query
    page = await call.services.audit_log.page(_wanted(query, tenant_id), cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


async def export_entries(call: RouteCall, tenant_id: str | None) -> Response:
    """Answer with a page of entries, a line of JSON each; the header `X-Next-Cursor` says where it goes on."""
    query = call.query
    page = await call.services.audit_log.page(_wanted(query, tenant_id), cursor=query.cursor, limit=query.limit)
    lines = b"".join(encode(asdict(entry)) + b"\n" for entry in page.items)
    headers = {NEXT_CURSOR: page.next_cursor} if page.next_cursor else {}
    return respond(call.exchange, lines, 200, JSON_LINES, headers)


def _wanted(query: AuditListQuery, tenant_id: str | None) -> AuditQuery:
    return AuditQuery(
        tenant_id,
        order=query.order,
        since_ms=None if query.since is None else from_timestamp(query.since),
        until_ms=None if query.until is None else from_timestamp(query.until),
        action=query.action,
        actor=query.actor,
        outcome=query.outcome,
    )
