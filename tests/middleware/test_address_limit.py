"""The limit of each address, which counts before credentials are looked at."""

import pytest
from attrs import evolve

from orchestrator.errors import RateLimited
from orchestrator.middleware import address_limit
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.middleware.context import header_map
from orchestrator.middleware.guards.forwarded import RemoteAddress
from tests.support.credentials import METRICS_KEY, SETTINGS
from tests.support.house import House
from tests.telemetry.figures import figure

LIST = "/api/v1/session.list"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def passed(limiter: AddressLimiter, address: str, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            limiter.check(address)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_burst_passes_and_then_the_rate() -> None:
    clock = Clock()
    limiter = AddressLimiter(10.0, 2.0, clock)
    assert passed(limiter, "192.0.2.1", 50) == 20
    with pytest.raises(RateLimited) as caught:
        limiter.check("192.0.2.1")
    assert caught.value.retry_after_ms == pytest.approx(100, abs=1)
    assert passed(limiter, "192.0.2.2", 1) == 1
    clock.now += 1.001
    assert passed(limiter, "192.0.2.1", 50) == 10


def test_no_rate_is_no_limit() -> None:
    assert passed(AddressLimiter(0.0, 5.0, Clock()), "192.0.2.1", 10_000) == 10_000


def test_a_rate_below_one_lets_one_pass_at_a_time() -> None:
    assert passed(AddressLimiter(0.01, 5.0, Clock()), "192.0.2.1", 3) == 1


def test_a_network_of_ipv6_is_one_address() -> None:
    limiter = AddressLimiter(1.0, 2.0, Clock())
    assert [passed(limiter, f"2001:db8::{number}", 1) for number in range(4)] == [1, 1, 0, 0]
    assert passed(limiter, "2001:db8:0:1::1", 1) == 1
    assert passed(limiter, "::ffff:192.0.2.1", 2) == 2
    assert passed(limiter, "192.0.2.1", 1) == 0
    assert passed(limiter, "no:address", 3) == 2


def test_only_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_limit, "ADDRESSES", 10)
    limiter = AddressLimiter(1.0, 1.0, Clock())
    for number in range(50):
        limiter.check(f"192.0.2.{number}")
    assert len(limiter._arrivals) == 10
    assert passed(limiter, "192.0.2.49", 1) == 0


async def test_it_counts_before_credentials_and_says_when_to_come_back() -> None:
    house = House(settings=evolve(SETTINGS, rate_address=1.0, rate_burst=3.0))
    forged = {"Authorization": "Bearer forged"}
    assert [(await house.call("GET", LIST, headers=forged)).status for _ in range(4)] == [401, 401, 401, 429]
    refused = await house.call("GET", LIST)
    assert refused.fault[:2] == (429, "ORCH_RATE_001")
    assert int(refused.headers["Retry-After"]) >= 1
    assert figure(house.metrics, "rate_limited_total", door="http", code="ORCH_RATE_001") == 2
    assert (await house.call("GET", "/health/live", headers={})).status == 200
    assert (await house.call("GET", "/metrics", headers={"X-API-Key": METRICS_KEY})).status == 429


async def test_a_proxy_that_is_trusted_speaks_for_its_clients() -> None:
    house = House(settings=evolve(SETTINGS, rate_address=1.0, rate_burst=1.0, trusted_proxies=("127.0.0.0/8",)))
    limiter, addresses = house.app.extensions["address_limiter"], house.app.extensions["remote_address"]
    scope = {"client": ("127.0.0.1", 1)}
    seen = [addresses.of(scope, {"x-forwarded-for": f"192.0.2.{number}"}) for number in (1, 2, 1)]
    assert [passed(limiter, address, 1) for address in seen] == [1, 1, 0]


def test_the_lines_of_a_header_count_together() -> None:
    lines = [(b"x-forwarded-for", b"203.0.113.9"), (b"accept", b"*/*"), (b"x-forwarded-for", b"192.0.2.1, 10.0.0.2")]
    headers = header_map({"headers": lines})
    assert headers["x-forwarded-for"] == "203.0.113.9, 192.0.2.1, 10.0.0.2"
    addresses = RemoteAddress(["10.0.0.0/8"])
    assert addresses.of({"client": ("10.0.0.1", 1)}, headers) == "192.0.2.1"


def test_only_proxies_that_are_named_are_trusted() -> None:
    addresses = RemoteAddress(["10.0.0.0/8"])
    assert [addresses.trusts(address) for address in ("10.0.0.1", "192.0.2.1", "", "nonsense")] == [True, *[False] * 3]
    assert not RemoteAddress([]).trusts("10.0.0.1")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/nowhere", 404),
        ("DELETE", LIST, 405),
        ("OPTIONS", LIST, 200),
        ("GET", "/metrics", 401),
    ],
)
async def test_whatever_is_asked_for_counts(method: str, path: str, status: int) -> None:
    house = House(settings=evolve(SETTINGS, rate_address=0.01, rate_burst=1.0))
    assert (await house.call(method, path, headers={})).status == status
    refused = await house.call(method, path, headers={})
    assert (refused.status, refused.error["code"]) == (429, "ORCH_RATE_001")
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


async def test_probes_are_answered_during_a_flood() -> None:
    house = House(settings=evolve(SETTINGS, rate_address=0.01, rate_burst=1.0))
    for _ in range(20):
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await house.call("GET", path, headers={})).status == 200
    assert (await house.call("GET", "/docs", headers={})).status == 200
    assert (await house.call("GET", "/docs", headers={})).status == 429
    assert (await house.call("GET", "/health/live", headers={})).status == 200
