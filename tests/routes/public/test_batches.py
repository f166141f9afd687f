"""Batches over HTTP, answered by the agents of the development platform."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import trio

from orchestrator.config.settings import ServiceSettings
from orchestrator.sandbox.platform import run_sandbox
from orchestrator.store.keys import Keys
from tests.support.callback_receiver import open_receiver
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY
from tests.support.eventually import eventually
from tests.support.served import Client, service

API = "/api/v1"
INTERNAL = "/internal/v1/"
ADMIN = {"X-API-Key": ADMIN_KEY}
SEALING_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with run_sandbox(internal_api_key=INTERNAL_KEY) as sandbox:
        urls: Any = {name: ServiceSettings(url=url) for name, url in sandbox.urls.items()}
        settings: Any = {"services": urls, "max_body_bytes": 2**20}
        async with service(redis_url, consuming=True, **settings) as client:
            yield client


async def batch_of(client: Client, batch_id: str) -> Any:
    return (await client.call("GET", f"{API}/batch.get/{batch_id}")).data


async def ended(client: Client, batch_id: str) -> Any:
    """Wait until a batch has ended."""
    return await eventually(
        "the batch has ended",
        lambda: batch_of(client, batch_id),
        lambda batch: batch["status"] not in {"running", "stopping"},
    )


async def test_agents_answer_a_batch_and_use_their_tools(client: Client) -> None:
    items = [{"content": "one", "metadata": {"row": 1}}, {"content": "two"}]
    created = await client.call("POST", f"{API}/batch.create", {"agent_id": "echo", "items": items})
    assert (created.status, created.data["total"]) == (202, 2)
    batch = await ended(client, created.data["batch_id"])
    assert (batch["status"], batch["completed"]) == ("completed", 2)
    results = await client.call("GET", f"{API}/batch.results/{batch['batch_id']}?limit=1&status=completed")
    assert "one" in results.data["items"][0]["result"]["content"]
    assert results.data["items"][0]["metadata"] == {"row": 1}
    cursor = results.json["meta"]["pagination"]["next_cursor"]
    second = await client.call(
        "GET", f"{API}/batch.results/{batch['batch_id']}?limit=1&status=completed&cursor={cursor}"
    )
    assert "two" in second.data["items"][0]["result"]["content"]
    task = await client.call("GET", f"{API}/task.get/{batch['batch_id']}.1")
    assert (task.data["type"], task.data["status"], task.data["session_id"]) == ("batch.item", "completed", None)
    assert task.data["result"] == second.data["items"][0]["result"]

    sums = {"agent_id": "calculator", "items": [{"content": "What is 6*7?"}]}
    batch = await ended(client, (await client.call("POST", f"{API}/batch.create", sums)).data["batch_id"])
    [item] = (await client.call("GET", f"{API}/batch.results/{batch['batch_id']}")).data["items"]
    assert "42" in item["result"]["content"]


async def test_an_agent_that_asks_for_its_client_hears_that_there_is_none(client: Client) -> None:
    asked = {"agent_id": "confirm", "items": [{"content": "Delete everything"}]}
    batch = await ended(client, (await client.call("POST", f"{API}/batch.create", asked)).data["batch_id"])
    [item] = (await client.call("GET", f"{API}/batch.results/{batch['batch_id']}")).data["items"]
    assert item["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"agent_id": "echo", "items": []}, 400, "ORCH_VAL_001"),
        ({"agent_id": "echo", "items": [{"content": "a"}] * 10_001}, 400, "ORCH_VAL_001"),
        ({"items": [{"content": "a"}]}, 400, "ORCH_VAL_001"),
        ({"agent_id": "nobody", "items": [{"content": "a"}]}, 404, "ORCH_NOTF_001"),
        ({"workflow_id": "arithmetic", "items": [{"content": "a"}]}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "unknown", "items": [{"input": {}}]}, 404, "ORCH_NOTF_001"),
    ],
)
async def test_a_bad_batch_is_refused(client: Client, body: Any, status: int, code: str) -> None:
    refused = await client.call("POST", f"{API}/batch.create", body)
    assert (refused.status, refused.error["code"]) == (status, code)
    assert (await client.call("GET", f"{API}/batch.list")).data["items"] == []


async def test_cancelling_an_unknown_batch_is_not_found_and_twice_is_fine(client: Client) -> None:
    assert (await client.call("DELETE", f"{API}/batch.cancel/unknown")).status == 404
    made = await client.call("POST", f"{API}/batch.create", {"agent_id": "echo", "items": [{"content": "a"}] * 500})
    first = await client.call("DELETE", f"{API}/batch.cancel/{made.data['batch_id']}")
    again = await client.call("DELETE", f"{API}/batch.cancel/{made.data['batch_id']}")
    assert (first.status, again.status, again.data["cancelled"]) == (200, 200, False)
    assert (await ended(client, made.data["batch_id"]))["status"] == "cancelled"


async def test_the_end_of_a_batch_is_told_to_a_server_and_a_bad_address_of_one_is_refused(redis_url: str) -> None:
    batch: Any = {"agent_id": "echo", "items": [{"content": "one"}]}
    async with run_sandbox(internal_api_key=INTERNAL_KEY) as sandbox, open_receiver() as receiver:
        urls: Any = {name: ServiceSettings(url=url) for name, url in sandbox.urls.items()}
        settings: Any = {"services": urls, "callback_allow": ("127.0.0.1",)}
        async with service(redis_url, consuming=True, **settings) as client:
            told = batch | {"callback": {"url": receiver.url()}}
            batch_id = (await client.call("POST", f"{API}/batch.create", told)).data["batch_id"]
            batch_then = await eventually(
                "the callback is delivered",
                lambda: batch_of(client, batch_id),
                lambda now: now["callback"]["status"] == "delivered",
            )
            callback = batch_then["callback"]
            assert (callback["url"], callback["attempts"]) == (receiver.url(), 1)
            assert orjson.loads(receiver.deliveries[0].body)["data"]["batch_id"] == batch_id
            for wrong in ({"url": "http://10.0.0.1/"}, {"url": "gopher://example.org/"}, {"url": ""}, {}):
                refused = await client.call("POST", f"{API}/batch.create", batch | {"callback": wrong})
                assert refused.fault[:2] == (400, "ORCH_VAL_001")
                assert refused.fault[2].endswith(".callback.url")


@pytest.mark.parametrize("keys", [("clear",), (f"a:{SEALING_KEY}",)])
async def test_items_that_are_no_tasks_yet_travel_with_their_tenant(redis_url: str, keys: tuple[str, ...]) -> None:
    async with run_sandbox(internal_api_key=INTERNAL_KEY) as sandbox:
        urls: Any = {name: ServiceSettings(url=url) for name, url in sandbox.urls.items()}
        async with service(redis_url, services=urls, encryption_keys=keys, max_body_bytes=2**20) as client:
            exported = await _exported_batches(client)
            batches = {one["id"].partition(".")[0] for one in exported}
            checked = await client.call(
                "POST", f"{INTERNAL}tenant.import/acme", {"items": exported, "check_only": True}, ADMIN
            )
    assert len(batches) == 2
    assert {one["id"] for one in exported} == {f"{batch}.{place}" for batch in batches for place in range(25)}
    assert checked.status == 200
    first, *others = [(one["fields"], orjson.loads(one["fields"]["message"])) for one in exported]
    for fields, message in others:
        # What is a task already, and what an export makes of an item, are alike.
        assert message.keys() == first[1].keys()
        assert fields.keys() - {"scheduled_for"} == first[0].keys() - {"scheduled_for"}
        assert message["payload"]["content"] == f"question {fields['task_id'].partition('.')[2]}"
        assert message["task_id"] == fields["task_id"]


async def _exported_batches(client: Client) -> list[Any]:
    """Create a batch that waits and one for later, and return what is exported of them."""
    items = [{"content": f"question {number}", "metadata": {"n": number}} for number in range(25)]
    batch = {"agent_id": "echo", "items": items, "max_concurrency": 10}
    for more in ({}, {"scheduled_for": (datetime.now(UTC) + timedelta(days=1)).isoformat()}):
        created = await client.call("POST", f"{API}/batch.create", batch | more)
        assert created.status == 202, created.raw
    return await _exported(client)


async def test_a_batch_whose_size_is_damaged_holds_up_no_export(redis_url: str) -> None:
    async with service(redis_url) as client:
        batch = {"agent_id": "echo", "items": [{"content": "a"}] * 15, "max_concurrency": 10}
        batch_id = (await client.call("POST", f"{API}/batch.create", batch)).data["batch_id"]
        key = Keys().batch("acme", batch_id)
        for total, left in ((b"9" * 30, 15), (b"-5", 10), (b"x", 10)):
            await client.process.stores.redis.hset(key, "total", total)
            with trio.fail_after(20):
                assert len(await _exported(client)) == left, total


async def _exported(client: Client) -> list[Any]:
    """Drain the tenant, and return what is exported of it."""
    await client.call("POST", f"{INTERNAL}tenant.drain/acme", {"mode": "discard"}, ADMIN)
    exported: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await client.call("GET", f"{INTERNAL}tenant.export/acme?limit=7{cursor}", headers=ADMIN)
        exported += page.data["items"]
        following = page.json["meta"]["pagination"]["next_cursor"]
        cursor = None if following is None else f"&cursor={following}"
    return exported
