"""The operations of the seven services: one table for the clients, both transports, plans and their validation.

The parameters of a call are the operation's path parameters, the fields of its query and those of its payload together.
"""

from collections.abc import Mapping
from string import Formatter
from typing import Any, Final

from attrs import field, frozen


def _in_path(template: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)


@frozen
class Operation:
    """Something that a service can be asked for."""

    service: str
    """As in the settings: `conversation`, `agent_execution`."""
    name: str
    method: str
    path: str
    """Below the service's base URL, with `{parameters}`; `{tenant_id}` is filled in from the call's context."""
    required: tuple[str, ...] = ()
    """Parameters beside those of the path that a call must have."""
    optional: tuple[str, ...] = ()
    domain: str = ""
    """Of the message's type, at level 2; empty at level 3, whose bodies are plain fields."""
    idempotent: bool = False
    """Whether doing it twice is doing it once: because it only reads, or because its effect is named by a key."""
    streams: bool = False
    """Whether its answer may come as newline-delimited messages."""
    delegable: bool = False
    """Whether the service may answer 202 and send the result later, as `task.*`."""
    path_parameters: tuple[str, ...] = field(init=False)

    @path_parameters.default
    def _path_parameters(self) -> tuple[str, ...]:
        return tuple(name for name in _in_path(self.path) if name != "tenant_id")

    @property
    def key(self) -> tuple[str, str]:
        """The service and the name."""
        return self.service, self.name

    def faults(self, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return what is wrong with the names of parameters: (name, fault)."""
        needed = {*self.path_parameters, *self.required}
        missing = [(name, "required field is missing") for name in sorted(needed - parameters.keys())]
        unknown = sorted(parameters.keys() - needed - set(self.optional))
        return missing + [(name, f"is no parameter of {self.service}.{self.name}") for name in unknown]


_TABLE: Final = (
    Operation(
        "conversation",
        "create",
        "POST",
        "/api/v1/conversations",
        required=("user_id", "agent_id"),
        optional=("conversation_id", "session_id"),
        domain="conversation",
        idempotent=True,
    ),
    Operation(
        "conversation",
        "append",
        "POST",
        "/api/v1/conversations/{conversation_id}/messages",
        required=("role", "content"),
        optional=("message_id", "content_type", "created_at", "metadata"),
        domain="conversation",
        idempotent=True,
    ),
    Operation(
        "conversation",
        "messages",
        "GET",
        "/api/v1/conversations/{conversation_id}/messages",
        optional=("before", "after", "limit"),
        domain="conversation",
        idempotent=True,
    ),
    Operation(
        "conversation",
        "delete",
        "DELETE",
        "/api/v1/conversations/{conversation_id}/messages/{message_id}",
        domain="conversation",
        idempotent=True,
    ),
    Operation(
        "conversation",
        "context",
        "GET",
        "/api/v1/internal/context/{conversation_id}",
        optional=("max_tokens", "message_count"),
        domain="conversation",
        idempotent=True,
    ),
    Operation("agent_management", "list", "GET", "/api/v1/agents/{tenant_id}", domain="agent", idempotent=True),
    Operation(
        "agent_management",
        "get",
        "GET",
        "/api/v1/agents/{tenant_id}/{agent_id}",
        optional=("version",),
        domain="agent",
        idempotent=True,
    ),
    Operation(
        "agent_management",
        "feedback",
        "POST",
        "/api/v1/agents/{tenant_id}/{agent_id}/feedback",
        optional=("rating", "comment", "message_id", "session_id", "user_id", "metadata"),
        domain="agent",
        idempotent=True,
    ),
    Operation(
        "agent_execution",
        "execute",
        "POST",
        "/api/v1/agents/{agent_id}/execute",
        required=("query",),
        optional=("agent_config", "context", "stream", "tools", "max_tokens", "task_id"),
        domain="agent",
        streams=True,
        delegable=True,
    ),
    Operation(
        "agent_execution",
        "tool_result",
        "POST",
        "/api/v1/tasks/{task_id}/tool_result",
        required=("tool_call_id", "status"),
        optional=("result", "error_message", "stream"),
        domain="agent",
        idempotent=True,
        streams=True,
    ),
    Operation("agent_execution", "cancel", "POST", "/api/v1/tasks/{task_id}/cancel", domain="agent", idempotent=True),
    Operation("agent_execution", "get", "GET", "/api/v1/tasks/{task_id}", domain="agent", idempotent=True),
    Operation(
        "workflow_engine",
        "definitions",
        "GET",
        "/api/v1/workflow/definitions",
        domain="workflow",
        idempotent=True,
    ),
    Operation(
        "workflow_engine",
        "definition",
        "GET",
        "/api/v1/workflow/definitions/{workflow_id}",
        domain="workflow",
        idempotent=True,
    ),
    Operation(
        "workflow_engine",
        "validate",
        "POST",
        "/api/v1/workflow/validate",
        required=("steps",),
        optional=("workflow_id", "version", "name", "description"),
        domain="workflow",
        idempotent=True,
    ),
    Operation(
        "workflow_engine",
        "execute",
        "POST",
        "/api/v1/workflow/execute",
        required=("workflow_id", "input"),
        optional=("task_id",),
        domain="workflow",
        delegable=True,
    ),
    Operation(
        "workflow_engine",
        "get",
        "GET",
        "/api/v1/workflow/executions/{execution_id}",
        domain="workflow",
        idempotent=True,
    ),
    Operation(
        "workflow_engine",
        "cancel",
        "POST",
        "/api/v1/workflow/executions/{execution_id}/cancel",
        optional=("reason",),
        domain="workflow",
        idempotent=True,
    ),
    Operation(
        "workflow_engine",
        "input",
        "POST",
        "/api/v1/workflow/executions/{execution_id}/input",
        required=("node_id", "input"),
        domain="workflow",
    ),
    Operation("tool_registry", "list", "GET", "/api/v1/tools", optional=("agent_id",), domain="tool", idempotent=True),
    Operation("tool_registry", "get", "GET", "/api/v1/tools/{tool_id}", domain="tool", idempotent=True),
    Operation(
        "tool_registry",
        "execute",
        "POST",
        "/api/v1/tools/execute",
        required=("tool_id", "parameters"),
        domain="tool",
    ),
    Operation(
        "tool_registry",
        "async_execute",
        "POST",
        "/api/v1/tools/async-execute",
        required=("tool_id", "parameters"),
        optional=("task_id",),
        domain="tool",
        delegable=True,
    ),
    Operation(
        "query",
        "generate",
        "POST",
        "/api/v1/internal/query",
        required=("query",),
        optional=(
            "tenant_id",
            "query_embedding",
            "collection_id",
            "agent_id",
            "conversation_id",
            "similarity_top_k",
            "llm_model",
            "max_tokens",
            "temperature",
            "stream",
        ),
        streams=True,
    ),
    Operation(
        "query",
        "search",
        "POST",
        "/api/v1/internal/search",
        optional=("tenant_id", "query", "query_embedding", "collection_id", "agent_id", "similarity_top_k"),
        idempotent=True,
    ),
    Operation(
        "embedding",
        "create",
        "POST",
        "/api/v1/internal/enhanced_embed",
        required=("texts",),
        optional=("tenant_id", "model", "collection_id", "agent_id"),
        idempotent=True,
    ),
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {operation.key: operation for operation in _TABLE}
"""Every operation that is used, by service and name."""
