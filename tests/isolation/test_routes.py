"""Every route of the document, asked for what is Ann's by all who must not have it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Principal, Role
from orchestrator.routes import ROUTES
from orchestrator.routes.dialects.paths import PLAIN_PATHS
from orchestrator.routes.http.registry import Access, Route
from tests.isolation.estate import PLAN, Estate, open_estate
from tests.support.credentials import ADMIN_KEY, METRICS_KEY, SECRET, bearer, keyed
from tests.support.house import Reply

BY_PATH: Final[Mapping[str, Route]] = {f"{route.method} {route.path}": route for route in ROUTES}
PLAIN: Final = {f"{plain.method} {plain.path}" for plain in PLAIN_PATHS}
"""Other paths of some routes, to the same handlers; one test asks those that name something."""
OPEN: Final = {
    "/",
    "/console",
    "/health",
    "/health/live",
    "/health/liveness",
    "/health/ready",
    "/health/readiness",
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
    "workflow.batch": None,
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
    "workflow.register": None,
    "integration.invoke": None,
    "orchestrator.register_session": None,
    "orchestrator.register_agent_load": None,
    "orchestrator.heartbeat": None,
    "telemetry.log": None,
    "telemetry.metric": None,
    "telemetry.trace": None,
    "telemetry.health": None,
}
"""Routes that name nothing of one user's: they answer what is the caller's or the tenant's. None: they do something."""
BODIES: Final[Mapping[str, Callable[[Mapping[str, str]], Any]]] = {
    "session.update": lambda _: {"metadata": {}},
    "chat.message": lambda ids: {"session_id": ids["session_id"], "content": "hi"},
    "chat.cancel": lambda ids: {"session_id": ids["session_id"], "reason": "why not"},
    "schedule.update": lambda _: {"enabled": False},
    "workflow.execute": lambda ids: {"plan": PLAN, "session_id": ids["session_id"]},
    "workflow.cancel": lambda _: {"reason": "why not"},
    "workflow.input": lambda _: {"node_id": "ask", "input": {}},
    "workflow.step": lambda ids: {"task_id": ids["task_id"], "step_id": "a", "type": "tool", "tool_id": "calculator"},
    "agent.assign": lambda _: {"agent_id": "echo"},
    "agent.feedback": lambda ids: {"message_id": ids["message_id"], "rating": 1},
    "task.progress": lambda _: {"progress": 0.5},
    "task.complete": lambda _: {"result": {}},
    "task.fail": lambda _: {"error": {"code": "X", "message": "x"}},
    "task.replay": lambda _: {},
    "workflow.callback": lambda ids: _news("workflow.result", ids["workflow_task_id"]),
    "workflow.update": lambda ids: _news("workflow.update", ids["workflow_task_id"]),
    "workflow.complete": lambda ids: _news("workflow.complete", ids["workflow_task_id"]),
    "workflow.results": lambda ids: _news("workflow.results", ids["workflow_task_id"]),
    "tool.callback": lambda ids: _news("tool.result", ids["task_id"]),
    "tool.request": lambda ids: {
        "metadata": {"execution_id": ids["workflow_task_id"], "step_id": "a"},
        "payload": {"tool_id": "calculator", "inputs": {}},
    },
    "notification.acknowledge": lambda _: {},
}
"""Bodies of the routes that take one; those of the administration are never read."""
FOR_OPERATORS: Final = {"task.replay", "event.stream", "audit.list", "audit.export"}
"""Routes that users are refused, whatever they name."""


def _news(kind: str, task_id: str) -> dict[str, Any]:
    domain, _, action = kind.partition(".")
    return {"type": {"domain": domain, "action": action}, "task_id": task_id, "payload": {"result": {}}}


def without(route: Route) -> dict[str, str]:
    """The header of Ann herself, with all that users may do but what the route takes."""
    taken = {str(route.permission), *route.or_permissions}
    # The permission to run workflows includes that to read of them.
    including = {"workflow:execute"} if "workflow:read" in taken else set()
    return bearer(permissions=ROLE_PERMISSIONS[Role.USER] - taken - including)


BOB, EVE = bearer(user="bob"), bearer("globex", "eve")
MONA = bearer(user="mona", role=Role.MONITOR)
MONITOR: Final = Principal("acme", "mona", Role.MONITOR, ROLE_PERMISSIONS[Role.MONITOR], 0.0)


def expected(route: Route, caller: str) -> set[int]:
    """The statuses with which a caller may be answered; 200 stands for an answer that tells nothing of Ann."""
    theirs = {200} if route.name in SHARED else {403} if route.name in FOR_OPERATORS else {404}
    if route.access is Access.BEARER:
        monitored = theirs if str(route.permission).endswith(":read") else {403}
        return {"bob": theirs, "eve": theirs, "narrow": {403}, "monitor": monitored}.get(caller, {401})
    if (route.access in {Access.INTERNAL, Access.SERVICE} or route.for_services) and caller == "service":
        return theirs
    if route.holder_permission is not None and MONITOR.may(route.holder_permission) and caller == "monitor":
        return {200}
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
    if name == "workflow_id":
        return ids["workflow_task_id"]
    return {"integration_id": "mail"}.get(name) or ids[name]


def body_of(route: Route, ids: Mapping[str, str]) -> Any:
    if route.body is None or route.access is Access.ADMIN or route.name in SHARED:
        return None
    return BODIES[route.name](ids)


async def test_no_route_tells_or_changes_what_is_anothers(redis_url: str, tmp_path: Path) -> None:
    async with open_estate(redis_url, tmp_path) as estate:
        document = (await estate.client.call("GET", "/openapi.json")).json
        described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
        assert {path.partition(" ")[2] for path in described - BY_PATH.keys() - PLAIN} == OPEN
        assert BY_PATH.keys() | PLAIN <= described
        everyone = await callers(estate)
        for name in sorted(described & BY_PATH.keys()):
            route = BY_PATH[name]
            asking = everyone if route.access is not Access.BEARER else {**everyone, "narrow": without(route)}
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


async def test_no_plain_path_tells_or_changes_what_is_anothers(redis_url: str, tmp_path: Path) -> None:
    async with open_estate(redis_url, tmp_path) as estate:
        for plain in PLAIN_PATHS:
            if plain.id_name is None:
                continue
            path = plain.path.format(id=estate.ids[plain.id_name])
            body = {"content": "hi"} if plain.fills else None
            before = await estate.contents()
            for headers in (BOB, EVE, {"Accept": "*/*"}):
                reply = await estate.client.call(plain.method, path, body, headers)
                assert reply.status in ({401} if "Authorization" not in headers else {404, 401}), path
                assert estate.told(reply, *(value for value in estate.ids.values() if value in path)) == [], path
            assert await estate.contents() == before, path


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
            sent = service_headers if route.access in {Access.INTERNAL, Access.SERVICE} else headers

            async def answered(ids: Mapping[str, str], route: Route = route, sent: Any = sent) -> Any:
                before = await estate.commands()
                reply = await estate.client.call(route.method, path_of(route, ids), body_of(route, ids), sent)
                after = await estate.commands()
                spent = {name: count - before.get(name, 0) for name, count in after.items()}
                return _likeness(reply, ids), {name: count for name, count in spent.items() if count}

            # The first round loads scripts, and what runs by itself may fall into any of them.
            rounds: list[tuple[Any, Any]] = []
            while len(rounds) < 2 or (rounds[-1][0] != rounds[-1][1] and len(rounds) < 5):
                rounds.append((await answered(nothing), await answered(estate.ids)))
            assert rounds[-1][0] == rounds[-1][1], route.name


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
