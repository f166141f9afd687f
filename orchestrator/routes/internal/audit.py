"""Routes of the audit trail of all tenants."""

from quart import Response

from orchestrator.errors import InvalidParameter
from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.audit import AuditEntry
from orchestrator.routes.http.audit_pages import (
    JSON_LINES,
    AdminAuditExportQuery,
    AdminAuditListQuery,
    export_entries,
    list_entries,
)
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

internal_audit_routes = Routes()


@internal_audit_routes.add(
    "GET",
    "audit.list",
    access=Access.ADMIN,
    query=AdminAuditListQuery,
    answers="audit.list",
    answer=AuditEntry,
    paged=True,
    errors=(InvalidParameter,),
    also_public=True,
    rate_class=RateClass.ADMIN,
)
async def list_audit(call: RouteCall) -> RouteAnswer:
    """Show the audit trail: of one tenant, or all of it."""
    return await list_entries(call, call.query.tenant)


@internal_audit_routes.add(
    "GET",
    "audit.export",
    access=Access.ADMIN,
    query=AdminAuditExportQuery,
    answers="audit.exported",
    answer=AuditEntry,
    paged=True,
    errors=(InvalidParameter,),
    also_public=True,
    media_type=JSON_LINES,
    rate_class=RateClass.ADMIN,
)
async def export_audit(call: RouteCall) -> Response:
    """Show the audit trail, a line of JSON for each entry: of one tenant, or all of it."""
    return await export_entries(call, call.query.tenant)
