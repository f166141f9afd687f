"""A small orchestrator for the sandbox to call back: its gateway is real, its other routes only listen."""

from collections import Counter
from typing import Any

import httpx
import orjson
import trio
from attrs import define, field, frozen

from orchestrator.sandbox.serving.http_server import Request, SandboxAnswer, SandboxReply, Stream, Writer, json_reply
from tests.support.eventually import eventually

GATEWAY = {
    "embedding.create": ("embedding", "/api/v1/internal/enhanced_embed"),
    "query.search": ("query", "/api/v1/internal/search"),
    "query.generate": ("query", "/api/v1/internal/query"),
}


@frozen
class Told:
    """One request of the sandbox."""

    route: str
    body: dict[str, Any]
    headers: dict[str, str]


@define
class FakeOrchestrator:
    """Passes the gateway's routes on to the sandbox's own services, and keeps what it is told."""

    http: httpx.AsyncClient
    urls: dict[str, str]
    told: list[Told] = field(factory=list)
    step_results: dict[str, Any] = field(factory=dict)
    """What `workflow.step` answers, by step."""
    refusals: Counter[str] = field(factory=Counter)
    """How often a route refuses before it takes something."""
    _grown: trio.Event = field(factory=trio.Event)

    async def handle(self, request: Request) -> SandboxAnswer:
        """Answer an internal route."""
        assert request.segments[:2] == ("internal", "v1")
        route = "/".join(request.segments[2:])
        body = orjson.loads(request.body)
        if self.refusals[route] > 0:
            self.refusals[route] -= 1
            error = {"code": "ORCH_SYS_002", "message": "Redis is away."}
            return json_reply({"data": None, "error": error}, 503)
        self.told.append(Told(route, body, dict(request.headers)))
        self._grown.set()
        self._grown = trio.Event()
        if route in GATEWAY:
            return await self._pass_on(route, request, body)
        if route == "workflow.step":
            return json_reply({"data": self.step_results[body["step_id"]], "status": {"code": 200}})
        return json_reply({"data": {}, "status": {"code": 200}})

    async def wait_for(self, route: str) -> Told:
        """Return the first request to a route, once it has come."""
        return (await self.wait_for_all(route, 1))[0]

    async def wait_for_all(self, route: str, count: int) -> list[Told]:
        """Return the requests to a route, once there are so many."""
        return await eventually(
            f"{count} requests came to {route}",
            lambda: [told for told in self.told if told.route == route],
            lambda found: len(found) >= count,
            changed=lambda: self._grown,
        )

    async def _pass_on(self, route: str, request: Request, body: dict[str, Any]) -> SandboxAnswer:
        service, path = GATEWAY[route]
        response = await self.http.post(
            self.urls[service] + path, json=body, headers={"X-Tenant-ID": request.headers["x-tenant-id"]}, timeout=10
        )
        if response.status_code != 200:
            return SandboxReply(response.status_code, response.content)
        if body.get("stream"):

            async def run(writer: Writer) -> None:
                await writer.send(response.content)

            return Stream(run)
        answer = response.json()
        return json_reply({"data": answer.get("data", answer), "status": {"code": 200}})
