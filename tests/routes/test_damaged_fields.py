"""Each field of each record of a busy tenant with an odd value: whatever reads it tells of damage, or leaves it out."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import orjson
import pytest
from attrs import frozen

from orchestrator.models.common.principal import Role
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.served import Client, service

KEYS: Final = Keys()
API, I1 = "/api/v1/", "/internal/v1/"
ADMIN: Final = {"X-API-Key": ADMIN_KEY}
OPERATOR: Final = bearer(user="olga", role=Role.OPERATOR)
ODD: Final = (b"[[]]", b"9" * 30)
"""What stands in the place of a field: JSON of the wrong shape, and what is no moment."""
LATER: Final = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
ENDED: Final = {
    "status": "completed",
    "started_at": "1700000000000",
    "finished_at": "1700000001000",
    "updated_at": "1700000001000",
    "claimed_at": "1700000000000",
    "result": '{"results":{}}',
    "error": '{"code":"X","type":"x","message":"x"}',
    "progress": '{"progress":0.5,"input_request":{"node_id":"ask","prompt":"?"}}',
    "checkpoint:agent_version": '{"agent_id":"docs-guide","version":"1"}',
    "order:agent_version": "1",
    "delegated:call": '{"service":"workflow_engine","execution_id":"e1"}',
    "token:digest": "call",
    "cancelled_by": "user",
}
"""Fields that the records of tasks have later in their lives."""


@frozen
class Record:
    """A hash, and what reads it."""

    key: str
    reads: list[tuple[str, str, dict[str, str] | None]]
    """Method, path and headers of each."""


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url, rate_user=1e6, rate_tenant=1e6, rate_address=1e6) as client:
        yield client


async def _post(client: Client, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    reply = await client.call("POST", path, body, headers)
    assert reply.status in {200, 201, 202}, reply.raw
    return reply.data


async def _records(client: Client) -> list[Record]:
    """Make one of everything, and say what reads each."""
    redis, day = client.process.stores.redis, f"{datetime.now(UTC):%Y%m%d}"
    session = await client.session()
    turn = (await client.say(session)).data
    step = {"service": "agent_execution", "operation": "execute", "parameters": {"agent_id": "echo", "query": "hi"}}
    plan = {"calls": {"a": step}}
    flow = {"plan": plan, "session_id": session, "scheduled_for": LATER, "callback": {"url": "https://example.com/x"}}
    run = (await _post(client, f"{API}workflow.execute", flow))["task_id"]
    batch = (await _post(client, f"{API}batch.create", {"agent_id": "docs-guide", "items": [{"content": "a"}]}))[
        "batch_id"
    ]
    asked = {"cron": "0 8 * * *", "agent_id": "docs-guide", "content": "hi", "metadata": {"a": 1}}
    schedule = (await _post(client, f"{API}schedule.create", asked))["schedule_id"]
    note = {"title": "Hello", "message": "There.", "user_ids": ["ann"]}
    notification = (await _post(client, f"{I1}notification.send", note, keyed()))["notification_id"]
    for task in (turn["task_id"], run):
        await redis.hset(KEYS.task("acme", task), mapping=ENDED)
    await redis.hset(KEYS.usage("acme", day), "requests|chat|agent|large", "2")
    await redis.hset(f"{KEYS.user_notifications('acme', 'ann')}:acks", notification, "1700000000000")
    task, message = turn["task_id"], turn["message_id"]
    return [
        Record(KEYS.session("acme", session), [
            ("GET", f"{API}session.get/{session}", None),
            ("GET", f"{I1}debug.session/{session}", ADMIN),
            ("PUT", f"{API}session.pause/{session}", None),
        ]),
        Record(KEYS.task("acme", task), [
            ("GET", f"{API}task.get/{task}", None),
            ("GET", f"{API}task.list?agent_id=docs-guide", None),
            ("GET", f"{API}chat.history/{session}", None),
            ("POST", f"{API}task.replay/{task}", OPERATOR),
        ]),
        Record(KEYS.task("acme", run), [
            ("GET", f"{API}workflow.status/{run}", None),
            ("GET", f"{API}workflow.results/{run}", None),
        ]),
        Record(KEYS.message("acme", message), [("POST", f"{API}chat.cancel/{message}", None)]),
        Record(KEYS.batch("acme", batch), [
            ("GET", f"{API}workflow.status/{batch}", None),
            ("GET", f"{API}batch.results/{batch}", None),
        ]),
        Record(KEYS.schedule("acme", schedule), [
            ("GET", f"{API}schedule.list", None),
            ("PUT", f"{API}schedule.update/{schedule}", None),
        ]),
        Record(f"{KEYS.user_notifications('acme', 'ann')}:acks", [
            ("GET", f"{API}notification.list", None),
            ("PUT", f"{API}notification.acknowledge/{notification}", None),
        ]),
        Record(KEYS.usage("acme", day), [("GET", f"{API}usage.get?group_by=agent", OPERATOR)]),
        Record(KEYS.tenant_config("acme"), [("GET", f"{I1}tenant.get/acme", ADMIN)]),
    ]  # fmt: skip


BODIES: Final[dict[str, Any]] = {"replay": {}, "chat.cancel": {}, "schedule.update": {"cron": "0 9 * * *"}}


def _body(path: str) -> Any:
    return next((body for name, body in BODIES.items() if name in path), None)


def _damages(fields: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    # Whose it is decides whether it is there at all for who asks.
    return product(sorted(fields.keys() - {b"user_id"}), ODD)


async def test_no_damaged_field_is_a_fault_of_the_service(client: Client) -> None:
    redis, told = client.process.stores.redis, 0
    for record in await _records(client):
        whole = await redis.execute_command("DUMP", record.key)
        for name, odd in _damages(await redis.hgetall(record.key)):
            for method, path, headers in record.reads:
                await redis.hset(record.key, name, odd)
                reply = await client.call(method, path, _body(path), headers)
                says = (path, name, odd, reply.raw[:300])
                orjson.loads(reply.raw)
                assert reply.status in {200, 202, 404, 409, 410}, says
                told += reply.status == 409 and reply.error["code"] == "ORCH_SYS_003"
                await redis.execute_command("RESTORE", record.key, 0, whole, "REPLACE")
    assert told > 100


async def test_a_damaged_ticket_opens_nothing(client: Client) -> None:
    redis, session = client.process.stores.redis, await client.session()
    path = f"{API}session.stream/{session}"
    for odd in (b"", b"\xff", b"[]", b'{"session_id":"%b"}' % session.encode(), b'{"session_id":[],"holder":{}}'):
        ticket = (await client.call("POST", f"{API}session.ticket/{session}")).data["ticket"]
        [key] = await redis.keys(KEYS.ticket("*"))
        await redis.set(key, odd, ex=30)
        assert (await client.call("GET", f"{path}?ticket={ticket}", headers={"Accept": "*/*"})).status == 401, odd
