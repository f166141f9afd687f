"""What goes wrong over one tenant's keys stays with that tenant."""

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.services.shared.tenant_isolation import isolate_tenant


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (TenantDamaged("WRONGTYPE"), "tenant.damaged"),
        (ZeroDivisionError("unforeseen"), "tenant.crashed"),
        (ExceptionGroup("several", [KeyError("unforeseen")]), "tenant.crashed"),
    ],
)
def test_what_goes_wrong_over_a_tenant_is_reported_and_the_others_go_on(error: Exception, event: str) -> None:
    reached = []
    with capture_logs() as logs:
        for tenant_id in ("damaged", "well"):
            with isolate_tenant(tenant_id):
                if tenant_id == "damaged":
                    raise error
                reached.append(tenant_id)
    assert reached == ["well"]
    assert [(one["event"], one["tenant_id"], one["log_level"]) for one in logs] == [(event, "damaged", "error")]


@pytest.mark.parametrize("outage", [StoreUnavailable("away"), ExceptionGroup("several", [StoreUnavailable("away")])])
def test_an_outage_is_not_the_tenants(outage: Exception) -> None:
    with pytest.raises(type(outage)), isolate_tenant("acme"):
        raise outage


async def test_a_cancelled_block_is_cancelled() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        with isolate_tenant("acme"):
            await trio.lowlevel.checkpoint()
        raise AssertionError("the block was passed over")
    assert scope.cancelled_caught
