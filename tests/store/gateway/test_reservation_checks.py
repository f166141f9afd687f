"""What the consistency check finds and repairs of the reservations of the gateway."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.models.common.ids import new_id
from orchestrator.models.gateway.gateway import GatewayCall, InDoubtCall
from orchestrator.models.gateway.usage import Spending, UsageKind
from orchestrator.models.operations.consistency import Violation, ViolationKind
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.consistency.consistency import ConsistencyStore
from orchestrator.store.gateway.gateway_calls import GatewayCalls
from orchestrator.store.gateway.reservation_checks import ReservationChecks
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants

KEYS = Keys()


@frozen
class House:
    """Open calls, and who looks at them."""

    redis: Redis
    calls: GatewayCalls
    consistency_checker: ConsistencyChecker

    async def reserve(self, estimate: int = 100, model: str = "large") -> GatewayCall:
        call = GatewayCall(new_id(), "acme", UsageKind.GENERATE, {"query": "x"}, model, estimate)
        await self.calls.reserve(call)
        return call

    async def audit(self) -> Report:
        return await self.consistency_checker.audit("acme")

    async def kinds(self) -> list[ViolationKind]:
        return [fault.kind for fault in (await self.audit()).faults]

    async def repaired(self) -> list[tuple[ViolationKind, bool]]:
        """Mend what there is; what was found, and whether it was mended."""
        audit = await self.consistency_checker.repair(await self.audit())
        return [(fault.kind, fault.mended) for fault in audit.faults]

    async def reserved(self, field: str = "reserved") -> list[int]:
        """Of the day and of the month."""
        now = datetime.now(UTC)
        budgets = [KEYS.budget("acme", f"{now:%Y%m%d}"), KEYS.budget("acme", f"{now:%Y%m}")]
        return [int(await self.redis.hget(budget, field) or 0) for budget in budgets]

    async def shift(self, amount: int, field: str = "reserved|large") -> str:
        """Make a sum of the day wrong; returns its day."""
        day = f"{datetime.now(UTC):%Y%m%d}"
        await self.redis.hincrby(KEYS.budget("acme", day), field, amount)
        return day

    async def doubts(self) -> list[InDoubtCall]:
        """What a process may take now."""
        tenants, _, _ = await self.calls.take_tenants(10, 1000)
        return (await self.calls.take_in_doubt("acme", 10, 1000))[0] if "acme" in tenants else []


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_redis(redis_url) as redis:
        stores = (redis, KEYS, 1000, LimitDefaults.of(AgentOrchestratorSettings()))
        await redis.sadd(KEYS.tenants, "acme")
        calls = GatewayCalls(*stores, lease_ms=30_000, give_up_ms=3_600_000)
        yield House(
            redis,
            calls,
            ConsistencyChecker(
                ConsistencyStore(*stores),
                ReservationChecks(*stores),
                ReadyTenants(redis, KEYS),
                DueTenants(redis, KEYS),
            ),
        )


async def test_reservations_balance_while_calls_begin_and_end(house: House) -> None:
    calls = [await house.reserve(model=model) for model in ("large", "small", "")]
    audit = await house.audit()
    assert (audit.faults, audit.reservations) == ([], 3)
    await house.calls.settle(calls[0], Spending("large", 1, 2, 3))
    await house.calls.release(calls[1])
    await house.calls.give_up(calls[2])
    audit = await house.audit()
    assert (audit.faults, audit.reservations) == ([], 0)


async def test_a_sum_that_is_not_the_sum_of_its_reservations_is_set_to_it(house: House) -> None:
    call = await house.reserve(100)
    day = await house.shift(40)
    [fault] = (await house.audit()).faults
    says = "holds 140 reserved tokens, but the open calls add up to 100"
    assert fault == Violation(ViolationKind.WRONG_SUM, f"{day} reserved|large", says, excess=40)
    assert await house.repaired() == [(ViolationKind.WRONG_SUM, True)]
    assert await house.kinds() == []
    await house.calls.release(call)
    assert (await house.reserved(), await house.reserved("reserved|large")) == ([0, 0], [0, 0])


async def test_a_sum_that_is_missing_is_written_anew(house: House) -> None:
    await house.reserve(100)
    await house.redis.hdel(KEYS.budget("acme", f"{datetime.now(UTC):%Y%m}"), "reserved")
    assert await house.repaired() == [(ViolationKind.WRONG_SUM, True)]
    assert await house.reserved() == [100, 100]


async def test_a_reservation_without_record_is_given_back(house: House) -> None:
    lost, kept = await house.reserve(100), await house.reserve(7)
    await house.redis.delete(KEYS.call("acme", lost.call_id))
    wrong = [ViolationKind.WRONG_SUM] * 4
    assert await house.kinds() == [ViolationKind.CALL_UNRECORDED, *wrong]
    assert all(mended for _, mended in await house.repaired())
    assert await house.kinds() == []
    assert await house.reserved() == [7, 7]
    assert await house.redis.zrange(KEYS.calls("acme"), 0, -1) == [kept.call_id.encode()]


async def test_a_call_missing_from_the_index_is_put_back_and_its_sum_is_right(house: House) -> None:
    call = await house.reserve(100)
    await house.redis.delete(KEYS.calls("acme"), KEYS.doubts)
    await house.reserve(7)
    await house.redis.zrem(KEYS.doubts, "acme")
    await house.shift(5)
    assert await house.kinds() == [ViolationKind.CALL_UNWATCHED, ViolationKind.WRONG_SUM, ViolationKind.NOT_DOUBTED]
    assert all(mended for _, mended in await house.repaired())
    assert await house.kinds() == []
    assert [doubt.call.call_id for doubt in await house.doubts()] == [call.call_id]
    assert await house.reserved("reserved|large") == [107, 107]
    assert await house.redis.pttl(KEYS.calls("acme")) > 3_600_000


async def test_a_tenant_missing_from_the_index_of_doubts_is_put_back(house: House) -> None:
    await house.reserve()
    await house.redis.delete(KEYS.doubts)
    assert await house.repaired() == [(ViolationKind.NOT_DOUBTED, True)]
    assert (await house.calls.take_tenants(10, 1000))[0] == ["acme"]


async def test_a_call_in_doubt_that_no_process_takes_is_left_to_an_operator(house: House) -> None:
    call = await house.reserve()
    moment = round(datetime.now(UTC).timestamp() * 1000) - 400_000
    await house.redis.zadd(KEYS.calls("acme"), {call.call_id: moment})
    await house.redis.zadd(KEYS.doubts, {"acme": moment})
    assert await house.repaired() == [(ViolationKind.DOUBT_LEFT, False)]


async def test_a_sum_is_repaired_only_if_it_has_not_changed(house: House) -> None:
    await house.reserve(100)
    await house.shift(40)
    seen = await house.audit()
    await house.reserve(50)
    await house.shift(1)
    assert [fault.mended for fault in (await house.consistency_checker.repair(seen)).faults] == [False]
    await house.shift(-1)
    assert [fault.mended for fault in (await house.consistency_checker.repair(seen)).faults] == [True]
    assert await house.reserved("reserved|large") == [150, 150]


async def test_a_call_that_is_recorded_again_or_has_ended_is_left_alone(house: House) -> None:
    call = await house.reserve()
    there, gone = (
        Violation(ViolationKind.CALL_UNRECORDED, call.call_id, ""),
        Violation(ViolationKind.CALL_UNWATCHED, "ended", ""),
    )
    repaired = await house.consistency_checker.repair(Report("acme", faults=[there, gone]))
    assert [fault.mended for fault in repaired.faults] == [False, False]
    assert await house.kinds() == []


async def test_what_another_tenant_has_reserved_is_not_counted(house: House) -> None:
    await house.calls.reserve(GatewayCall(new_id(), "acme2", UsageKind.GENERATE, {"query": "x"}, "large", 9))
    await house.reserve(100)
    await house.shift(40)
    assert await house.kinds() == [ViolationKind.WRONG_SUM]
    assert sorted(await house.consistency_checker.store.all_tenants()) == ["acme", "acme2"]
