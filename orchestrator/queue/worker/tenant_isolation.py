"""What keeps one tenant's damaged keys from the others' work."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import ResponseError

_log = structlog.get_logger(__name__)


@contextmanager
def isolate_tenant(tenant_id: str) -> Iterator[None]:
    """Report what Redis refuses to do with a tenant's keys, and go on: they are damaged, and nobody else's.

    `doctor` finds and mends such damage; whoever looks after all tenants comes by again.
    """
    try:
        yield
    except ResponseError as error:
        _log.error("tenant.damaged", tenant_id=tenant_id, error=str(error))
