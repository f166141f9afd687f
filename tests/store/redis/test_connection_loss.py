"""What becomes of commands when the connection, or the server, goes away."""

import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from operator import le
from pathlib import Path

import pytest
import trio
import trio.testing

from orchestrator.errors import StoreUnavailable
from orchestrator.sandbox.redis.redis_server import RedisServer, run_redis
from orchestrator.store.redis.connection import RECONNECTED, Dedicated, Redis, RedisAway, open_redis
from tests.store.redis.gate import Gate, open_gate
from tests.support.eventually import PATIENCE, eventually


@pytest.fixture
async def gate(redis_url: str, tmp_path: Path) -> AsyncIterator[Gate]:
    async with open_gate(redis_url, tmp_path) as gate:
        yield gate


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with run_redis(tmp_path / "data", fsync="always") as server:
        yield server


async def away(redis: Redis | Dedicated, *command: object) -> RedisAway:
    """Give a command that shall fail; returns how it did."""
    with pytest.raises(RedisAway) as caught, trio.fail_after(PATIENCE):
        await redis.execute_command(*command)
    return caught.value


async def test_a_missing_server_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(RedisAway) as caught:
        async with open_redis(f"unix://{tmp_path}/nobody.sock"):
            pytest.fail("it connected")
    assert isinstance(caught.value, StoreUnavailable)
    assert not caught.value.sent
    assert caught.value.body().retryable


async def test_everything_in_flight_fails_once_and_says_that_it_may_have_been_executed(gate: Gate) -> None:
    faults: list[RedisAway] = []
    async with open_redis(gate.url) as redis, trio.open_nursery() as nursery:
        gate.hold()

        async def fail(number: int) -> None:
            with pytest.raises(RedisAway) as caught:
                await (redis.incr("key") if number % 2 else redis.gather([("PING",), ("PING",)]))
            faults.append(caught.value)

        for number in range(100):
            nursery.start_soon(fail, number)
        await trio.testing.wait_all_tasks_blocked()
        gate.cut()
        gate.let_go()
    assert len(faults) == len(set(map(id, faults))) == 100
    assert all(fault.sent for fault in faults)


async def test_what_was_not_sent_waits_for_the_next_connection(gate: Gate) -> None:
    outcomes: dict[int, bool] = {}
    async with open_redis(gate.url, reconnect_wait=PATIENCE) as redis:
        gate.hold()

        async def store(number: int) -> None:
            try:
                await redis.set(f"key:{number}", bytes(2**20))
                outcomes[number] = True
            except RedisAway as fault:
                outcomes[number] = not fault.sent

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(store, number)
                await trio.testing.wait_all_tasks_blocked()
            gate.cut()
            gate.let_go()
        assert not outcomes[0]
        assert [outcomes[number] for number in range(6, 12)] == [True] * 6
        for number, stored in outcomes.items():
            assert not stored or await redis.strlen(f"key:{number}") == 2**20


async def test_a_killed_connection_is_made_again(redis_url: str) -> None:
    async with open_redis(redis_url) as redis, open_redis(redis_url) as other:
        await redis.set("key", "value")
        for _ in range(5):
            await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await redis.wait_lost()
            assert await redis.get("key") == b"value"
        assert redis.counters.reconnects == 5


async def test_the_client_comes_back_with_the_server(server: RedisServer) -> None:
    async with open_redis(server.url, reconnect_wait=PATIENCE) as redis:
        await redis.set("key", "value")
        await server.kill()
        await redis.wait_lost()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.start)
            assert await redis.get("key") == b"value"


async def test_a_command_waits_for_the_server_no_longer_than_it_may(server: RedisServer) -> None:
    async with open_redis(server.url, reconnect_wait=0.2) as redis:
        await server.kill()
        await redis.wait_lost()
        started = trio.current_time()
        fault = await away(redis, "PING")
        assert not fault.sent
        assert 0.15 < trio.current_time() - started < PATIENCE
        assert "no connection" in fault.reason


async def test_a_server_that_hangs_is_given_up(server: RedisServer) -> None:
    async with open_redis(server.url, command_timeout=0.5, connect_timeout=0.5, reconnect_wait=0.6) as redis:
        await redis.ping()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            fault = await away(redis, "PING")
            assert fault.sent
            assert "no reply within 0.5 s" in fault.reason
            assert not (await away(redis, "PING")).sent
        finally:
            os.kill(server.pid, signal.SIGCONT)

        async def answers() -> bool:
            try:
                return bool(await redis.ping())
            except RedisAway:
                return False

        await eventually("the server answers again", answers)


async def test_an_idle_connection_does_not_run_out_of_time(redis_url: str) -> None:
    async with open_redis(redis_url, command_timeout=0.2) as redis:
        for _ in range(2):
            await redis.ping()
            await trio.sleep(0.25)
        assert redis.counters.reconnects == 0


async def test_a_process_that_was_busy_does_not_blame_the_server(redis_url: str) -> None:
    async with open_redis(redis_url, command_timeout=0.05) as redis:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(redis.echo, "x")
            await trio.lowlevel.checkpoint()
            busy_until = trio.current_time() + 0.2
            while trio.current_time() < busy_until:
                pass
        assert redis.counters.reconnects == 0


@pytest.mark.parametrize(
    "nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n", b"$-7\r\n", b"\x00" * 100, b"%1\r\n*0\r\n+\r\n"]
)
async def test_a_peer_with_malformed_replies_is_left(gate: Gate, nonsense: bytes) -> None:
    async with open_redis(gate.url) as redis:
        await redis.set("key", "value")
        await gate.say(nonsense)
        await redis.wait_lost()
        assert await redis.get("key") == b"value"


async def test_a_server_that_refuses_to_serve_is_away(server: RedisServer) -> None:
    async with open_redis(server.url) as redis:
        await redis.config_set("maxmemory", "1")
        fault = await away(redis, "SET", "key", "value")
        assert fault.reason.startswith("the server refuses: OOM")
        assert not fault.sent
        await redis.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("code", "stale", "command"),
    [("READONLY", "yes", ("SET", "key", "value")), ("MASTERDOWN", "no", ("GET", "key"))],
)
async def test_all_connections_that_lead_to_a_replica_are_made_anew(
    server: RedisServer, code: str, stale: str, command: tuple[str, ...]
) -> None:
    async with (
        open_redis(server.url) as operator,
        open_redis(server.url, reconnect_wait=0.05) as redis,
        redis.subscriber() as subscriber,
        redis.dedicated() as own,
    ):
        with trio.fail_after(PATIENCE):
            await subscriber.subscribe("news")
        await operator.config_set("replica-serve-stale-data", stale)
        await operator.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert code in (await away(redis, *command)).reason
        assert code in (await away(own, "PING")).reason
        await eventually("a replica is refused", lambda: redis.why_away, lambda why: why and code in why)
        await operator.execute_command("REPLICAOF", "NO", "ONE")
        await eventually("the client is back", lambda: redis.why_away, lambda why: why is None)
        await redis.set("key", "value")
        with trio.fail_after(PATIENCE):
            assert await anext(subscriber) is RECONNECTED


async def test_a_connection_that_has_lost_its_login_is_made_anew(server: RedisServer) -> None:
    async with open_redis(server.url) as redis:
        await redis.config_set("requirepass", "secret")
        try:
            await redis.execute_command("RESET")
            assert "NOAUTH" in (await away(redis, "PING")).reason
            await eventually("the login fails", lambda: redis.why_away, lambda why: why and "NOAUTH" in why)
        finally:
            async with open_redis(f"unix://:secret@{server.url.removeprefix('unix://')}") as operator:
                await operator.config_set("requirepass", "")
        await eventually("the client is back", lambda: redis.why_away, lambda why: why is None)


async def test_a_refusal_in_a_script_may_come_after_it_has_written(server: RedisServer) -> None:
    script = "redis.call('SET', 'a', 1) return redis.error_reply('OOM here, script: of the test')"
    async with open_redis(server.url) as redis:
        assert (await away(redis, "EVAL", script, 0)).sent


async def test_leaving_the_client_fails_what_is_in_flight(gate: Gate) -> None:
    async with trio.open_nursery() as nursery:
        async with open_redis(gate.url) as redis:
            gate.hold()
            nursery.start_soon(away, redis, "PING")
            await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(away, redis, "PING")


@pytest.mark.parametrize("seed", range(3))
async def test_no_reply_shifts_while_connections_come_and_go(gate: Gate, seed: int) -> None:
    answered = lost = 0

    async def call(redis: Redis, number: int) -> None:
        nonlocal answered, lost
        for turn in range(40):
            word = f"{seed}:{number}:{turn}".encode()
            try:
                assert await redis.echo(word) == word
                answered += 1
            except RedisAway as fault:
                lost += fault.sent

    async with open_redis(gate.url, reconnect_wait=PATIENCE) as redis:
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(call, redis, number)
            for cuts in range(5):
                enough = partial(le, 150 * (cuts + 1))
                await eventually("more calls are answered", lambda: answered, enough)
                gate.cut()
        assert answered + lost == 2000
        assert answered >= 750
        assert 1 <= redis.counters.reconnects <= 20
