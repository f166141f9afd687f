"""What is Ann's, tried through what services and operators do: steps, callbacks, queues, caches, keys of one tenant."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson
import pytest
import trio

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import Lane
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import Access
from orchestrator.sandbox.services.workflows import WorkflowRun
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from tests.isolation.estate import PLAN, WORD
from tests.isolation.test_frames import anns
from tests.isolation.test_references import STRANGERS, ask, operate, session_of
from tests.services.workflows.house import House, open_house
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.eventually import eventually

ADMIN: Final = {"X-API-Key": ADMIN_KEY}
NOBODY_LISTENS: Final = "http://127.0.0.1:9/hook"


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, auth_failures=100_000, callback_allow=("127.0.0.0/8",)) as house:
        yield house


async def hidden(house: House, task_id: str, *, also: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """See that a task of Ann's is there for no stranger."""
    for caller, headers in {**STRANGERS, **(also or {})}.items():
        for method, name in (("GET", "task.get"), ("GET", "task.why"), ("POST", "task.cancel"), ("GET", "task.trace")):
            reply = await ask(house, method, f"/api/v1/{name}/{task_id}", None, headers)
            assert reply.fault == (404, "ORCH_NOTF_001"), (caller, name, reply.text)
        listed = await ask(house, "GET", "/api/v1/task.list", None, headers)
        assert task_id not in listed.text, caller


async def export(house: House, tenant: str) -> list[dict[str, Any]]:
    """Return what a tenant has queued."""
    items, cursor = [], ""
    while True:
        page = await ask(house, "GET", f"/internal/v1/tenant.export/{tenant}{cursor}", None, ADMIN)
        items += page.data["items"]
        following = page.json["meta"]["pagination"]["next_cursor"]
        if following is None:
            return items
        cursor = f"?cursor={following}"


async def test_the_callback_of_anothers_work_and_its_secret_are_not_there(house: House) -> None:
    callback = {"url": f"{NOBODY_LISTENS}/{WORD}"}
    flow = await house.call("POST", "workflow.execute", {"plan": PLAN, "mode": "wait", "callback": callback})
    tasks = await eventually(
        "there is a delivery",
        lambda: house.call("GET", "task.list?type=webhook.deliver"),
        lambda listed: listed.data["items"],
    )
    [delivery] = tasks.data["items"]
    secret = (await operate(house, "GET", "tenant.callback_secret/acme"))["secret"]
    assert secret not in tasks.text + (await house.call("GET", f"task.get/{delivery['task_id']}")).text
    await hidden(house, delivery["task_id"])
    for named in (delivery["task_id"], flow.data["task_id"]):
        assert len((await house.call("GET", f"callback.list/{named}")).data["items"]) >= 1
        for headers in STRANGERS.values():
            reply = await ask(house, "GET", f"/api/v1/callback.list/{named}", None, headers)
            assert reply.fault == (404, "ORCH_NOTF_001")
    for caller, headers in {**STRANGERS, "service": keyed()}.items():
        for route in ("tenant.callback_secret/acme", "tenant.rotate_callback_secret/acme"):
            method = "POST" if "rotate" in route else "GET"
            assert (await ask(house, method, f"/internal/v1/{route}", None, headers)).status in {401, 403}, caller
        if caller != "service":
            results = await ask(house, "GET", f"/api/v1/workflow.results/{flow.data['task_id']}", None, headers)
            assert results.status == 404, caller
    assert (await operate(house, "GET", "tenant.callback_secret/acme"))["secret"] == secret


async def test_a_turn_that_a_drain_has_put_aside_is_its_users_alone(house: House) -> None:
    session_id = await session_of(house, bearer())
    await session_of(house, STRANGERS["eve"])
    await operate(house, "POST", "tenant.pause/acme")
    said = {"session_id": session_id, "content": f"{WORD} aside"}
    task_id = (await house.call("POST", "chat.message", said)).data["task_id"]
    await operate(house, "POST", "tenant.drain/acme", {"mode": "discard"})
    await eventually(
        "the tenant is drained", lambda: operate(house, "GET", "tenant.get/acme"), lambda now: now["state"] == "drained"
    )
    await hidden(house, task_id)
    assert task_id not in {item["id"] for item in await export(house, "globex")}
    assert task_id in {item["id"] for item in await export(house, "acme")}
    await operate(house, "POST", "tenant.resume/globex")
    assert (await house.call("GET", f"task.get/{task_id}")).data["status"] == "pending"
    await operate(house, "POST", "tenant.resume/acme")
    await eventually(
        "the turn has ended",
        lambda: house.call("GET", f"task.get/{task_id}"),
        lambda now: now.data["status"] == "completed",
    )


BODIES: Final[dict[str, Any]] = {
    "workflow.input": {"node_id": "ask", "input": {}},
    "agent.assign": {"agent_id": "echo"},
}
"""What routes of operators need of a body before they look for what it concerns."""


async def test_a_key_of_one_tenant_opens_nothing_of_another(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids:
        await session_of(house, STRANGERS["eve"])
        made = {
            scope: (
                await operate(house, "POST", "key.create", {"name": scope, "scopes": [scope], "tenant_id": "globex"})
            )
            for scope in ("admin", "internal")
        }
        named = {**ids, "tenant_id": "acme", "correlation_id": ids["task_id"], "schedule_id": ids["task_id"]}
        named |= {"user_id": "ann", "agent_id": "echo", "key_id": made["admin"]["record"]["key_id"]}
        named |= {"workflow_id": ids["task_id"], "notification_id": ids["task_id"], "integration_id": "mail"}
        for route in ROUTES:
            if route.access is Access.BEARER:
                continue
            scope = "internal" if route.access in {Access.INTERNAL, Access.SERVICE} else "admin"
            key = {"X-API-Key": made[scope]["key"]}
            path = route.path.format(**named)
            refused = await ask(house, route.method, path, None, {**key, "X-Tenant-ID": "acme"})
            assert refused.status == 403, (route.name, refused.text)
            if route.access is Access.OPERATOR and route.id_name and route.id_name != "agent_id":
                body = BODIES.get(route.name, {})
                unknown = await ask(house, route.method, path, body if route.body else None, key)
                assert unknown.fault == (404, "ORCH_NOTF_001"), (route.name, unknown.text)
                assert WORD not in unknown.text, route.name
        debug = f"/internal/v1/debug.session/{ids['session_id']}"
        elsewhere = await ask(house, "GET", debug, None, {**ADMIN, "X-Tenant-ID": "globex"})
        nowhere = await ask(
            house, "GET", f"/internal/v1/debug.session/{new_id()}", None, {**ADMIN, "X-Tenant-ID": "globex"}
        )
        assert elsewhere.fault == nowhere.fault == (404, "ORCH_NOTF_001")
        for headers in (bearer(), keyed(), {"X-API-Key": made["admin"]["key"]}):
            assert (await ask(house, "GET", debug, None, headers)).status in {401, 403}
        looked = (await operate(house, "GET", "audit.list?action=debug.session&tenant=globex"))["items"]
        assert looked == []


async def test_what_a_tenant_imports_is_its_own_whatever_its_items_name(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids:
        await session_of(house, STRANGERS["eve"])
        later = to_timestamp(now_ms() + 3_600_000)
        said = {"session_id": ids["session_id"], "content": f"{WORD} later", "scheduled_for": later}
        task_id = (await house.call("POST", "chat.message", said)).data["task_id"]
        exported = await export(house, "acme")
        assert {one["id"] for one in exported} >= {task_id, ids["session_id"]}
        taken = await ask(house, "POST", "/internal/v1/tenant.import/globex", {"items": exported}, ADMIN)
        assert taken.fault == (400, "ORCH_VAL_001"), taken.text
        [task] = [one for one in exported if one["id"] == task_id]
        [session] = [one for one in exported if one["id"] == ids["session_id"]]
        for item, faulty in (
            ({**session, "id": "a:{acme}"}, True),
            ({**session, "fields": {**session["fields"], "tenant_id": "acme", "user_id": "eve"}}, False),
            ({**task, "fields": {**task["fields"], "tenant_id": "globex"}}, True),
        ):
            taken = await ask(house, "POST", "/internal/v1/tenant.import/globex", {"items": [item]}, ADMIN)
            assert (taken.status == 400) == faulty, taken.text
        # Another tenant has a session with the same id now: they have nothing in common.
        eves = await ask(house, "GET", f"/api/v1/session.get/{ids['session_id']}", None, STRANGERS["eve"])
        assert (eves.data["tenant_id"], eves.data["user_id"]) == ("globex", "eve")
        history = await ask(house, "GET", f"/api/v1/chat.history/{ids['session_id']}", None, STRANGERS["eve"])
        assert WORD not in history.text
        mine = await house.call("GET", f"session.get/{ids['session_id']}")
        assert (mine.data["tenant_id"], mine.data["user_id"]) == ("acme", "ann")
        await house.call("POST", f"task.cancel/{task_id}")


async def test_steps_and_results_need_the_token_of_the_workflow_that_they_name(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: dict[str, str] = {}
    run = WorkflowRun.run

    async def noting(self: WorkflowRun) -> None:
        tokens[self.callback.task_id] = str(self.callback.token)
        await run(self)

    monkeypatch.setattr(WorkflowRun, "run", noting)
    body = {"workflow_id": "approval", "input": {"note": WORD}}
    flows = {
        user: (await house.call("POST", "workflow.execute", body, user)).data["task_id"] for user in ("ann", "bob")
    }
    hers, bobs = flows["ann"], flows["bob"]
    await eventually("both wait", lambda: _tokens(tokens), lambda known: known.keys() >= {hers, bobs})
    await house.until(hers, "waiting")
    step = {"task_id": hers, "step_id": "a", "type": "tool", "tool_id": "calculator", "parameters": {"expression": "1"}}
    for token, tenant in ((tokens[bobs], "acme"), ("made-up", "acme"), (None, "acme"), (tokens[hers], "globex")):
        answer = await house.internal("workflow.step", step, token=token, tenant=tenant)
        assert answer.status == (404 if tenant == "globex" else 403), answer.text
        for route, said in (("progress", {"progress": 0.5}), ("complete", {"result": {}})):
            told = await house.internal(f"task.{route}/{hers}", said, token=token, tenant=tenant)
            assert told.status in {403, 404}, told.text
            assert WORD not in told.text
    assert (await house.status(hers))["status"] == "waiting"
    mine = await house.internal("workflow.step", step, token=tokens[hers])
    assert mine.data["result"] == 1


async def _tokens(known: dict[str, str]) -> dict[str, str]:
    return known


async def test_kept_answers_and_shared_calls_are_a_tenants_own(house: House) -> None:
    asked = {"query": f"What is {WORD}?", "collection_id": "docs", "user_id": "ann", "session_id": new_id()}

    async def answered(tenant: str, **more: str) -> str:
        reply = await ask(house, "POST", "/internal/v1/query.generate", {**asked, **more}, keyed(tenant=tenant))
        assert reply.status == 200, reply.text
        origin: str = reply.data["metadata"]["cache"]
        return origin

    origins: dict[str, list[str]] = {"acme": [], "globex": []}

    async def note(tenant: str, user: str) -> None:
        origins[tenant].append(await answered(tenant, user_id=user))

    async with trio.open_nursery() as nursery:
        for tenant, user in (("acme", "ann"), ("acme", "bob"), ("globex", "eve")):
            nursery.start_soon(note, tenant, user)
    assert sorted(origins["acme"]) == ["hit", "miss"]
    assert origins["globex"] == ["miss"]
    assert await answered("initech") == "miss"
    assert [await answered(tenant) for tenant in ("acme", "globex", "initech")] == ["hit"] * 3
    named = await ask(
        house, "POST", "/internal/v1/query.generate", {**asked, "tenant_id": "acme"}, keyed(tenant="globex")
    )
    assert named.fault == (403, "ORCH_AUTH_002")
    texts = {"texts": [WORD]}
    vectors = [
        (await ask(house, "POST", "/internal/v1/embedding.create", texts, keyed(tenant=tenant))).data["metadata"]
        for tenant in ("acme", "globex", "acme")
    ]
    assert [one["cache"] for one in vectors] == ["miss", "miss", "hit"]


@pytest.mark.parametrize(("tenant", "user"), [("acme", "bob"), ("globex", "eve"), ("globex", "ann")])
async def test_a_queue_entry_reaches_no_session_of_another_user_or_tenant(
    house: House, redis_url: str, tenant: str, user: str
) -> None:
    headers = bearer(tenant, user)
    async with anns(redis_url, house) as ids, open_redis(redis_url) as redis:
        await session_of(house, headers)
        entries = {
            "chat.message": {"content": f"{WORD} for {user}"},
            "workflow.execute": {"plan": PLAN},
        }
        for kind, payload in entries.items():
            domain, _, action = kind.partition(".")
            entry = {
                "message_id": new_id(),
                "task_id": new_id(),
                "tenant_id": tenant,
                "session_id": ids["session_id"],
                "correlation_id": new_id(),
                "created_at": to_timestamp(now_ms()),
                "schema_version": "1.1",
                "type": {"domain": domain, "action": action},
                "metadata": {"user_id": user},
                "payload": payload,
            }
            await redis.xadd(Keys().lane(tenant, Lane.NORMAL), {"message": orjson.dumps(entry)})
            # What comes after it wakes the process.
            await ask(house, "POST", "/api/v1/workflow.execute", {"plan": PLAN, "mode": "wait"}, headers)
        letters = await eventually(
            "both are dead letters",
            lambda: operate(house, "GET", f"dlq.list/{tenant}"),
            lambda listed: len(listed["items"]) == len(entries),
        )
        for letter in letters["items"]:
            assert "not the user's" in letter["error"]["message"]
            reply = await ask(house, "GET", f"/api/v1/task.get/{letter['task_id'] or new_id()}", None, headers)
            assert reply.status == 404
        assert len((await house.call("GET", f"chat.history/{ids['session_id']}")).data["items"]) == 2


async def test_a_notification_is_acknowledged_by_each_user_alone(house: House) -> None:
    for tenant in ("acme", "globex"):
        await session_of(house, bearer(tenant))

    async def send(**more: Any) -> str:
        note = {"title": WORD, "message": WORD, **more}
        sent = await ask(house, "POST", "/internal/v1/notification.send", note, keyed())
        notification_id: str = sent.data["notification_id"]
        return notification_id

    async def waiting(headers: Mapping[str, str]) -> list[str]:
        listed = await ask(house, "GET", "/api/v1/notification.list?unacknowledged=true", None, headers)
        return [one["notification_id"] for one in listed.data["items"]]

    hers, everyones = await send(user_ids=["ann"]), await send()
    for headers in STRANGERS.values():
        reply = await ask(house, "PUT", f"/api/v1/notification.acknowledge/{hers}", None, headers)
        assert reply.fault == (404, "ORCH_NOTF_001")
    eves = await ask(house, "PUT", f"/api/v1/notification.acknowledge/{everyones}", None, STRANGERS["eve"])
    assert eves.status == 404
    assert (
        await ask(house, "PUT", f"/api/v1/notification.acknowledge/{everyones}", None, STRANGERS["bob"])
    ).status == 200
    assert await waiting(STRANGERS["bob"]) == await waiting(STRANGERS["eve"]) == []
    assert sorted(await waiting(bearer())) == sorted([hers, everyones])
    pending = await ask(house, "GET", "/internal/v1/notification.pending/ann", None, keyed(tenant="globex"))
    assert pending.data["items"] == []
