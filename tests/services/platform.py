"""The services that a chat turn needs, in one scripted server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import trio
from attrs import define, field

from orchestrator.clients.opening import open_clients
from orchestrator.clients.registry import Clients
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.telemetry.metrics import Metrics
from tests.support.calls import services_at
from tests.support.scripted_server import Asked, Handler, reply, response, serve, stream_all, token

Leg = Callable[[Asked, trio.SocketStream], Awaitable[None]]


def says(*messages: Any) -> Leg:
    """Make a leg that streams these messages and ends."""

    async def leg(_: Asked, stream: trio.SocketStream) -> None:
        await stream_all(stream, *messages)

    return leg


@define
class Platform:
    """Answers as the services would; `away` names those that fail with 503."""

    legs: list[Leg] = field(factory=lambda: [says(token("Hello "), token("Ana", is_last=True), response("Hello Ana"))])
    """The streams of execute and tool_result, in the order in which they are asked for; the last one repeats."""
    away: set[str] = field(factory=set)
    hanging: set[str] = field(factory=set)
    """Paths that are never answered."""
    hangs: bool = False
    """Whether nothing is answered any more."""
    agent_version: int = 3
    client_tools: list[str] = field(factory=list)
    context: list[dict[str, Any]] = field(factory=list)
    asked: list[Asked] = field(factory=list)
    stored: dict[str, dict[str, Any]] = field(factory=dict)
    """Messages in Conversation by idempotency key."""
    conversations: set[str] = field(factory=set)
    tools: list[dict[str, Any]] = field(factory=lambda: [{"tool_id": "calculator"}])
    tool: dict[str, Any] = field(factory=lambda: {"status": "success", "result": 42})

    started: dict[str, Any] | None = field(factory=lambda: {"execution_id": "x1", "status": "accepted"})
    """What is answered to the start of a tool that answers later; None: there is no such tool."""

    async def __call__(self, asked: Asked, stream: trio.SocketStream) -> None:
        self.asked.append(asked)
        if self.hangs or asked.path in self.hanging:
            await trio.sleep_forever()
        service, answer = self._route(asked)
        if service in self.away:
            await reply(stream, {"error": {"code": "AWAY"}}, 503)
        elif callable(answer):
            await answer(asked, stream)
        elif answer is None:
            await reply(stream, {"error": {"code": "NONE"}}, 404)
        else:
            await reply(stream, {"payload": answer})

    def _route(self, asked: Asked) -> tuple[str, Any]:
        parts = asked.path.strip("/").split("/")[2:]
        match asked.method, parts:
            case "POST", ["conversations"]:
                self.conversations.add(asked.body["payload"]["conversation_id"])
                return "conversation", {"conversation_id": asked.body["payload"]["conversation_id"]}
            case "POST", ["conversations", name, "messages"]:
                if name not in self.conversations:
                    return "conversation", None
                if "conversation" not in self.away:
                    self.stored.setdefault(asked.headers["idempotency-key"], asked.body["payload"])
                return "conversation", {}
            case "GET", ["internal", "context", _]:
                return "conversation", {"messages": self.context, "context_summary": "So far", "total_tokens": 9}
            case "GET", ["agents", _, "nobody"]:
                return "agent_management", None
            case "GET", ["agents", _, name]:
                named = parse_qs(asked.target.partition("?")[2])["version"][0]
                version = self.agent_version if named == "latest" else named
                fields_ = {"agent_id": name, "version": version, "name": "Echo", "client_tools": self.client_tools}
                return "agent_management", fields_
            case "GET", ["tools"]:
                return "tool_registry", {"tools": self.tools}
            case "GET", ["tools", name]:
                return "tool_registry", {"tool_id": name, "kind": "sync"}
            case "POST", ["tools", "execute" | "async-execute" as how]:
                return "tool_registry", self.tool if how == "execute" else self.started
            case "POST", ["tasks", _, "cancel"]:
                return "agent_execution", {}
            case "POST", ["agents", _, "execute"] | ["tasks", _, "tool_result"]:
                return "agent_execution", self.legs.pop(0) if len(self.legs) > 1 else self.legs[0]
        raise AssertionError(asked)

    def calls(self, end: str) -> list[Asked]:
        """The calls whose path ends so."""
        return [asked for asked in self.asked if asked.path.endswith(end)]


@asynccontextmanager
async def turns_on(platform: Platform, metrics: Metrics | None = None) -> AsyncIterator[ChatTurnRunner]:
    """Run chat turns against `platform`."""
    async with serve(platform) as url, open_clients(services_at(url, timeout=2)) as clients:
        yield runner(clients, metrics)


def runner(clients: Clients, metrics: Metrics | None = None) -> ChatTurnRunner:
    coordinator = ServiceCoordinator(metrics)
    return ChatTurnRunner(clients, coordinator, AgentCatalog(clients, coordinator))


@asynccontextmanager
async def catalog_on(platform: Handler) -> AsyncIterator[AgentCatalog]:
    """Look agents and tools up at `platform`."""
    async with serve(platform) as url, open_clients(services_at(url, timeout=2)) as clients:
        yield AgentCatalog(clients, ServiceCoordinator())
