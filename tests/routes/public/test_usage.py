"""`usage.get`: who sees what of what was spent."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from attrs import define, field

from orchestrator.models.common.principal import Role
from orchestrator.models.gateway.usage import UsageGroup, UsageItem, UsageReport, UsageTotals
from orchestrator.services.gateway.usage import UsageService
from orchestrator.store.gateway.usage import UsageLedger
from tests.support.credentials import bearer
from tests.support.house import House

ROUTE = "/api/v1/usage.get"


@define
class FakeLedger:
    asked: list[tuple[Any, ...]] = field(factory=list)

    async def read(self, *asked: Any, only: str | None) -> UsageReport:
        self.asked.append((*asked, only))
        return UsageReport([UsageItem("large", 1, 0, 20, 5, 25)], UsageTotals(1, 0, 20, 5, 25))


@pytest.fixture
def house() -> House:
    return House(usage=UsageService(cast("UsageLedger", FakeLedger())))


async def test_the_last_thirty_days_are_told_by_model(house: House) -> None:
    days = {datetime.now(UTC).date()}
    reply = await house.call("GET", ROUTE)
    days.add(datetime.now(UTC).date())  # a day may have ended meanwhile
    assert (reply.status, reply.json["type"]) == (200, {"domain": "usage", "action": "report"})
    assert reply.data["items"][0]["key"] == "large"
    assert reply.data["totals"]["total_tokens"] == 25
    ledger: Any = house.usage.ledger
    ((tenant, first, last, group, only),) = ledger.asked
    assert (tenant, last - first, group, only) == ("acme", timedelta(days=29), UsageGroup.MODEL, "ann")
    assert last in days


async def test_a_range_and_a_group_may_be_named(house: House) -> None:
    await house.call("GET", f"{ROUTE}?from=2026-01-01&to=2026-01-31&group_by=agent")
    ledger: Any = house.usage.ledger
    ((_, first, last, group, only),) = ledger.asked
    assert (str(first), str(last), group, only) == ("2026-01-01", "2026-01-31", UsageGroup.AGENT, "ann")


@pytest.mark.parametrize(("role", "seen"), [(Role.USER, "ann"), (Role.OPERATOR, None)])
@pytest.mark.parametrize("group", [group for group in UsageGroup if group is not UsageGroup.SESSION])
async def test_a_user_is_shown_no_other_user(house: House, role: Role, seen: str | None, group: UsageGroup) -> None:
    await house.call("GET", f"{ROUTE}?group_by={group}", headers=bearer(role=role))
    ledger: Any = house.usage.ledger
    assert ledger.asked[0][-1] == seen


async def test_sessions_are_for_those_who_see_the_whole_tenant(house: House) -> None:
    reply = await house.call("GET", f"{ROUTE}?group_by=session")
    assert reply.fault == (403, "ORCH_AUTH_003", "")
    assert (await house.call("GET", f"{ROUTE}?group_by=session", headers=bearer(role=Role.ADMIN))).status == 200


@pytest.mark.parametrize(
    ("query", "path"),
    [("from=yesterday", "$.query.from"), ("to=2026-02-30", "$.query.to"), ("group_by=mood", "$.query.group_by")],
)
async def test_a_malformed_day_or_group_is_refused(house: House, query: str, path: str) -> None:
    assert (await house.call("GET", f"{ROUTE}?{query}")).fault == (400, "ORCH_VAL_003", path)


async def test_it_takes_the_permission(house: House) -> None:
    reply = await house.call("GET", ROUTE, headers=bearer(permissions=["chat:read"]))
    assert reply.fault == (403, "ORCH_AUTH_003", "")
