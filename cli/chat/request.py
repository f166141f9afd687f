"""What a chat is asked for; without what a chat needs, which the help and the completion of the command do without."""

from typing import Final

from attrs import frozen

from cli.core.selection import current_options

ANSWER_SECONDS: Final = 900.0
"""The usual time limit for an answer; the deadline of the service comes long before."""
_FORMS: Final = frozenset({"json", "jsonl", "yaml"})


@frozen
class ChatRequest:
    """The options of a chat."""

    agent_id: str | None = None
    """None: that of the session, or docs-guide."""
    session_id: str | None = None
    """None: a new session."""
    continues: bool = False
    """Whether the last session is continued; with `agent_id` the last one with that agent."""
    message: str | None = None
    """None: an interactive chat."""
    timeout: float = ANSWER_SECONDS
    """How long an answer is waited for, in seconds; of a single message also the way to the service."""
    yes: bool = False
    """Whether actions are confirmed without a user."""
    owns_stack: bool = False
    """Whether the stack ends with the chat."""


def is_data() -> bool:
    """Tell whether `-o` asks for data instead of text."""
    return current_options().format in _FORMS
