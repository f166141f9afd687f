"""What keeps one tenant's damaged keys, and what goes wrong over them, from the others' work."""

from types import TracebackType

import structlog
from attrs import frozen

from orchestrator.errors import StoreUnavailable, TenantDamaged

_log = structlog.get_logger(__name__)


@frozen
class _Isolation:
    """A block that ends early where the tenant's keys are damaged, or where something unforeseen comes of them."""

    tenant_id: str

    def __enter__(self) -> None:
        return

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if isinstance(error, TenantDamaged):
            _log.error("tenant.damaged", tenant_id=self.tenant_id, error=str(error))
            return True
        if isinstance(error, Exception) and not _is_outage(error):
            _log.error("tenant.crashed", tenant_id=self.tenant_id, exc_info=error)
            return True
        return False


def _is_outage(error: Exception) -> bool:
    """Tell whether an error is of the store and not of the tenant, within a group too."""
    if isinstance(error, ExceptionGroup):
        return any(map(_is_outage, error.exceptions))
    return isinstance(error, StoreUnavailable)


def isolate_tenant(tenant_id: str) -> _Isolation:
    """Report what Redis refuses to do with a tenant's keys in the block, or what crashes there, and go on behind it.

    `doctor` names such a tenant too; what looks after all tenants comes by again. An outage of Redis is not the
    tenant's, and goes on outwards.
    """
    return _Isolation(tenant_id)
