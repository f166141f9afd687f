"""Messages of agents: each line of an agent's stream as one of the pieces that it is made of."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, frozen

from orchestrator.clients.dialects.answers import TOOL_REQUEST
from orchestrator.clients.transport.answers import ServiceAnswer, whole_characters
from orchestrator.clients.transport.http_errors import told_error
from orchestrator.clients.transport.messages import body_of, kind, payload
from orchestrator.dialects.engine_runs import own_names, percent, share
from orchestrator.dialects.failures import failure_in, read_failure
from orchestrator.models.agents.agent import (
    AgentAccepted,
    AgentPiece,
    AgentResponse,
    AgentStatus,
    AgentToken,
    ToolRequest,
)
from orchestrator.models.events.events import StreamContent
from orchestrator.models.sessions.chat import Usage

LONGEST_KIND: Final = 50
LONGEST_DETAIL: Final = 500
"""Characters of what an agent says of its own work that are passed on."""
LONGEST_ESTIMATE: Final = 86_400 * 365
"""Seconds beyond which an estimate is none."""
_CONTENTS: Final = {content.value: content for content in StreamContent}
_TOKEN: Final = {"domain": "agent", "action": "token"}


@frozen
class UnknownPiece:
    """A message or a token of a kind that is not known here."""

    kind: str


def read_message(said: ServiceAnswer) -> AgentPiece | UnknownPiece:
    """Read a message of an agent.

    Raises:
        InvalidAnswer: it is malformed.
        ServiceRefused, ReportedFailure: the agent failed.
    """
    return _plain_token(said.fields) or _read(said)


def _plain_token(fields: Mapping[str, Any]) -> AgentToken | None:
    """Return a token as most are told, by a few looks, for a turn has hundreds; None: it is for `_read` to say."""
    said = fields.get("payload")
    if fields.get("type") != _TOKEN or "error" in fields or type(said) is not dict:
        return None
    text, content, is_last = (
        said.get("token"),
        said.get("content_type", StreamContent.RESPONSE.value),
        said.get("is_last", False),
    )
    if type(text) is not str or type(content) is not str or content not in _CONTENTS or type(is_last) is not bool:
        return None
    return AgentToken(text, _CONTENTS[content], is_last)


def _read(said: ServiceAnswer) -> AgentPiece | UnknownPiece:
    if "type" not in said.fields and said.mapping("payload", {}).get("status") == "accepted":
        return AgentAccepted(said.inner("payload").text("task_id", ""))
    # An error needs no type: it is one whatever it stands in.
    name = kind(said) if "type" in said.fields or failure_in(said.fields) is None else "agent.error"
    if "." not in name:
        # The name of a server-sent event, such as `token`.
        name = f"agent.{name}"
    if name == "agent.token" and "error" not in said.fields:
        return _token(body_of(said))
    if said.halves:
        said = evolve(said, fields=whole_characters(said.service, said.fields))
    if name == "agent.response":
        return response_of(payload(said, own=True))
    if name == "agent.tool_request":
        asked = payload(said, own=True)
        asked = evolve(asked, fields=own_names(asked.fields, TOOL_REQUEST))
        return ToolRequest(asked.text("tool_call_id"), asked.text("tool_id"), asked.mapping("parameters", {}))
    failure = read_failure(said.fields) if name == "agent.error" else failure_in(said.fields)
    if failure is not None:
        raise told_error(said.service, failure, own=True)
    if name == "agent.status":
        return _status(body_of(said))
    if name == "agent.token":
        return _token(body_of(said))
    return UnknownPiece(_printable(name))


def _status(said: ServiceAnswer) -> AgentStatus:
    seconds, content = said.fields.get("estimated_completion_seconds"), said.mapping("stream_content", {})
    thought = content.get("content") if content.get("type") == StreamContent.THINKING else None
    detail = said.fields.get("status_detail")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST_ESTIMATE
    return AgentStatus(
        said.text("status", ""),
        share(percent(said.fields)),
        detail[:LONGEST_DETAIL] if isinstance(detail, str) and detail else None,
        seconds if known else None,
        thought if isinstance(thought, str) else "",
    )


def _token(said: ServiceAnswer) -> AgentToken | UnknownPiece:
    name = said.text("content_type", StreamContent.RESPONSE.value)
    if name not in _CONTENTS:
        return UnknownPiece(_printable(f"agent.token:{name}"))
    return AgentToken(said.text("token"), _CONTENTS[name], said.truth("is_last", default=False))


def _printable(kind: str) -> str:
    """Return a kind as it may stand in a log: agents may give any text for one."""
    return kind[:LONGEST_KIND].encode("unicode_escape").decode()


def response_of(said: ServiceAnswer) -> AgentResponse:
    """Read the payload of `agent.response`; InvalidAnswer where it is something else."""
    completion = said.whole("completion_tokens", 0)
    total = said.whole("total_tokens", completion + said.whole("prompt_tokens", 0))
    usage = Usage(said.whole("prompt_tokens", max(total - completion, 0)), completion, total)
    return AgentResponse(
        said.text("response"),
        said.mappings("sources", []),
        said.mappings("tool_calls", []),
        usage,
        said.text("thinking_process", ""),
    )
