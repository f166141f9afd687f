"""Every kind of work is done with keys set, and Redis holds no word of it in clear: no key, no value, no file."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.sandbox.redis.redis_server import RedisServer, run_redis
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.services.workflows.house import House, open_house
from tests.support.callback_receiver import open_receiver
from tests.support.credentials import ADMIN_KEY, SECRET, keyed
from tests.support.eventually import eventually

KEY = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
OTHER = f"k2:{base64.b64encode(bytes(range(1, 33))).decode()}"
MARKER = "zanzibar"
ADMIN = keyed(ADMIN_KEY)
WAITS = {"mode": "wait", "timeout_ms": 60_000}


async def call(house: House, route: str, body: Any = None, *, method: str = "POST") -> Any:
    reply = await house.call(method, route, body)
    assert reply.status < 300, (route, reply.text)
    return reply.data


async def operate(house: House, path: str, body: Any = None) -> Any:
    answer = await house.http.post(f"{house.url}/internal/v1/{path}", json=body, headers=ADMIN)
    assert answer.status_code < 300, (path, answer.text)
    return answer.json()["data"]


async def talk(house: House, agent: str, content: str) -> str:
    body = {"agent_id": agent, "context": {"note": MARKER}, "metadata": {"note": MARKER}}
    session_id: str = (await call(house, "session.create", body))["session_id"]
    answer = await call(house, "chat.message", {"session_id": session_id, "content": content, **WAITS})
    assert answer["content"]
    return session_id


def _asks(status: Any) -> bool:
    return status["input_request"] is not None


async def work(house: House, callback_url: str) -> None:
    """Have one of each kind of work done, each with the marker in what is said, asked, answered or kept."""
    for agent, said in (("echo", f"{MARKER} one"), ("docs-guide", f"{MARKER} tenant drain"), ("delegate", MARKER)):
        await talk(house, agent, said)
    session_id = await talk(house, "echo", MARKER)
    await call(house, f"session.update/{session_id}", {"metadata": {"more": MARKER}}, method="PUT")
    history = await call(house, f"chat.history/{session_id}", method="GET")
    assert MARKER in str(history["items"])
    async with house.socket(f"/ws/v1/chat/{session_id}") as socket:
        await socket.say("chat.message", {"content": f"{MARKER} over a socket"})
        first = (await socket.until("chat.stream"))["data"]
        assert first["chunk"]
        # On a busy machine the pieces come joined into one.
        if not first["is_final"]:
            await socket.until("chat.stream", is_final=True)
    await call(house, "tool.execute", {"tool_id": "word_count", "parameters": {"text": MARKER}})
    done = await call(
        house,
        "workflow.execute",
        {"workflow_id": "report", "input": {"topic": MARKER, "duration_ms": 100}, "mode": "wait"},
    )
    assert done["status"] == "completed", done
    asking = await house.start("approval", {"text": MARKER}, callback={"url": callback_url})
    await house.until(asking, "waiting")
    await eventually("the question is there", lambda: call(house, f"workflow.status/{asking}", method="GET"), _asks)
    wait = await call(house, f"task.why/{asking}", method="GET")
    assert (wait["reason"], "Shall we send it?" in wait["says"]) == ("input", True), wait
    await call(house, f"workflow.input/{asking}", {"node_id": "ask", "input": {"approved": True}})
    assert MARKER in str((await house.until(asking, "completed"), await house.results(asking)))
    items = [{"content": f"{MARKER} {number}", "metadata": {"note": MARKER}} for number in range(6)]
    batch = {"agent_id": "echo", "items": items, "max_concurrency": 2, "callback": {"url": callback_url}}
    batch_id = (await call(house, "batch.create", batch))["batch_id"]
    await eventually(
        "the batch has ended and was told of",
        lambda: house.batch(batch_id),
        lambda now: now["status"] == "completed" and now["callback"]["status"] == "delivered",
        within=60,
    )
    results = (await call(house, f"batch.results/{batch_id}", method="GET"))["items"]
    assert [MARKER in str(item["result"]) for item in results] == [True] * 6
    assert results[0]["metadata"] == {"note": MARKER}
    schedule = {"cron": "0 0 1 1 *", "agent_id": "echo", "content": MARKER, "metadata": {"note": MARKER}}
    kept = await call(house, "schedule.create", schedule)
    assert (await call(house, f"schedule.get/{kept['schedule_id']}", method="GET"))["content"] == MARKER
    await operate(house, "notification.send", {"title": MARKER, "message": MARKER, "user_ids": ["ann"]})
    await operate(house, "notification.send", {"title": MARKER, "message": MARKER})
    listed = await call(house, "notification.list", method="GET")
    assert [item["title"] for item in listed["items"]] == [MARKER] * 2
    asked = {"query": f"{MARKER} and leases", "collection_id": "docs"}
    assert (await house.internal("query.generate", asked)).status == 200
    # One that fails for good, and one whose first attempt fails.
    house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", status=400, count=1))
    await house.call("POST", "chat.message", {"session_id": session_id, "content": f"{MARKER} fails", **WAITS})
    letters = (await house.http.get(f"{house.url}/internal/v1/dlq.list/acme", headers=ADMIN)).json()["data"]["items"]
    assert letters
    assert (await operate(house, "dlq.replay/acme", {}))["replayed"] == 1
    later = {
        "session_id": session_id,
        "content": f"{MARKER} later",
        "scheduled_for": to_timestamp(now_ms() + 3_600_000),
    }
    await call(house, "chat.message", later)


async def everything_in(redis: Redis) -> dict[str, bytes]:
    """Return all keys with their whole values."""
    found = {}
    for name in await redis.keys("*"):
        kind = (await redis.type(name)).decode()
        if kind == "none":
            continue  # its time was over just now
        read = {
            "string": ("GET", name),
            "hash": ("HGETALL", name),
            "list": ("LRANGE", name, 0, -1),
            "zset": ("ZRANGE", name, 0, -1),
            "set": ("SMEMBERS", name),
            "stream": ("XRANGE", name, "-", "+"),
        }[kind]
        [value] = await redis.gather([read])
        found[name.decode()] = repr(value).encode()
    return found


@asynccontextmanager
async def listening(server: RedisServer) -> AsyncIterator[bytearray]:
    """Collect all that is published while the block runs."""
    heard = bytearray()

    async def listen(stream: trio.SocketStream) -> None:
        async for piece in stream:
            heard.extend(piece)

    path = server.url.removeprefix("unix://")
    async with await trio.open_unix_socket(path) as stream, trio.open_nursery() as nursery:
        await stream.send_all(b"PSUBSCRIBE *\r\n")
        nursery.start_soon(listen, stream)
        yield heard
        nursery.cancel_scope.cancel()


def _around(value: bytes) -> bytes:
    """Return what stands around the marker."""
    at = value.find(MARKER.encode())
    return value[max(0, at - 300) : at + 60]


async def test_no_word_of_any_work_is_in_clear(tmp_path: Path) -> None:
    async with run_redis(tmp_path / "redis", fsync="always") as server, open_redis(server.url) as redis:
        async with (
            listening(server) as heard,
            open_house(server.url, patience=20, encryption_keys=(KEY,), callback_allow=("127.0.0.0/8",)) as house,
            open_receiver() as receiver,
        ):
            await work(house, receiver.url())
            assert any(MARKER.encode() in one.body for one in receiver.deliveries)
            found = await everything_in(redis)
        told = {name: value for name, value in found.items() if MARKER.encode() in value or MARKER in name}
        assert not told, [(name, _around(value)) for name, value in told.items()]
        assert b"chat.stream" in heard
        assert MARKER.encode() not in heard
        await redis.save()
        files = [path for path in (tmp_path / "redis").rglob("*") if path.is_file()]
        assert [path.name for path in files if MARKER.encode() in path.read_bytes()] == []


async def test_what_is_under_another_key_is_an_error_of_its_record_and_others_go_on(redis_url: str) -> None:
    async with open_house(redis_url, patience=20, encryption_keys=(KEY,)) as house:
        session_id = await talk(house, "echo", MARKER)
    async with open_house(redis_url, patience=20, encryption_keys=(OTHER,)) as house:
        assert (await house.call("GET", f"session.get/{session_id}")).fault == (409, "ORCH_SYS_003")
        other = await talk(house, "echo", f"{MARKER} again")
        listed = await call(house, "session.list", method="GET")
        assert [item["session_id"] for item in listed["items"]] == [other]
    async with open_house(redis_url, patience=20, encryption_keys=(OTHER, KEY)) as house:
        shown = await call(house, f"session.get/{session_id}", method="GET")
        assert shown["context"] == {"note": MARKER}


async def test_a_record_that_is_copied_to_another_tenant_is_not_shown_there(redis_url: str) -> None:
    async with open_house(redis_url, patience=20, encryption_keys=(KEY,)) as house, open_redis(redis_url) as redis:
        session_id = await talk(house, "echo", MARKER)
        keys = Keys()
        mine, theirs = keys.session("acme", session_id), keys.session("globex", session_id)
        await redis.copy(mine, theirs)
        await redis.hset(theirs, "tenant_id", "globex")
        headers = {"Authorization": f"Bearer {create_token(SECRET, 'globex', 'ann')}"}
        answer = await house.http.get(f"{house.url}/api/v1/session.get/{session_id}", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ORCH_SYS_003")
        [context] = await redis.hmget(mine, "context")
        await redis.hset(mine, "metadata", context)
        assert (await house.call("GET", f"session.get/{session_id}")).fault == (409, "ORCH_SYS_003")


async def test_contents_of_before_are_read_once_keys_are_set(redis_url: str) -> None:
    async with open_house(redis_url, patience=20) as house:
        session_id = await talk(house, "echo", MARKER)
    for ring in (("clear", KEY), (KEY,), ("clear", KEY)):
        async with open_house(redis_url, patience=20, encryption_keys=ring) as house:
            answer = await call(house, "chat.message", {"session_id": session_id, "content": f"{MARKER} on", **WAITS})
            assert MARKER in answer["content"]
            assert (await call(house, f"session.get/{session_id}", method="GET"))["context"] == {"note": MARKER}
