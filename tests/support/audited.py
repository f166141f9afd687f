"""What stands in the audit trail."""

from orchestrator.models.operations.audit import AuditEntry
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit_reader import AuditQuery, AuditReader
from orchestrator.store.redis.connection import Redis


async def audited(redis: Redis, action: str | None = None) -> list[AuditEntry]:
    """Return the entries of all tenants and of none, newest first; of an action, or all."""
    entries, _ = await AuditReader(redis, Keys()).page(AuditQuery(None, action=action), after=None, limit=200)
    return entries
