"""Every action of the audit table, caused as a user or an operator would, is in the trail as the table says."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.models.operations.audit import ACTIONS, AuditEntry
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.redis.connection import open_redis
from tests.isolation.test_frames import opened
from tests.isolation.test_references import ask, operate, session_of
from tests.services.workflows.house import House, open_house
from tests.support.audited import audited
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.eventually import eventually

SCHEDULE: Final = {"cron": "0 0 1 1 *", "agent_id": "echo", "content": "hi"}
OPERATOR: Final = bearer(user="op", permissions=["session:admin", "task:write"])


async def of_users(house: House) -> None:
    """Cause what users do, and are refused."""
    session_id = await session_of(house, bearer())
    await house.call("PUT", f"agent.assign/{session_id}", {"agent_id": "docs-guide"})
    async with opened(house, f"/ws/v1/chat/{session_id}", bearer()) as client:
        await client.say("workflow.cancel", {"task_id": "not-there"})
        await client.until("system.error")
    await house.call("DELETE", f"session.close/{session_id}")
    schedule_id = (await house.call("POST", "schedule.create", SCHEDULE)).data["schedule_id"]
    await house.call("POST", f"schedule.trigger/{schedule_id}", {})
    await house.call("PUT", f"schedule.update/{schedule_id}", {"enabled": False})
    await house.call("DELETE", f"schedule.delete/{schedule_id}")
    await ask(house, "GET", "/api/v1/session.list", None, {"Authorization": "Bearer forged"})
    await ask(house, "GET", "/api/v1/session.list", None, bearer(permissions=["chat:read"]))
    flow = await house.call("POST", "workflow.execute", {"plan": {"calls": {"a": _CALL}}, "mode": "wait"})
    replayed = await ask(house, "POST", f"/api/v1/task.replay/{flow.data['task_id']}", {}, OPERATOR)
    assert replayed.status < 300, replayed.text


_CALL: Final[Mapping[str, Any]] = {
    "service": "agent_execution",
    "operation": "execute",
    "parameters": {"agent_id": "echo", "query": "hi"},
}


async def of_operators(house: House) -> None:
    """Cause what operators do."""
    session_id = await session_of(house, bearer())
    await operate(house, "GET", f"debug.session/{session_id}")
    url = f"{house.url}/internal/v1/session.ticket/{session_id}"
    assert (await house.http.post(url, headers=keyed(ADMIN_KEY, "acme"))).status_code == 201
    await operate(house, "POST", "dlq.purge/acme", {"error_code": "NONE"})
    key_id = (await operate(house, "POST", "key.create", {"name": "a"}))["record"]["key_id"]
    await operate(house, "POST", f"key.rotate/{key_id}", {})
    await operate(house, "DELETE", f"key.revoke/{key_id}")
    await operate(house, "GET", "tenant.callback_secret/acme")
    await operate(house, "PUT", "tenant.configure/acme", {"weight": 2})
    await operate(house, "POST", "tenant.repair/acme", {})
    await operate(house, "POST", "tenant.pause/acme")
    await operate(house, "POST", "tenant.resume/acme")
    await operate(house, "GET", "tenant.export/acme")
    session = {"kind": "session", "id": "one", "fields": {"state": "ACTIVE", "user_id": "ann", "agent_id": "echo"}}
    await operate(house, "POST", "tenant.import/acme", {"items": [session]})
    await operate(house, "POST", "tenant.drain/acme", {"mode": "discard"})
    await operate(house, "POST", "token.revoke", {"jti": "one"})


async def test_every_action_of_the_table_is_audited_when_it_is_done(redis_url: str) -> None:
    async with open_house(redis_url) as house, open_redis(redis_url) as redis:
        await of_users(house)
        await of_operators(house)
        trail = AuditTrail(redis, Keys(), most=100)
        for number in range(300):
            await trail.record("session.close", outcome="ok", tenant_id="globex", detail=str(number))

        async def entries() -> dict[str, AuditEntry]:
            return {action: found[0] for action in ACTIONS if (found := await audited(redis, action))}

        there = await eventually("all are there", entries, lambda found: found.keys() == ACTIONS.keys())
        assert {action: entry.kind for action, entry in there.items()} == {
            action: row.kind for action, row in ACTIONS.items()
        }
        refused = {action for action, entry in there.items() if entry.outcome == "refused"}
        assert refused == {"auth.failed", "auth.refused", "frame.foreign"}
        assert all(there[action].user_id == "operator" for action in ("key.create", "key.rotate", "key.revoke"))
