"""Failed credentials slow their address down, in all processes, and no neighbour behind the same address."""

import pytest
from attrs import evolve

from orchestrator.errors import RateLimited, StoreUnavailable
from orchestrator.middleware.guards.failed_credentials import FailedCredentials, credential_of
from tests.isolation.test_frames import opened, refusal
from tests.services.workflows.house import open_house
from tests.support.credentials import METRICS_KEY, SETTINGS, bearer
from tests.support.house import House
from tests.support.served import service

LIST = "/api/v1/session.list"
FORGED = {"Authorization": "Bearer forged"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_of(failures: FailedCredentials, address: str, credential: str = "x") -> float:
    try:
        failures.check(address, credential)
    except RateLimited as error:
        return (error.retry_after_ms or 0) / 1000
    return 0.0


async def test_each_failure_beyond_what_is_allowed_doubles_the_wait_up_to_a_minute() -> None:
    clock = Clock()
    failures = FailedCredentials(3, clock)
    waits = []
    for _ in range(12):
        await failures.failed("192.0.2.1", "x")
        waits.append(wait_of(failures, "192.0.2.1"))
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert wait_of(failures, "192.0.2.2") == 0
    clock.now += 121
    await failures.failed("192.0.2.1", "x")
    assert wait_of(failures, "192.0.2.1") == 0


async def test_what_was_good_before_passes_and_so_does_who_brings_nothing() -> None:
    failures = FailedCredentials(1, Clock())
    failures.passed("good")
    for _ in range(3):
        await failures.failed("2001:db8::1", "bad")
    assert wait_of(failures, "2001:db8::2", "good") == 0
    assert wait_of(failures, "2001:db8::2", "other") > 0
    failures.check("2001:db8::2", None)
    await failures.failed("2001:db8::2", "good")
    assert wait_of(failures, "2001:db8::2", "good") > 0


async def test_none_are_counted_where_the_setting_is_zero() -> None:
    failures = FailedCredentials(0, Clock())
    for _ in range(100):
        await failures.failed("192.0.2.1", "x")
    assert wait_of(failures, "192.0.2.1") == 0


async def test_while_redis_is_away_each_process_counts_for_itself() -> None:
    failures = FailedCredentials(1, Clock())

    async def away(_address: str, _seconds: float) -> int:
        raise StoreUnavailable("Redis is away.")

    failures.share = away
    for _ in range(2):
        await failures.failed("192.0.2.1", "x")
    assert wait_of(failures, "192.0.2.1") == 1


@pytest.mark.parametrize(
    ("headers", "is_credential"),
    [
        ({"authorization": "Bearer a"}, True),
        ({"x-api-key": "k"}, True),
        ({"sec-websocket-protocol": "nooble.v1, bearer.a"}, True),
        ({"sec-websocket-protocol": "nooble.v1"}, False),
        ({}, False),
    ],
)
def test_a_credential_is_found_where_one_may_stand(headers: dict[str, str], is_credential: bool) -> None:
    assert (credential_of(headers) is not None) is is_credential


async def test_a_guesser_is_told_to_wait_and_the_neighbours_go_on() -> None:
    house = House(settings=evolve(SETTINGS, auth_failures=3))
    house.app.extensions["authenticator"].failures._clock = Clock()
    known = bearer()
    assert (await house.call("GET", LIST, headers=known)).status == 200
    statuses = [(await house.call("GET", LIST, headers=FORGED)).status for _ in range(6)]
    assert statuses == [401, 401, 401, 401, 429, 429]
    refused = await house.call("GET", "/metrics", headers={"X-API-Key": METRICS_KEY})
    assert (refused.fault[:2], refused.headers["Retry-After"]) == ((429, "ORCH_RATE_001"), "1")
    assert (await house.call("GET", LIST, headers=known)).status == 200
    assert (await house.call("GET", LIST, headers=bearer(user="new"))).status == 429
    assert (await house.call("GET", LIST, headers={})).status == 401
    assert (await house.call("GET", "/health/live", headers={})).status == 200


async def test_failures_count_for_all_processes(redis_url: str) -> None:
    async with service(redis_url, auth_failures=3) as one, service(redis_url, auth_failures=3) as other:
        for _ in range(3):
            assert (await one.call("GET", LIST, headers=FORGED)).status == 401
        assert (await other.call("GET", LIST, headers=FORGED)).status == 401
        assert (await other.call("GET", LIST, headers=FORGED)).status == 429
        [key] = await one.process.stores.redis.keys("orchestrator:address:*:failures")
        assert await one.process.stores.redis.pttl(key) > 60_000


async def test_a_token_that_fails_on_an_open_socket_counts_as_one_that_fails_elsewhere(redis_url: str) -> None:
    async with open_house(redis_url, auth_failures=3) as house:
        known = bearer()
        session_id = (await house.call("POST", "session.create", {"agent_id": "echo"}, **known)).data["session_id"]
        async with opened(house, f"/ws/v1/chat/{session_id}", known) as client:
            codes = []
            for number in range(6):
                await client.say("system.auth", {"token": f"forged-{number}"})
                codes.append((await client.until("system.error"))["data"]["error"]["code"])
            assert codes == ["ORCH_AUTH_001"] * 4 + ["ORCH_RATE_001"] * 2
        assert (await house.call("GET", "session.list", user="new")).fault == (429, "ORCH_RATE_001")
        assert (await house.call("GET", f"session.get/{session_id}", **known)).status == 200


async def test_tickets_count_at_sockets_and_at_event_streams(redis_url: str) -> None:
    async with open_house(redis_url, auth_failures=3) as house:
        statuses = []
        for number in range(6):
            if number % 2:
                statuses.append((await refusal(house, f"/ws/v1/chat/one?ticket=made-up-{number}", {}))[0])
                continue
            body = {"session_id": "one", "content": "hi", "mode": "stream"}
            path = f"{house.url}/api/v1/chat.message?ticket=made-up-{number}"
            statuses.append((await house.http.post(path, json=body)).status_code)
        assert statuses == [401] * 4 + [429] * 2


async def test_tokens_in_the_url_of_a_socket_count(redis_url: str) -> None:
    async with open_house(redis_url, auth_failures=3) as house:
        codes = []
        for number in range(6):
            async with opened(house, f"/ws/v1/chat/one?token=forged-{number}", {}) as client:
                codes.append(await client.close_code())
        assert codes == [4003] * 4 + [4029] * 2
