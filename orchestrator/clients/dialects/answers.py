"""Names by which the platform's documents have fields of answers, and the service's own for each."""

from typing import Final

MESSAGE: Final = {"id": "message_id", "timestamp": "created_at"}
"""Of a message of a conversation."""
CONVERSATION: Final = {"id": "conversation_id"}
TOOL: Final = {"tool_name": "name", "parameters_schema": "parameters"}
TOOL_REQUEST: Final = {"tool_name": "tool_id", "call_id": "tool_call_id"}
