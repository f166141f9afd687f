"""Stand-ins of all seven services that speak the shapes of the platform's documents, and nothing of this service's own.

They are real HTTP servers on loopback. What they were asked stands in `asked`; what they answer instead of the
documented answer is set by operation in `answers`.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import orjson
import trio
from attrs import define, field

from tests.platform.vectors import vector
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, begin_stream, end_stream, reply, send_lines, serve

SERVICES: Final = (
    "conversation",
    "agent_management",
    "agent_execution",
    "workflow_engine",
    "tool_registry",
    "query",
    "embedding",
)
TOKEN: Final = "token-of-the-service"
TOOLS: Final = [("calculator", "Calculator"), ("slow_report", "Slow report")]
_ids = itertools.count(1)


def said(name: str, /, **payload: Any) -> dict[str, Any]:
    """A documented message with another payload."""
    message = vector(name).filled({})
    return {**message, "message_id": f"m-{next(_ids)}", "payload": payload}


@define(eq=False)
class DocumentedServices:
    """The stand-ins, and what they remember."""

    nursery: trio.Nursery
    urls: dict[str, str] = field(factory=dict)
    orchestrator: str = ""
    """Where they report."""
    asked: list[tuple[str, Asked]] = field(factory=list)
    answers: dict[str, Callable[[Asked], tuple[int, Any]]] = field(factory=dict)
    """By the end of `service path`, or by `service *`, in place of what is answered otherwise."""
    conversations: dict[str, list[dict[str, Any]]] = field(factory=dict)
    runs: dict[str, dict[str, Any]] = field(factory=dict)

    def requests(self, service: str, ending: str = "") -> list[Asked]:
        """Return what a service was asked, at paths with an ending."""
        return [asked for name, asked in self.asked if name == service and asked.path.endswith(ending)]

    async def execution_of(self, task_id: str) -> str:
        """Return what the engine calls the run of a task, once it has that."""

        def look() -> list[str]:
            return [name for name, run in self.runs.items() if run["request"]["task_id"] == task_id]

        return (await eventually("the engine has the run", look))[0]

    async def report(self, path: str, message: Any) -> httpx.Response:
        """Report something to the orchestrator, with the token that the service is called with."""
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Tenant-ID": "acme"}
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.post(f"{self.orchestrator}{path}", json=message, headers=headers)

    async def handle(self, service: str, asked: Asked, stream: trio.SocketStream) -> None:
        """Answer a request."""
        self.asked.append((service, asked))
        if asked.path == "/health":
            await reply(stream, {"status": "ok"})
            return
        instead = next(
            (
                give
                for ending, give in self.answers.items()
                if f"{service} {asked.path}".endswith(ending) or ending == f"{service} *"
            ),
            None,
        )
        if instead is not None:
            status, body = instead(asked)
            await reply(stream, body, status)
            return
        await getattr(self, f"_{service}")(asked, stream)

    async def _conversation(self, asked: Asked, stream: trio.SocketStream) -> None:
        parts = asked.path.strip("/").split("/")
        if parts[-1] == "conversations":
            conversation_id = asked.body["payload"]["conversation_id"]
            self.conversations.setdefault(conversation_id, [])
            await reply(stream, said("svc-cs-create-res", id=conversation_id, agent_id="echo"), 201)
        elif parts[-1] == "messages" and asked.method == "POST":
            if parts[-2] not in self.conversations:
                await reply(stream, _error("svc-cs-error", "conversation.retrieve.not_found"), 404)
                return
            self.conversations[parts[-2]].append(asked.body["payload"]["message"])
            await reply(stream, said("svc-cs-create-res", message_id="m"), 201)
        elif parts[-1] == "messages":
            await reply(stream, said("svc-cs-messages-res", messages=self.conversations[parts[-2]], has_more=False))
        elif "context" in parts:
            told = dict(vector("svc-cs-context-res").example["payload"])
            await reply(
                stream, said("svc-cs-context-res", **{**told, "messages": self.conversations.get(parts[-1], [])})
            )
        else:
            await reply(stream, _error("svc-cs-error", "conversation.retrieve.not_found"), 404)

    async def _agent_management(self, asked: Asked, stream: trio.SocketStream) -> None:
        agent_id = asked.path.rsplit("/", 1)[-1]
        if agent_id == "no-such-agent":
            await reply(stream, vector("svc-am-error").filled({}), 404)
            return
        payload = {**vector("svc-am-config-res").example["payload"], "agent_id": agent_id}
        await reply(stream, said("svc-am-config-res", **payload))

    async def _agent_execution(self, asked: Asked, stream: trio.SocketStream) -> None:
        if asked.path.endswith("/cancel"):
            await reply(stream, said("svc-ae-status", progress=0))
            return
        payload = asked.body["payload"]
        if asked.path.endswith("/tool_result"):
            lines = _response(str(payload["result"]["value"]) if payload["result"] else "no result")
        elif "/calculator/" in asked.path:
            request = said(
                "svc-ae-tool-request", tool_name="Calculator", call_id="call-1", parameters={"expression": "6*7"}
            )
            lines = [_token("Let me see. "), request]
        elif payload["query"] == "fail":
            lines = [vector("svc-ae-error").filled({})]
        elif payload["query"] == "wait":
            await begin_stream(stream)
            await send_lines(stream, _token("I wait"))
            await trio.sleep(30)
            return
        else:
            status = vector("svc-ae-status").example["payload"]
            lines = [
                said("svc-ae-status", **status),
                _token("hm, ", "thinking"),
                vector("svc-ae-token-other").filled({}),
                _token("not for the user", "of-a-later-version"),
                *(_token(f"{word} ") for word in payload["query"].split()),
                *_response(f"{payload['query']} "),
            ]
        await begin_stream(stream)
        await send_lines(stream, *lines)
        await end_stream(stream)

    async def _workflow_engine(self, asked: Asked, stream: trio.SocketStream) -> None:
        if asked.path.endswith("/workflow/execute"):
            execution_id = f"engine-{next(_ids)}"
            self.runs[execution_id] = {"request": asked.body, "input": trio.Event()}
            await reply(stream, {**_engine(), "data": {"execution_id": execution_id, "status": "in_progress"}}, 202)
            self.nursery.start_soon(self._run, execution_id)
        elif asked.path.endswith("/input"):
            self.runs[asked.path.split("/")[-2]]["input"].set()
            await reply(stream, {**_engine(), "data": {"accepted": True}})
        elif "/executions/" in asked.path:
            await reply(stream, vector("svc-we-execution-res").filled({}))
        else:
            # The documents give no route for single definitions.
            await reply(stream, {"detail": "Not Found"}, 404)

    async def _run(self, execution_id: str) -> None:
        """Report on a run as the documents say: started, a step, a question where it is the approval, the result."""
        run = self.runs[execution_id]
        asks = run["request"]["payload"]["workflow_id"] == "approval"
        events = vector("ws-we-progress").filled({})
        for event in events[:2]:
            event["metadata"]["execution_id"] = execution_id
            await self.report("/api/v1/orchestrator/workflows/callback", event)
        if asks:
            question = vector("rest-engine-callback-req").filled({})
            question["data"]["execution_id"] = execution_id
            await self.report("/api/v1/orchestrator/workflows/callback", question)
            await run["input"].wait()
        result = vector("svc-we-result").filled({})
        result["metadata"]["execution_id"] = execution_id
        result["original_task_id"] = run["request"]["task_id"]
        await self.report("/api/v1/orchestrator/workflows/callback", result)

    async def _tool_registry(self, asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "GET":
            page = int(dict(part.split("=") for part in asked.target.partition("?")[2].split("&")).get("page", "1"))
            tool_id, name = TOOLS[page - 1]
            tool = {**vector("svc-tr-list-res").example["payload"]["tools"][0], "tool_id": tool_id, "tool_name": name}
            pagination = {"total": len(TOOLS), "page": page, "limit": 1}
            await reply(stream, said("svc-tr-list-res", tools=[tool], pagination=pagination))
        elif asked.path.endswith("/async-execute"):
            await reply(stream, said("svc-tr-execute-res", task_id=asked.body["task_id"], status="pending"), 202)
            self.nursery.start_soon(self._finish_tool, asked.body["task_id"])
        elif asked.body["payload"]["tool_id"] != "calculator":
            await reply(stream, _error("svc-tr-error", "TOOL_DB_001"), 404)
        elif asked.body["payload"]["parameters"].get("expression") != "6*7":
            await reply(stream, vector("svc-tr-error").filled({}), 400)
        else:
            await reply(stream, vector("svc-tr-execute-res").filled({}))

    async def _finish_tool(self, task_id: str) -> None:
        message = vector("rest-registry-callback-req").filled({})
        message["metadata"]["source_task_id"] = task_id
        await self.report("/api/v1/orchestrator/tool-callbacks", message)

    async def _query(self, _: Asked, stream: trio.SocketStream) -> None:
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        await reply(
            stream,
            {
                "success": True,
                "data": {"response": "from the index", "sources": []},
                "metadata": {"token_usage": usage},
            },
        )

    async def _embedding(self, asked: Asked, stream: trio.SocketStream) -> None:
        vectors_ = [[0.5, 0.5] for _ in asked.body["texts"]]
        await reply(stream, {"embeddings": vectors_, "model": "small", "dimensions": 2, "total_tokens": len(vectors_)})


def _token(text: str, content_type: str = "response") -> dict[str, Any]:
    return said("svc-ae-token", token=text, is_last=False, content_type=content_type)


def _response(text: str) -> list[dict[str, Any]]:
    payload = {**vector("svc-ae-response").example["payload"], "response": text}
    return [said("svc-ae-response", **payload)]


def _engine() -> dict[str, Any]:
    return {name: value for name, value in vector("svc-we-execution-res").filled({}).items() if name != "data"}


def _error(name: str, code: str) -> dict[str, Any]:
    message = vector(name).filled({})
    return {**message, "error": {**message["error"], "code": code}, "status": 404}


@asynccontextmanager
async def open_services() -> AsyncIterator[DocumentedServices]:
    """Serve all of them while the block runs."""
    async with trio.open_nursery() as nursery:
        services = DocumentedServices(nursery)
        async with trio.open_nursery() as serving:
            for name in SERVICES:
                await serving.start(_serve, services, name)
            yield services
            serving.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _serve(services: DocumentedServices, name: str, *, task_status: trio.TaskStatus[None]) -> None:
    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        await services.handle(name, asked, stream)

    async with serve(handler) as url:
        services.urls[name] = url
        task_status.started()
        await trio.sleep_forever()


def encoded(message: Any) -> bytes:
    """JSON as a person would write it."""
    return orjson.dumps(message, option=orjson.OPT_INDENT_2)
