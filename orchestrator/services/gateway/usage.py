"""Usage of a tenant, as the API shows it."""

from datetime import UTC, date, datetime
from typing import Final

from attrs import frozen

from orchestrator.errors import InvalidParameter, PermissionMissing
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.gateway.usage import UsageGroup, UsageReport
from orchestrator.store.gateway.usage import UsageLedger

DEFAULT_DAYS: Final = 30


@frozen
class UsageService:
    """Reads the ledger."""

    ledger: UsageLedger

    async def get(self, ctx: RequestContext, first: str | None, last: str | None, group_by: UsageGroup) -> UsageReport:
        """Sum the usage of a tenant, or of the user who asks and does not see the whole tenant.

        Args:
            ctx: of the request.
            first: the first day, `yyyy-mm-dd` in UTC; None: 29 days before the last.
            last: the last day; None: today.
            group_by: grouping of the items.

        Raises:
            InvalidParameter: a day is malformed, or the range is too long.
            PermissionMissing: usage by session needs the permission to see the whole tenant.
        """
        whole = ctx.principal.sees_whole_tenant
        if group_by is UsageGroup.SESSION and not whole:
            raise PermissionMissing("Usage by session is for those who see the whole tenant.")
        until = _day("to", last) or datetime.now(UTC).date()
        since = _day("from", first) or _days_before(until)
        only = None if whole else ctx.principal.user_id
        return await self.ledger.read(ctx.tenant_id, since, until, group_by, only=only)


def _day(name: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        fault = FieldFault(f"$.query.{name}", "must be a day such as 2026-01-31")
        raise InvalidParameter(f"{fault.path} {fault.message}.", details=[fault]) from None


def _days_before(until: date) -> date:
    """Return the first day of a range that names its last one only; the calendar begins with the year 1."""
    return date.fromordinal(max(1, until.toordinal() - DEFAULT_DAYS + 1))
