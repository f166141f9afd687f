"""Which limit applies to a tenant: its own, its tier's, or the service's."""

import math
from collections.abc import AsyncIterator
from importlib.resources import files

import orjson
import pytest
from attrs import evolve, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.config.tenant_limits import LIMITS
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis

SETTINGS = AgentOrchestratorSettings()
KEYS = Keys()
LIBRARY = files("orchestrator.store") / "scripts" / "lib" / "common"
LIMIT_OF = "\n".join(
    [
        (LIBRARY / "tenant.lua").read_text(encoding="utf-8"),
        (LIBRARY / "limits.lua").read_text(encoding="utf-8"),
        "return tostring(limit_of(ARGV[3], ARGV[4]))",
    ]
)


@frozen
class Acme:
    """A tenant."""

    redis: Redis

    async def configure(self, **own: str | float) -> None:
        await self.redis.hset(KEYS.tenant_config("acme"), mapping=own)

    async def limit(self, name: str, settings: AgentOrchestratorSettings = SETTINGS) -> float:
        """What a script takes for the tenant's limit."""
        args = ["acme", 100, name, LimitDefaults.of(settings)[name]]
        reply: bytes = await self.redis.execute_command("EVAL", LIMIT_OF, 1, "queue", *args)
        return float(reply)


@pytest.fixture
async def acme(redis_url: str) -> AsyncIterator[Acme]:
    async with open_redis(redis_url) as redis:
        yield Acme(redis)


async def test_the_service_bounds_a_tenant_without_a_limit_of_its_own(acme: Acme) -> None:
    assert await acme.limit("queue_length") == SETTINGS.queue_length
    assert await acme.limit("rate", evolve(SETTINGS, rate_tenant=0.5)) == 0.5


async def test_a_limit_without_a_default_bounds_nobody(acme: Acme) -> None:
    assert await acme.limit("concurrency") == math.inf
    await acme.configure(concurrency=3)
    assert await acme.limit("concurrency") == 3


async def test_a_tenant_without_a_tier_has_the_limits_of_the_services_tier(acme: Acme) -> None:
    advance = evolve(SETTINGS, gateway=evolve(SETTINGS.gateway, tier="advance"))
    assert await acme.limit("tokens_day", advance) == 1_000_000
    assert await acme.limit("tokens_day") == math.inf


async def test_a_tenant_has_the_limits_of_its_tier_and_its_own_before_them(acme: Acme) -> None:
    await acme.configure(tier="free")
    assert await acme.limit("tokens_day") == 100_000
    await acme.configure(tokens_day=5)
    assert await acme.limit("tokens_day") == 5
    assert await acme.limit("tokens_month") == 2_000_000


@pytest.mark.parametrize("odd", ["", "many", "-1e"])
async def test_what_is_no_number_is_no_limit_of_its_own(acme: Acme, odd: str) -> None:
    await acme.configure(queue_length=odd, tier="unheard-of", tokens_day=odd)
    assert await acme.limit("queue_length") == SETTINGS.queue_length
    assert await acme.limit("tokens_day") == math.inf


def test_every_limit_has_a_default_that_scripts_can_read() -> None:
    defaults = LimitDefaults.of(SETTINGS)
    for name, row in LIMITS.items():
        if row.by_tier is not None:
            assert orjson.loads(defaults[name])["free"] == row.by_tier.free
        else:
            assert defaults[name] == ("" if row.setting is None else repr(row.number(row.default)))


def test_a_store_without_defaults_enforces_no_limit_in_silence() -> None:
    with pytest.raises(KeyError):
        LimitDefaults()["queue_length"]


async def test_a_cap_bounds_every_default_and_no_limit_of_a_tenants_own(acme: Acme) -> None:
    defaults = LimitDefaults.of(evolve(SETTINGS, schedules=50))

    async def limit(name: str) -> float:
        reply: bytes = await acme.redis.execute_command("EVAL", LIMIT_OF, 1, "queue", "acme", 100, name, defaults[name])
        return float(reply)

    for name, most in (("bytes", 1000), ("tokens_day", 70), ("concurrency", 5), ("queue_length", 20)):
        defaults.cap(name, most)
        assert await limit(name) == most
    await acme.configure(tier="free")
    assert await limit("bytes") == 1000
    await acme.configure(bytes=5000)
    assert await limit("bytes") == 5000
    defaults.cap("queue_length", 0)
    assert await limit("queue_length") == SETTINGS.queue_length
