"""What keeps one tenant's damaged keys from the others' work."""

from types import TracebackType

import structlog
from attrs import frozen

from orchestrator.errors import TenantDamaged

_log = structlog.get_logger(__name__)


@frozen
class _Isolation:
    """A block that ends early where the tenant's keys are damaged."""

    tenant_id: str

    def __enter__(self) -> None:
        return

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if isinstance(error, TenantDamaged):
            _log.error("tenant.damaged", tenant_id=self.tenant_id, error=str(error))
            return True
        return False


def isolate_tenant(tenant_id: str) -> _Isolation:
    """Report what Redis refuses to do with a tenant's keys in the block, and go on behind it.

    `doctor` names such a tenant too; whatever looks after all tenants comes by again.
    """
    return _Isolation(tenant_id)
