"""With keys set the whole service does its work in processes of its own, and goes on under the next key."""

import base64
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.redis.connection import Redis, open_redis
from tests.cli.runs import run_cli
from tests.end_to_end.stack import INTERNAL_KEY, SECRET, Stack, open_stack
from tests.support.eventually import eventually

WORD: Final = "xyzzyplugh"
ADMIN_KEY: Final = "admin-key"
OLD: Final = f"old:{base64.b64encode(bytes(range(32))).decode()}"
NEW: Final = f"new:{base64.b64encode(bytes(range(1, 33))).decode()}"
KEYS: Final = ",".join(
    f"{name}:{scope}:{sha256(key.encode()).hexdigest()}"
    for name, scope, key in (("sandbox", "internal", INTERNAL_KEY), ("ops", "admin", ADMIN_KEY))
)
PLAN: Final = {
    "calls": {
        "ask": {
            "service": "agent_execution",
            "operation": "execute",
            "parameters": {"agent_id": "echo", "query": f"{WORD} of a plan"},
        }
    }
}


async def call(stack: Stack, method: str, route: str, body: Any = None, *, by_key: bool = False) -> Any:
    path = f"/internal/v1/{route}" if by_key else f"/api/v1/{route}"
    headers = {"X-API-Key": ADMIN_KEY, "X-Tenant-ID": "acme"} if by_key else {}
    async with stack.client() as client:
        reply = await client.request(method, path, json=body, headers=headers)
    assert reply.status_code < 300, (route, reply.text)
    return reply.json()["data"]


async def batch_of(stack: Stack) -> str:
    """Run a batch to its end; returns its id."""
    items = [{"content": f"{WORD} {number}"} for number in range(4)]
    batch_id: str = (await call(stack, "POST", "batch.create", {"agent_id": "echo", "items": items}))["batch_id"]
    await eventually(
        "the batch has ended",
        lambda: call(stack, "GET", f"batch.get/{batch_id}"),
        lambda batch: batch["status"] == "completed",
        within=60,
    )
    return batch_id


async def fail(stack: Stack, session_id: str) -> None:
    """Have a turn fail for good, which leaves a dead letter."""
    stack.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", status=400, count=1))
    answer = await stack.say(session_id, f"{WORD} fails", mode="wait")
    assert answer["error"] is not None


async def replay(stack: Stack) -> None:
    """Replay the only dead letter, and wait until it is done."""
    [letter] = (await call(stack, "GET", "dlq.list/acme", by_key=True))["items"]
    [done] = (await call(stack, "POST", "dlq.replay/acme", {}, by_key=True))["items"]
    task = await eventually(
        "the replay is done",
        lambda: call(stack, "GET", f"task.get/{done['task_id']}"),
        lambda task: task["status"] in {"completed", "failed"},
        within=60,
    )
    assert (task["status"], task["replay_of"], task["input"]["content"]) == (
        "completed",
        letter["task_id"],
        f"{WORD} fails",
    )


async def values_with(redis: Redis, mark: bytes) -> list[bytes]:
    """Return the names of keys whose value has these bytes somewhere."""
    names = [name async for name in redis.scan_iter(count=1000)]
    dumps = await redis.gather([("DUMP", name) for name in names])
    return [name for name, dump in zip(names, dumps, strict=True) if dump is not None and mark in dump]


async def test_turn_batch_workflow_and_replay_work_under_one_key_and_then_under_the_next(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack, open_redis(stack.redis.url) as redis:
        stack.environ["ORCH_API_KEYS"] = KEYS
        await stack.start(encryption_keys=OLD)
        session_id = await stack.session()
        assert (await stack.say(session_id, f"{WORD} one", mode="wait"))["data"]["content"] == f"{WORD} one"
        batch_id = await batch_of(stack)
        done = await call(stack, "POST", "workflow.execute", {"plan": PLAN, "mode": "wait"})
        assert (done["status"], WORD in str(done)) == ("completed", True)
        await fail(stack, session_id)
        assert await values_with(redis, WORD.encode()) == []
        assert await values_with(redis, b"\xffE1\x03old") != []
        await stack.node.stop()

        known = {"ORCH_REDIS_URL": stack.redis.url, "ORCH_JWT__SECRET": SECRET, "ORCH_ENCRYPTION_KEYS": f"{NEW},{OLD}"}
        ended = await run_cli(tmp_path, "doctor", "--repair", "-o", "json", **known)
        [told] = [check for check in orjson.loads(ended.out) if check["check"] == "contents"]
        assert told["verdict"] == "mended", told
        assert await values_with(redis, b"\xffE1\x03old") == []

        # The old key is gone, and nothing is lost with it.
        await stack.start(encryption_keys=NEW)
        assert f"{WORD} one" in [said for _, said in await stack.history(session_id)]
        results = (await call(stack, "GET", f"batch.results/{batch_id}"))["items"]
        assert [WORD in str(item["result"]) for item in results] == [True] * 4
        assert WORD in str(await call(stack, "GET", f"task.get/{done['task_id']}"))
        await replay(stack)
        assert (await stack.say(session_id, f"{WORD} two", mode="wait"))["data"]["content"] == f"{WORD} two"
        await batch_of(stack)
        assert await values_with(redis, WORD.encode()) == []
