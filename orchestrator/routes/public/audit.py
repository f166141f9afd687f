"""Routes of the audit trail of a tenant."""

from quart import Response

from orchestrator.errors import InvalidParameter
from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.audit import AuditEntry
from orchestrator.routes.http.audit_pages import (
    JSON_LINES,
    AuditExportQuery,
    AuditListQuery,
    export_entries,
    list_entries,
)
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes

audit_routes = Routes()


@audit_routes.add(
    "GET",
    "audit.list",
    permission="audit:read",
    query=AuditListQuery,
    answers="audit.list",
    answer=AuditEntry,
    paged=True,
    errors=(InvalidParameter,),
    rate_class=RateClass.READ,
)
async def list_audit(call: RouteCall) -> RouteAnswer:
    """Show the audit trail of the tenant."""
    return await list_entries(call, call.ctx.tenant_id)


@audit_routes.add(
    "GET",
    "audit.export",
    permission="audit:read",
    query=AuditExportQuery,
    answers="audit.exported",
    answer=AuditEntry,
    paged=True,
    errors=(InvalidParameter,),
    media_type=JSON_LINES,
    rate_class=RateClass.READ,
)
async def export_audit(call: RouteCall) -> Response:
    """Show the audit trail of the tenant, a line of JSON for each entry."""
    return await export_entries(call, call.ctx.tenant_id)
