"""Codes of failures that the platform's documents give their services, and what each of them means."""

from typing import Final

CODES: Final[dict[str, tuple[int | None, bool]]] = {
    "AGEX_VAL_001": (400, False),
    "AGEX_EXEC_001": (500, True),
    "AGEX_EXEC_002": (504, True),
    "AGEX_CONN_001": (502, True),
    "AGEX_RATE_001": (429, True),
    "CONV_VAL_001": (400, False),
    "CONV_DB_001": (500, True),
    "CONV_DB_002": (404, False),
    "CONV_SYS_001": (500, True),
    "WFLOW_VAL_001": (400, False),
    "WFLOW_EXEC_001": (500, True),
    "WFLOW_EXEC_002": (504, True),
    "WFLOW_DB_001": (404, False),
    "TOOL_VAL_001": (400, False),
    "TOOL_EXEC_001": (500, True),
    "TOOL_EXEC_002": (504, True),
    "TOOL_DB_001": (404, False),
    "TOOL_CONN_001": (502, True),
    "workflow.define.validation_error": (400, False),
    "workflow.execute.timeout": (408, True),
    "workflow.execute.step_failed": (400, True),
    "workflow.service.unavailable": (503, True),
    "workflow.input.timeout": (408, True),
    "workflow.access.forbidden": (403, False),
    "tool.execute.failed": (400, True),
    "integration.invoke.failed": (502, True),
    "conversation.retrieve.not_found": (404, False),
    "conversation.create.duplicate": (409, False),
    "message.store.validation_error": (400, False),
    "context.retrieve.processing_error": (500, True),
    "memory.update.exceeded_limit": (413, False),
    "system.auth.unauthorized": (401, False),
    "system.rate.limit_exceeded": (429, True),
    "system.resource.unavailable": (503, True),
    "tool.get.not_found": (None, False),
    "tool.execute.invalid_parameters": (None, False),
    "tool.execute.internal_error": (None, True),
    "tool.execute.rate_limit_exceeded": (None, True),
    "tool.execute.timeout": (None, True),
    "tool.execute.permission_denied": (None, False),
    "auth.validate.invalid_token": (None, False),
    "agent.configuration.not_found": (404, False),
    "agent.version.invalid": (None, False),
    "agent.memory.access_denied": (None, False),
    "service.unavailable": (None, True),
    "service.timeout": (None, True),
    "security.authentication": (None, False),
    "schema.validation": (None, False),
}
"""HTTP status, where the documents give one, and whether a later try may succeed, by code."""

LATER: Final = frozenset({"dependency", "server", "timeout", "quota"})
"""Categories of failures of which a later try may succeed."""
NEVER: Final = frozenset({"client", "validation", "security", "execution"})
"""Categories of which none may, whatever else is said."""
RECOVERIES: Final = frozenset({"retry", "circuit-breaker", "fallback"})
"""What a service advises to do about a failure that may pass."""
