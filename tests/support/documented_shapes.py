"""The sandbox's services in the shapes of the platform's documents: the same work, told in their words alone.

What a stand-in reads and writes is translated around it, so that tests over the sandbox can be run over services that
were written to the documents. Where the documents have no shape for an operation, its own is left.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import orjson
import pytest
from attrs import evolve

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.sandbox.platform import Platform
from orchestrator.sandbox.serving.gateway import TIMEOUT, GatewayClient, GatewayRefused
from orchestrator.sandbox.serving.http_client import posted
from orchestrator.sandbox.serving.http_server import Request, SandboxAnswer, Stream, Writer

Fields = dict[str, Any]
OWN, DOCUMENTED = "own", "documented"
LATER: Final = frozenset({429, 500, 502, 503, 504})
_PAGE: Final = 2
"""Tools on a page of the list."""
_CLIENT: Final = ("client_tools",)
"""What agents have beside what is documented: the documents do not say which tools run at the client."""


def speak_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every sandbox speak in the documents' shapes, until the test is over."""
    handle, stream = Platform.handle, GatewayClient.stream

    async def documented_handle(platform: Platform, request: Request) -> SandboxAnswer:
        service, *path = request.segments
        answer = await handle(platform, _asked(service, path, request))
        return _answered(service, path, request, answer)

    monkeypatch.setattr(Platform, "handle", documented_handle)
    monkeypatch.setattr(GatewayClient, "stream", reporting(stream))


# Requests


def _asked(service: str, path: list[str], request: Request) -> Request:
    """Give a stand-in what a documented service reads, by the stand-in's own names."""
    read = _READ.get((service, path[-1] if path else "")) if request.method in {"POST", "PUT"} else None
    if service == "tool_registry" and path[-1:] == ["tools"]:
        return request
    if read is None or not request.body:
        return request
    message = orjson.loads(request.body)
    if isinstance(message.get("payload"), dict):
        message["payload"] = read(message["payload"], message.get("metadata") or {})
    return evolve(request, body=orjson.dumps(message))


def _stored_message(payload: Fields, metadata: Fields) -> Fields:
    message = payload["message"]
    own = {"message_id": message["id"], "role": message["role"], "content": message["content"]}
    return own | {"created_at": message["timestamp"], "content_type": message["content_type"]}


def _tool_result(payload: Fields, metadata: Fields) -> Fields:
    beside = {name: payload.get(name) for name in ("status", "error_message", "stream")}
    return {
        "task_id": payload.get("task_id"),
        "tool_call_id": payload["call_id"],
        "result": payload["result"],
        **beside,
    }


def _engine_input(payload: Fields, metadata: Fields) -> Fields:
    return {"node_id": payload["node_id"], "input": payload["input_data"]}


def _engine_execute(payload: Fields, metadata: Fields) -> Fields:
    return {name: payload[name] for name in ("workflow_id", "input", "execution_options")} | {
        "task_id": metadata.get("task_id") or payload.get("execution_id")
    }


_READ: Final[dict[tuple[str, str], Callable[[Fields, Fields], Fields]]] = {
    ("conversation", "messages"): _stored_message,
    ("agent_execution", "tool_result"): _tool_result,
    ("workflow_engine", "input"): _engine_input,
    ("workflow_engine", "execute"): _engine_execute,
}


# Answers


def _answered(service: str, path: list[str], request: Request, answer: SandboxAnswer) -> SandboxAnswer:
    if isinstance(answer, Stream):
        return _streamed(answer) if service == "agent_execution" else answer
    if path == ["health"] or service in {"control", "examples", "query", "embedding"}:
        return answer
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return answer
    if answer.status >= 400:
        told = _failure(service, answer.status, body["error"])
    elif service == "agent_execution" and "type" in body:
        told = _agent_message(body)
    else:
        write = _WRITTEN.get((service, _operation(path, request)))
        told = body if write is None else write(body.get("payload"), request)
    status = answer.status
    if told.get("type") == {"domain": "tool", "action": "error"} and status < 400:
        status = 400
    # Indented JSON is JSON.
    return evolve(answer, status=status, body=orjson.dumps(told, option=orjson.OPT_INDENT_2))


def _operation(path: list[str], request: Request) -> str:
    last = path[-1]
    if last in {"conversations", "messages", "execute", "async-execute", "tools"}:
        return f"{request.method} {last}"
    return f"{request.method} {path[-2]}/" if len(path) > 1 else request.method


def _streamed(stream: Stream) -> Stream:
    """Translate line by line; a line that is cut stays as it came."""

    async def run(writer: Writer) -> object:
        return await stream.run(_Translating(writer))

    return Stream(run, stream.content_type)


class _Translating(Writer):
    def __init__(self, inner: Writer) -> None:
        super().__init__(inner.send)

    async def send(self, piece: bytes) -> None:
        lines = piece.splitlines(keepends=True)
        await super().send(b"".join(_line(line) if line.endswith(b"\n") else line for line in lines))


def _line(line: bytes) -> bytes:
    return orjson.dumps(_agent_message(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE)


def _envelope(domain: str, action: str, service: str, status: str = "completed", **fields: Any) -> Fields:
    return {
        "message_id": new_id(),
        "correlation_id": new_id(),
        "created_at": to_timestamp(now_ms()),
        "schema_version": "1.1",
        "status": status,
        "type": {"domain": domain, "action": action},
        "priority": 2,
        "source_service": service,
        "target_service": "agent_orchestrator",
        **fields,
    }


def _agent_message(said: Fields) -> Fields:
    """Write a message of an agent as it is documented: a token, a status, a tool request, an answer, a failure."""
    action, payload = said["type"]["action"], said.get("payload") or said.get("error") or {}
    metadata = {"trace_id": new_id(), **(said.get("metadata") or {})}
    if action == "status":
        payload = {"progress": 50, "status_detail": payload["status"]}
    elif action == "tool_request":
        payload = {
            "tool_name": payload["tool_id"],
            "call_id": payload["tool_call_id"],
            "parameters": payload["parameters"],
        }
    elif action == "response":
        calls = [{"tool_name": call["tool_id"], "parameters": call["parameters"]} for call in payload["tool_calls"]]
        payload = {name: payload[name] for name in ("response", "completion_tokens", "total_tokens", "sources")}
        payload |= {"tool_calls": calls, "thinking_process": ""}
    elif action == "error":
        category = "dependency" if payload.get("retryable") else "execution"
        metadata |= {"error_code": payload["code"], "error_category": category}
        payload = {"error_message": payload["message"], "error_details": ""}
    status = {"response": "completed", "error": "error"}.get(action, "processing")
    task = {"task_id": said["task_id"]} if "task_id" in said else {}
    return _envelope("agent", action, "agent_execution", status, metadata=metadata, payload=payload, **task)


def _message(stored: Fields) -> Fields:
    return {
        "id": stored["message_id"],
        "role": stored["role"],
        "content": stored["content"],
        "timestamp": stored["created_at"],
        "content_type": stored["content_type"],
        "tokens": len(stored["content"].split()),
    }


def _created(payload: Fields, request: Request) -> Fields:
    about = {"conversation_id": payload["conversation_id"], "agent_id": payload.get("agent_id")}
    return _envelope("conversation", "created", "conversation_service", metadata={}, payload=about)


def _stored(payload: Fields, request: Request) -> Fields:
    return _envelope("message", "stored", "conversation_service", metadata={}, payload={"id": payload["message_id"]})


def _messages(payload: Fields, request: Request) -> Fields:
    told = {"messages": [_message(one) for one in payload["messages"]], "has_more": payload["has_more"]}
    return _envelope("message", "list", "conversation_service", metadata={}, payload=told)


def _context(payload: Fields, request: Request) -> Fields:
    messages = [_message(one) for one in payload["messages"]]
    told = {**payload, "messages": messages, "included_messages": len(messages), "context_type": "chat_history"}
    return _envelope("context", "result", "conversation_service", metadata={}, payload=told)


def _tool(tool: Fields) -> Fields:
    return {
        "tool_id": tool["tool_id"],
        "tool_name": tool["name"],
        "tool_type": "external_api",
        "description": tool["description"],
        "version": "1.0.0",
        "parameters_schema": tool["parameters"],
    }


def _tools(payload: Fields, request: Request) -> Fields:
    page, tools = int(request.query.get("page", "1")), payload["tools"]
    shown = [_tool(tool) for tool in tools[(page - 1) * _PAGE : page * _PAGE]]
    told = {"tools": shown, "pagination": {"total": len(tools), "page": page, "limit": _PAGE}}
    metadata = {"count": len(shown), "total": len(tools)}
    return _envelope("tool", "list", "tool_registry", metadata=metadata, payload=told)


def _one_tool(payload: Fields, request: Request) -> Fields:
    return _envelope("tool", "get", "tool_registry", metadata={}, payload=_tool(payload))


def _ran(payload: Fields, request: Request) -> Fields:
    if payload["status"] == "error":
        context = {"tool_id": payload["tool_id"], "retryable": False, "retry_after": 0}
        error = {"code": "tool.execute.failed", "message": payload["error_message"], "details": "", "context": context}
        return _envelope("tool", "error", "tool_registry", metadata={"http_status": 400}, error=error)
    metadata = {"execution_time_ms": round(payload["execution_time_ms"])}
    told = {"task_id": new_id(), "status": "completed", "result": payload["result"]}
    return _envelope("tool", "result", "tool_registry", metadata=metadata, payload=told)


def _begun(payload: Fields, request: Request) -> Fields:
    told = {"task_id": payload["task_id"], "status": "pending"}
    return _envelope("tool", "accepted", "tool_registry", "pending", metadata={}, payload=told)


def _configuration(payload: Fields, request: Request) -> Fields:
    tools = [{"tool_id": tool_id, "parameters": {}} for tool_id in payload["tools"]]
    names = ("agent_id", "version", "name", "description", "parameters", "system_prompt", *_CLIENT)
    told = {name: payload[name] for name in names} | {
        "tools": tools,
        "memory": {"factual_knowledge": [], "preferences": {}},
        "permissions": {"can_use_tools": True, "allowed_collections": []},
    }
    return _envelope("agent", "configuration", "agent_management", metadata={}, payload=told)


def _execution(payload: Fields, request: Request) -> Fields:
    words = {"running": "in_progress", "completed": "successful"}
    done, total = payload.get("steps_completed", 0), payload.get("steps_total", 0)
    told = {
        "execution_id": payload["execution_id"],
        "workflow_id": payload.get("workflow_id", ""),
        "status": words.get(payload["status"], payload["status"]),
        "current_step": {"step_id": payload.get("current_step"), "started_at": to_timestamp(now_ms())},
        "progress": {"completed_steps": done, "total_steps": total, "percentage": 100 * done // max(total, 1)},
    }
    kind = {"domain": "workflow", "action": "status"}
    return {"request_id": new_id(), "type": kind, "schema_version": "1.0", "status": "success", "data": told}


_WRITTEN: Final[dict[tuple[str, str], Callable[[Fields, Request], Fields]]] = {
    ("conversation", "POST conversations"): _created,
    ("conversation", "POST messages"): _stored,
    ("conversation", "GET messages"): _messages,
    ("conversation", "GET context/"): _context,
    ("tool_registry", "GET tools"): _tools,
    ("tool_registry", "GET tools/"): _one_tool,
    ("tool_registry", "POST execute"): _ran,
    ("tool_registry", "POST async-execute"): _begun,
    ("workflow_engine", "POST execute"): _execution,
    ("workflow_engine", "GET executions/"): _execution,
}


# Failures


def _failure(service: str, status: int, error: Fields) -> Fields:
    """Write a refusal as the service's document has it; the code stands at another place in each."""
    code, message, later = error["code"], error["message"], status in LATER
    if service == "conversation":
        told = {"code": code, "message": message, "details": "", "severity": "error", "user_message": message}
        return _envelope("context", "error", "conversation_service", metadata={}, error=told) | {"status": status}
    if service == "tool_registry":
        context = {"retryable": later, "retry_after": 0}
        told = {"code": code, "message": message, "details": "", "severity": "warning", "context": context}
        return _envelope("tool", "error", "tool_registry", metadata={"http_status": status}, error=told)
    if service == "agent_management":
        told = {"code": code, "http_status": status, "message": message, "details": {}, "retry_allowed": later}
        return _envelope("agent", "configuration", service, "error", metadata={"error": told}, payload={})
    if service == "workflow_engine":
        told = {"code": code, "http_status": status, "message": message, "retryable": later, "details": {}}
        return _envelope("workflow", "error", "workflow-engine", "error", error=told)
    category = "dependency" if later else "client"
    metadata = {"error_code": code, "error_category": category, "error_message": message}
    return _envelope("agent", "error", service, "error", metadata=metadata, payload={"error_details": {}})


# Reports on work that was taken on


def reporting(stream: Any) -> Any:
    """Report what services tell of the engine's runs and of tools by the documented routes and messages."""

    @asynccontextmanager
    async def report(
        client: GatewayClient,
        tenant_id: str,
        route: str,
        body: Fields,
        **belongs: str | None,
    ) -> AsyncIterator[httpx.Response]:
        told = _report(route, body)
        if told is None:
            async with stream(client, tenant_id, route, body, **belongs) as response:
                yield response
            return
        path, message = told
        headers = {"X-Tenant-ID": tenant_id, "X-API-Key": client.api_key or ""}
        url = f"{str(client.url).rstrip('/')}/api/v1/orchestrator/{path}"
        sent = {**message, "tenant_id": tenant_id}
        try:
            async with posted(client._client, url, sent, headers, TIMEOUT) as response:  # it stands for it
                if response.status_code >= 300:
                    await response.aread()
                    final = 400 <= response.status_code < 500 and response.status_code != 429
                    raise GatewayRefused(f"{path} was refused: {response.text}", final=final)
                yield response
        except httpx.HTTPError as error:
            raise GatewayRefused(f"{path} did not reach the orchestrator: {error!r}.") from error

    return report


def _report(route: str, body: Fields) -> tuple[str, Fields] | None:
    action, _, task_id = route.partition("/")
    write: Callable[[str, Fields], tuple[str, Fields] | None] | None = {
        "task.progress": _progress,
        "task.complete": _ended,
        "task.fail": _failed,
    }.get(action)
    return None if write is None else write(task_id, body)


def _engine(action: str, status: str, task_id: str, execution_id: str, **fields: Any) -> tuple[str, Fields]:
    message = _envelope("workflow", action, "workflow-engine", status, **fields)
    message |= {"task_id": task_id, "metadata": {"execution_id": execution_id}}
    return "workflows/callback", message


def _progress(task_id: str, body: Fields) -> tuple[str, Fields] | None:
    if "execution_id" not in body:
        # The documents say of agents and tools how far they are in streams alone.
        return None
    if body.get("input_request"):
        asked = body["input_request"]
        payload = {"request_id": asked["node_id"], "step_id": asked["node_id"], "prompt": asked["prompt"]}
        payload |= {"schema": asked["schema"]} if asked.get("schema") else {}
        return _engine("input_request", "processing", task_id, body["execution_id"], payload=payload)
    done, total = body["steps_completed"], body["steps_total"]
    payload = {
        "workflow_status": "running",
        "current_step": done + 1,
        "total_steps": total,
        "completed_steps": done,
        "progress_percentage": 100 * done / total,
        "steps_status": [{"step_id": body["current_step"], "name": body["current_step"], "status": "running"}],
    }
    return _engine("status", "processing", task_id, body["execution_id"], payload=payload)


def _ended(task_id: str, body: Fields) -> tuple[str, Fields] | None:
    result = body["result"]
    if isinstance(result, dict) and {"execution_id", "results"} <= result.keys():
        payload = {"result": result, "execution_details": {"error": None}}
        told = _engine("result", "completed", task_id, result["execution_id"], payload=payload)
        told[1]["original_task_id"] = task_id
        return told
    if isinstance(result, dict) and "tool_id" in result:
        ran = {"tool_id": result["tool_id"], "result": result["result"], "status": "completed"}
        message = _envelope("tool", "result", "tool_registry", metadata={"source_task_id": task_id}, payload=ran)
        return "tool-callbacks", message
    return None


def _failed(task_id: str, body: Fields) -> tuple[str, Fields] | None:
    error = body["error"]
    family = str(error["code"]).partition("_")[0]
    if family == "WFLOW":
        metadata = {"error_code": error["code"], "error_message": error["message"], "error_category": "execution"}
        message = _envelope("workflow", "error", "workflow_engine", "error", metadata=metadata, payload={})
        return "workflows/callback", message | {"task_id": task_id}
    if family == "TOOL":
        message = _envelope("tool", "error", "tool_registry", "error", metadata={"source_task_id": task_id})
        message |= {"error": {**error, "context": {"retryable": False}}}
        return "tool-callbacks", message
    return None
