"""The documented claims of tokens: what each set lets its holder do, and nothing beyond."""

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.models.common.principal import Principal, Role
from tests.platform.vectors import vector
from tests.services.workflows.house import House, open_house
from tests.support.credentials import INTERNAL_KEY, SECRET, bearer, keyed

PLAN: dict[str, Any] = {
    "calls": {
        "a": {
            "service": "tool_registry",
            "operation": "execute",
            "parameters": {"tool_id": "calculator", "parameters": {}},
        }
    }
}


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url) as house:
        yield house


def documented(name: str, **claims: Any) -> dict[str, str]:
    """The header of a token with the claims of a documented shape."""
    return {"Authorization": f"Bearer {jwt.encode({**vector(name).filled({}), **now(), **claims}, SECRET)}"}


def now() -> dict[str, int]:
    return {"iat": int(time.time()), "exp": int(time.time()) + 600}


async def status(house: House, method: str, route: str, headers: dict[str, str], body: Any = None) -> int:
    reply = await house.http.request(method, f"{house.url}{route}", json=body, headers=headers)
    return reply.status_code


async def test_the_documented_user_set_suffices_for_the_documented_routes(house: House) -> None:
    ours = documented("tok-user")

    async def call(method: str, route: str, body: Any = None) -> Any:
        reply = await house.http.request(method, f"{house.url}/api/v1/{route}", json=body, headers=ours)
        assert reply.status_code < 300, (route, reply.text)
        return reply.json()["data"]

    session = (await call("POST", "session.create", {"agent_id": "echo"}))["session_id"]
    said = await call("POST", "chat.message", {"session_id": session, "content": "hi", "mode": "wait"})
    await call("PUT", f"agent.assign/{session}", {"agent_id": "echo"})
    await call("POST", "agent.feedback", {"message_id": said["message_id"], "rating": 1})
    await call("GET", "agent.list")
    run = (await call("POST", "workflow.execute", {"workflow_id": "arithmetic", "input": {"expression": "6*7"}}))[
        "task_id"
    ]
    await call("GET", f"workflow.status/{run}")
    await call("GET", f"workflow.results/{run}")
    await call("DELETE", f"workflow.cancel/{run}")
    await call("POST", f"chat.cancel/{said['message_id']}")
    batch = (await call("POST", "batch.create", {"items": [{"content": "a"}], "agent_id": "echo"}))["batch_id"]
    await call("GET", f"batch.get/{batch}")
    await call("GET", f"workflow.status/{batch}")
    await call("GET", f"batch.results/{batch}")
    await call("DELETE", f"batch.cancel/{batch}")
    await call("GET", "session.list")
    await call("GET", f"session.get/{session}")
    await call("PUT", f"session.update/{session}", {"metadata": {"seen": True}})
    await call("PUT", f"session.pause/{session}")
    await call("PUT", f"session.resume/{session}")
    await call("GET", f"chat.history/{session}")
    await call("DELETE", f"session.close/{session}")


async def test_a_reader_in_a_list_of_roles_reads_and_writes_nothing(house: House) -> None:
    own = await house.call("POST", "session.create", {"agent_id": "echo"}, user="developer")
    session = own.data["session_id"]
    reader = documented("tok-roles-list") | {"X-Tenant-ID": "acme"}
    assert await status(house, "GET", f"/api/v1/session.get/{session}", reader) == 200
    for method, route, body in (
        ("POST", "session.create", {"agent_id": "echo"}),
        ("POST", "chat.message", {"session_id": session, "content": "hi"}),
        ("PUT", f"agent.assign/{session}", {"agent_id": "echo"}),
        ("POST", "agent.feedback", {"session_id": session, "rating": 1}),
    ):
        assert await status(house, method, f"/api/v1/{route}", reader, body) == 403, route


@pytest.mark.parametrize("role", ["reader", "admin"])
async def test_a_tenant_that_the_token_does_not_list_is_refused(house: House, role: str) -> None:
    holder = documented("tok-roles-list", roles=[role])
    assert await status(house, "GET", "/api/v1/session.list", holder | {"X-Tenant-ID": "globex"}) == 200
    assert await status(house, "GET", "/api/v1/session.list", holder | {"X-Tenant-ID": "umbrella"}) == 403


@pytest.mark.parametrize("role", [row["role"] for row in vector("tok-roles-permissions").example])
def test_a_role_without_permissions_has_at_least_the_documented_ones(role: str) -> None:
    row = next(row for row in vector("tok-roles-permissions").example if row["role"] == role)
    principal = Principal("acme", "x", Role(role), ROLE_PERMISSIONS[Role(role)], 0.0)
    assert [wanted for wanted in row["permissions"] if not principal.may(wanted)] == []


async def test_a_monitor_sees_load_nodes_and_figures_of_no_other_tenant(house: House) -> None:
    assert await status(house, "POST", "/api/v1/session.create", bearer("globex", "eve"), {"agent_id": "echo"}) == 201
    monitor = bearer(user="mona", role=Role.MONITOR)
    for route in ("/internal/v1/orchestrator.load", "/internal/v1/orchestrator.nodes", "/metrics"):
        reply = await house.http.get(house.url + route, headers=monitor)
        assert (reply.status_code, "globex" in reply.text) == (200, False), route
        assert await status(house, "GET", route, bearer()) == 403, route
        assert await status(house, "GET", route, bearer(role=Role.ADMIN)) == 403, route
    ours = await house.http.get(f"{house.url}/metrics", headers=bearer("globex", "mona", role=Role.MONITOR))
    assert 'tenant_id="globex"' in ours.text


async def test_a_token_of_the_status_of_workflows_shows_that_alone(house: House) -> None:
    narrow = bearer(user="ann", permissions=["workflow:status"])
    run = (await house.call("POST", "workflow.execute", {"plan": PLAN})).data["task_id"]
    assert await status(house, "GET", f"/api/v1/workflow.status/{run}", narrow) == 200
    assert await status(house, "GET", f"/api/v1/workflow.results/{run}", narrow) == 403
    assert await status(house, "DELETE", f"/api/v1/workflow.cancel/{run}", narrow) == 403


async def test_a_service_notifies_its_own_tenant_by_a_token(house: House) -> None:
    body = {"user_ids": ["ann"], "title": "Done", "message": "The report is there."}
    service = bearer(user="billing", role=Role.SERVICE)
    assert await status(house, "POST", "/internal/v1/notification.send", service, body) == 201
    assert await status(house, "POST", "/internal/v1/notification.send", bearer(), body) == 403
    assert await status(house, "POST", "/internal/v1/notification.send", keyed(INTERNAL_KEY), body) == 201
    assert len((await house.call("GET", "notification.list")).data["items"]) == 2
