"""Whatever Redis says, or holds in shared keys and channels: the process outlives it, says so, and goes on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from attrs import evolve, field, frozen

from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import StoreUnavailable
from orchestrator.sandbox.platform import run_sandbox
from orchestrator.sandbox.redis.redis_server import RedisServer, run_redis
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.support.eventually import eventually
from tests.support.house import Reply
from tests.support.served import Client, service

KEYS: Final = Keys()
ECHO: Final = {"agent_id": "echo"}
GARBAGE: Final = (b"\xff\xfe", b"", b"x", b"{}", b"[]", b"null", b'{"kind":"agent","tenant_id":[],"agent_id":{}}')
CHANNELS: Final = (
    KEYS.wake_channel,
    KEYS.cancel_channel,
    KEYS.revocation_channel,
    KEYS.answer_channel,
    KEYS.notification_channel,
    KEYS.catalog_channel,
)
SHARED: Final = (
    "tenants", "ready", "debts", "clock", "weights", "due", "doubts", "task_update_stream", "nodes", "loads",
    "revocations", "notices", "generation",
)  # fmt: skip


@frozen
class Rig:
    """A process with every loop that there is, its Redis, and an operator who may do anything to that."""

    client: Client
    server: RedisServer
    operator: Redis
    scripts: list[trio.abc.Stream] = field(factory=list)
    """Connections on which scripts run."""

    async def do(self, *command: Any) -> Any:
        """Give a command of an operator."""
        return await self.operator.execute_command(*command)

    async def ready(self) -> Reply:
        """Ask for readiness."""
        return await self.client.call("GET", "/health/ready", headers={})

    async def says(self, words: str) -> None:
        """Wait until the process is not ready, and says why."""
        reply = await eventually(
            f"readiness says {words}", self.ready, lambda reply: reply.status == 503 and words in reply.raw.decode()
        )
        assert reply.json["status"] == "unready"

    async def goes_on(self) -> None:
        """A message is answered: everything works again."""
        await eventually("it is ready", self.ready, lambda reply: reply.status == 200)
        created = await self.client.call("POST", "/api/v1/session.create", ECHO)
        assert created.status == 201, created.raw
        said = {"session_id": created.data["session_id"], "content": "hello", "mode": "wait", "timeout_ms": 9000}
        reply = await self.client.call("POST", "/api/v1/chat.message", said)
        assert (reply.status, reply.data["content"]) == (200, "hello"), reply.raw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs = tmp_path_factory.mktemp("docs")
    (docs / "page.md").write_text("# Page\n\nThere is one page.\n")
    return docs


@pytest.fixture
async def rig(tmp_path: Path, folder: Path) -> AsyncIterator[Rig]:
    async with run_redis(tmp_path / "redis", fsync="no") as server, run_sandbox(docs=folder) as sandbox:
        services = {name: evolve(own, url=sandbox.urls[name]) for name, own in DEFAULTS.services.items()}
        services["query"] = ServiceSettings(transport="queue")
        async with (
            open_redis(server.url) as operator,
            service(server.url, consuming=True, services=services, node_timeout=1.0, lease=1.0) as client,
        ):
            rig = Rig(client, server, operator)
            await rig.goes_on()
            yield rig
            await rig.goes_on()


State = tuple[Callable[[Rig], Awaitable[Any]], str, Callable[[Rig], Awaitable[Any]]]


async def _replica(rig: Rig) -> None:
    await rig.do("REPLICAOF", "127.0.0.1", "1")


async def _master(rig: Rig) -> None:
    await rig.do("CONFIG", "SET", "replica-serve-stale-data", "yes")
    await rig.do("REPLICAOF", "NO", "ONE")


async def _stale_replica(rig: Rig) -> None:
    await rig.do("CONFIG", "SET", "replica-serve-stale-data", "no")
    await rig.do("REPLICAOF", "127.0.0.1", "1")


def _config(name: str, value: str) -> Callable[[Rig], Awaitable[None]]:
    async def change(rig: Rig) -> None:
        await rig.do("CONFIG", "SET", name, value)

    return change


def _rights(*rules: str) -> Callable[[Rig], Awaitable[None]]:
    async def change(rig: Rig) -> None:
        # The operator keeps a user of its own, so that it can undo what it does to the service's.
        await rig.do("ACL", "SETUSER", "default", *rules)

    return change


async def _password(rig: Rig) -> None:
    await rig.do("CONFIG", "SET", "requirepass", "changed")
    await rig.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await rig.do("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")


async def _no_password(rig: Rig) -> None:
    await rig.do("CONFIG", "SET", "requirepass", "")


async def _endless_script(rig: Rig) -> None:
    await rig.do("CONFIG", "SET", "busy-reply-threshold", "10")
    rig.scripts.append(await trio.open_unix_socket(rig.server.url.removeprefix("unix://")))
    await rig.scripts[-1].send_all(b"EVAL 'while true do end' 0\r\n")


async def _kill_script(rig: Rig) -> None:
    await rig.do("SCRIPT", "KILL")
    await rig.scripts[-1].aclose()


STATES: Final[dict[str, State]] = {
    "READONLY": (_replica, "READONLY", _master),
    "MASTERDOWN": (_stale_replica, "MASTERDOWN", _master),
    "OOM": (_config("maxmemory", "1"), "OOM", _config("maxmemory", "0")),
    "NOREPLICAS": (_config("min-replicas-to-write", "1"), "NOREPLICAS", _config("min-replicas-to-write", "0")),
    "NOPERM of scripts": (_rights("-evalsha"), "NOPERM", _rights("+evalsha")),
    "NOPERM of writes": (_rights("-set"), "NOPERM", _rights("+set")),
    "NOPERM of reads": (_rights("-smembers"), "NOPERM", _rights("+smembers")),
    "NOPERM of streams": (_rights("-xread", "-xreadgroup"), "NOPERM", _rights("+xread", "+xreadgroup")),
    "NOAUTH": (_password, "NOAUTH", _no_password),
    "BUSY": (_endless_script, "BUSY", _kill_script),
}


@pytest.mark.parametrize("name", STATES)
async def test_a_state_of_the_server_is_an_outage_in_its_own_words(rig: Rig, name: str) -> None:
    begin, words, end = STATES[name]
    try:
        await begin(rig)
        await rig.says(words)
        if name not in {"NOPERM of reads", "NOPERM of streams"}:
            refused = await rig.client.call("POST", "/api/v1/session.create", ECHO)
            assert (refused.status, refused.error["code"]) == (503, "ORCH_SYS_002")
            assert words not in refused.error["message"]
    finally:
        await end(rig)


async def test_blocked_commands_that_are_broken_off_are_given_again(rig: Rig) -> None:
    for line in (await rig.do("CLIENT", "LIST")).decode().splitlines():
        fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
        if "b" in fields["flags"]:
            assert await rig.do("CLIENT", "UNBLOCK", fields["id"], "ERROR") == 1


@pytest.mark.parametrize("command", [("FLUSHALL",), ("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "TYPE", "pubsub")], ids=str)
async def test_what_was_lost_is_made_anew(rig: Rig, command: tuple[str, ...]) -> None:
    await rig.do(*command)


@pytest.mark.parametrize("name", [*SHARED, "replies"])
async def test_a_shared_key_of_the_wrong_type_is_an_outage_until_it_is_gone(rig: Rig, name: str) -> None:
    key = KEYS.replies(rig.client.process.consumer.services.node) if name == "replies" else getattr(KEYS, name)
    kind = (await rig.do("TYPE", key)).decode()
    is_string = kind == "string" or name in {"clock", "generation"}
    session_id = str((await rig.client.call("POST", "/api/v1/session.create", ECHO)).data["session_id"])
    wrong = ("RPUSH", key, "damaged") if is_string else ("SET", key, "damaged")
    await rig.operator.gather([("DEL", key), wrong])
    try:
        said = await rig.client.call("POST", "/api/v1/chat.message", {"session_id": session_id, "content": "hi"})
        assert said.status in {202, 503}, said.raw
        if name not in {"debts", "clock", "weights", "revocations", "notices"}:
            await rig.says("WRONGTYPE")
    finally:
        await rig.do("DEL", key)


async def test_rubbish_on_channels_and_in_shared_keys_is_dropped_and_counted(rig: Rig) -> None:
    for rubbish in GARBAGE:
        for channel in CHANNELS:
            assert await rig.do("PUBLISH", channel, rubbish) >= 1
        await rig.do("SADD", KEYS.tenants, rubbish)
        for key in (KEYS.ready, KEYS.due, KEYS.doubts, KEYS.nodes, KEYS.debts):
            await rig.do("ZADD", key, 1, rubbish)
        await rig.do("ZADD", KEYS.revocations, 10**15, rubbish)
        await rig.do("HSET", KEYS.loads, rubbish, rubbish)
        await rig.do("HSET", KEYS.weights, "acme", rubbish)
        await rig.do("XADD", KEYS.task_update_stream, "*", "message", rubbish)
        await rig.do("XADD", KEYS.notices, "*", rubbish, rubbish)
        await rig.do("XADD", KEYS.replies(rig.client.process.consumer.services.node), "*", "in_reply_to", rubbish)
    await rig.do("SET", KEYS.clock, b"\xff")
    await rig.goes_on()

    def counted() -> set[str]:
        text = rig.client.process.services.metrics.render("")[0].decode()
        return {line.split('"')[1] for line in text.splitlines() if "unreadable_input_total{" in line}

    expected = {KEYS.wake_channel, KEYS.cancel_channel, KEYS.revocation_channel, KEYS.notification_channel}
    expected |= {KEYS.catalog_channel, KEYS.tenants, KEYS.ready, KEYS.due, KEYS.doubts, KEYS.nodes}
    await eventually("all is counted", counted, lambda found: found >= expected)


async def test_nothing_new_is_taken_in_without_memory(rig: Rig) -> None:
    session_id = str((await rig.client.call("POST", "/api/v1/session.create", ECHO)).data["session_id"])
    new: dict[str, Any] = {
        "session.create": ECHO,
        "chat.message": {"session_id": session_id, "content": "hi"},
        "batch.create": {"items": [{"content": "hi"}], "agent_id": "echo"},
        "schedule.create": {"cron": "* * * * *", "agent_id": "echo", "content": "hi"},
    }
    await _config("maxmemory", "1")(rig)
    before = set(await rig.operator.keys())
    for route, body in new.items():
        refused = await rig.client.call("POST", f"/api/v1/{route}", body)
        assert (refused.status, refused.error["code"]) == (503, "ORCH_SYS_002"), (route, refused.raw)
    assert set(await rig.operator.keys()) - before == set()
    await _config("maxmemory", "0")(rig)


async def test_a_script_keeps_the_words_of_redis_for_the_log_alone(rig: Rig) -> None:
    await _config("maxmemory", "1")(rig)
    with pytest.raises(StoreUnavailable) as away:
        await rig.client.process.stores.redis.set("key", "value")
    assert "OOM" in away.value.reason
    await _config("maxmemory", "0")(rig)
