"""Every route of the document, asked for what is Ann's by all who must not have it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import Access, Route
from tests.isolation.estate import PLAN, Estate, open_estate
from tests.support.credentials import ADMIN_KEY, METRICS_KEY, SECRET, bearer, keyed
from tests.support.house import Reply

BY_PATH: Final[Mapping[str, Route]] = {f"{route.method} {route.path}": route for route in ROUTES}
OPEN: Final = {
    "/",
    "/console",
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
}
"""Paths of the document that take no envelope; they tell nothing of anyone."""
SHARED: Final[Mapping[str, str | None]] = {
    "session.create": None,
    "session.list": "",
    "task.list": "?session_id={session_id}",
    "schedule.create": None,
    "schedule.list": "?agent_id={agent_id}",
    "batch.create": None,
    "batch.list": "",
    "workflow.list": "",
    "agent.list": "",
    "agent.get": "",
    "tool.list": "",
    "tool.execute": None,
    "notification.list": "",
    "usage.get": "?group_by=user",
    "agent.updated": None,
    "tool.updated": None,
    "notification.send": None,
    "notification.pending": "",
    "query.generate": None,
    "query.search": None,
    "embedding.create": None,
}
"""Routes that name nothing of one user's: they answer what is the caller's or the tenant's. None: they do something."""
BODIES: Final[Mapping[str, Callable[[Mapping[str, str]], Any]]] = {
    "session.update": lambda _: {"metadata": {}},
    "chat.message": lambda ids: {"session_id": ids["session_id"], "content": "hi"},
    "schedule.update": lambda _: {"enabled": False},
    "workflow.execute": lambda ids: {"plan": PLAN, "session_id": ids["session_id"]},
    "workflow.input": lambda _: {"node_id": "ask", "input": {}},
    "workflow.step": lambda ids: {"task_id": ids["task_id"], "step_id": "a", "type": "tool", "tool_id": "calculator"},
    "agent.assign": lambda _: {"agent_id": "echo"},
    "agent.feedback": lambda ids: {"message_id": ids["message_id"], "rating": 1},
    "task.progress": lambda _: {"progress": 0.5},
    "task.complete": lambda _: {"result": {}},
    "task.fail": lambda _: {"error": {"code": "X", "message": "x"}},
    "task.replay": lambda _: {},
}
"""Bodies of the routes that take one; those of the administration are never read."""
FOR_OPERATORS: Final = {"task.replay", "audit.list", "audit.export"}
"""Routes that users are refused, whatever they name."""


def without(permission: str) -> dict[str, str]:
    """The header of Ann herself, with all that users may do but one thing."""
    return bearer(permissions=ROLE_PERMISSIONS[Role.USER] - {permission})


BOB, EVE = bearer(user="bob"), bearer("globex", "eve")
MONA = bearer(user="mona", role=Role.MONITOR)


def expected(route: Route, caller: str) -> set[int]:
    """The statuses with which a caller may be answered; 200 stands for an answer that tells nothing of Ann."""
    theirs = {200} if route.name in SHARED else {403} if route.name in FOR_OPERATORS else {404}
    if route.access is Access.BEARER:
        monitored = theirs if str(route.permission).endswith(":read") else {403}
        return {"bob": theirs, "eve": theirs, "narrow": {403}, "monitor": monitored}.get(caller, {401})
    if route.access is Access.INTERNAL and caller == "service":
        return theirs
    return {401, 403}


async def callers(estate: Estate) -> dict[str, dict[str, str]]:
    """Who calls, by name, with what; `narrow` depends on the route."""
    revoked = bearer()
    claims = claims_of(revoked)
    await estate.client.call("POST", "/internal/v1/token.revoke", {"jti": claims["jti"]}, keyed(ADMIN_KEY))
    return {
        "bob": BOB,
        "eve": EVE,
        "nobody": {"Accept": "*/*"},
        "expired": bearer(ttl=-600),
        "revoked": revoked,
        "monitor": MONA,
        "service": {**keyed(tenant="globex"), "X-Callback-Token": "not-theirs"},
        "wrong scope": keyed(METRICS_KEY, "globex"),
    }


def claims_of(headers: Mapping[str, str]) -> Any:
    return jwt.decode(headers["Authorization"].removeprefix("Bearer "), SECRET, algorithms=["HS256"])


def path_of(route: Route, ids: Mapping[str, str]) -> str:
    """The path of a route, with the id of something of Ann's in it."""
    query = SHARED.get(route.name) or ""
    return re.sub(r"\{(\w+)\}", lambda found: _id(route, ids, found[1]), route.path + query)


def _id(route: Route, ids: Mapping[str, str], name: str) -> str:
    if name == "task_id" and route.name.startswith("workflow."):
        return ids["workflow_task_id"]
    return ids[name]


def body_of(route: Route, ids: Mapping[str, str]) -> Any:
    if route.body is None or route.access is Access.ADMIN or route.name in SHARED:
        return None
    return BODIES[route.name](ids)


async def test_no_route_tells_or_changes_what_is_anothers(redis_url: str, tmp_path: Path) -> None:
    async with open_estate(redis_url, tmp_path) as estate:
        document = (await estate.client.call("GET", "/openapi.json")).json
        described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
        assert {path.partition(" ")[2] for path in described - BY_PATH.keys()} == OPEN
        assert BY_PATH.keys() <= described
        everyone = await callers(estate)
        for name in sorted(described & BY_PATH.keys()):
            route = BY_PATH[name]
            asking = (
                everyone
                if route.access is not Access.BEARER
                else {**everyone, "narrow": without(str(route.permission))}
            )
            before = await estate.contents()
            for caller, headers in asking.items():
                reads = route.name not in SHARED or SHARED[route.name] is not None
                if not reads and 200 in expected(route, caller):
                    continue
                await _refused(estate, route, caller, headers)
            if route.name not in SHARED:
                assert await estate.contents() == before, name
        for path in OPEN:
            reply = await estate.client.call("GET", path, headers={"Accept": "*/*"})
            assert estate.told(reply) == [], path


async def _refused(estate: Estate, route: Route, caller: str, headers: dict[str, str]) -> None:
    path, body = path_of(route, estate.ids), body_of(route, estate.ids)
    reply = await estate.client.call(route.method, path, body, headers)
    says = (route.name, caller, reply.status, reply.raw[:300])
    assert reply.status in expected(route, caller), says
    sent = [value for value in estate.ids.values() if value in path or value in str(body)]
    assert estate.told(reply, *(sent if reply.status >= 400 else ())) == [], says


@pytest.mark.parametrize("headers", [BOB, EVE], ids=["bob", "eve"])
async def test_what_is_anothers_is_answered_as_what_is_not_there(
    redis_url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    async with open_estate(redis_url, tmp_path) as estate:
        nothing = {name: new_id() for name in estate.ids} | {
            name: estate.ids[name] for name in ("agent_id", "user_id", "tenant_id", "tool_id")
        }
        for route in ROUTES:
            if route.access is Access.ADMIN or route.name in SHARED:
                continue
            service_headers = {**keyed(tenant="globex"), "X-Callback-Token": "not-theirs"}
            sent = service_headers if route.access is Access.INTERNAL else headers
            answers = []
            for ids in (nothing, estate.ids, nothing, estate.ids):
                before = await estate.commands()
                reply = await estate.client.call(route.method, path_of(route, ids), body_of(route, ids), sent)
                after = await estate.commands()
                spent = {name: count - before.get(name, 0) for name, count in after.items()}
                answers.append((_likeness(reply, ids), {name: count for name, count in spent.items() if count}))
            # The first round loads scripts.
            assert answers[2] == answers[3], route.name


def _likeness(reply: Reply, ids: Mapping[str, str]) -> Any:
    """What an answer says, whatever the ids in it."""
    error = str(reply.error)
    for value in ids.values():
        error = error.replace(value, "…")
    error = re.sub(r"'correlation_id': '[^']*'|'(timestamp|at)': '[^']*'", "", error)
    return reply.status, error, sorted(name for name, _ in reply.headers.items())


@pytest.mark.parametrize("headers", [BOB, EVE], ids=["bob", "eve"])
async def test_a_cursor_of_anothers_list_leads_nowhere(redis_url: str, tmp_path: Path, headers: dict[str, str]) -> None:
    async with open_estate(redis_url, tmp_path) as estate:
        for route in ROUTES:
            if (
                route.access is Access.BEARER
                and route.paged
                and not route.id_name
                and route.name not in TENANTS | FOR_OPERATORS
            ):
                reply = await estate.call("GET", f"{route.name}?cursor={estate.ids['cursor']}", headers=headers)
                assert (reply.status, reply.data["items"]) == (200, []), route.name


TENANTS: Final = {"agent.list", "tool.list", "workflow.list"}
"""Lists of what the users of a tenant share."""
