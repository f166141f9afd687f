"""Conversation: stores messages in memory and, where there is a directory, in a file of JSON lines."""

from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from attrs import define, field

from orchestrator.clients.conversation import APPEND, CONTEXT, CREATE, DELETE, MEMORY, MESSAGES, REMEMBER
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.sandbox.serving.http_server import SandboxReply
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn, payload_reply
from orchestrator.sandbox.serving.text import count_tokens

ROLES: Final = frozenset({"user", "assistant", "system", "tool"})


@define
class _Conversation:
    """One conversation and its messages, oldest first."""

    about: dict[str, Any]
    messages: dict[str, dict[str, Any]] = field(factory=dict)
    memory: dict[str, tuple[Any, int | None]] = field(factory=dict)
    """Values, and the moments (ms) until which they are kept, by key; not written to the file."""


class ConversationService:
    """The Conversation service.

    Args:
        data_dir: folder of `conversations.jsonl`; None: everything stays in memory.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        self._conversations: dict[tuple[str, str], _Conversation] = {}
        self._file: BinaryIO | None = None
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._file = self._load(data_dir / "conversations.jsonl")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    async def create(self, call: SandboxCall) -> SandboxReply:
        """Create a conversation; one that exists is returned as it is."""
        conversation_id = call.get("conversation_id", str, new_id())
        found = self._conversations.get((call.tenant_id, conversation_id))
        if found is not None:
            return payload_reply(found.about)
        about = {
            "conversation_id": conversation_id,
            "session_id": call.get("session_id", str, None),
            "agent_id": call.get("agent_id", str, None),
            "user_id": call.get("user_id", str, None),
            "created_at": to_timestamp(now_ms()),
        }
        self._record({"op": "create", "tenant_id": call.tenant_id, "about": about})
        return payload_reply(about, 201)

    async def append(self, call: SandboxCall) -> SandboxReply:
        """Add a message; where its id exists, the earlier message is returned."""
        conversation = self._find(call)
        role = call.get("role", str)
        if role not in ROLES:
            raise SandboxRefusal(400, "CONV_VAL_001", f"role must be one of {', '.join(sorted(ROLES))}.")
        message = {
            "message_id": call.get("message_id", str, new_id()),
            "role": role,
            "content": call.get("content", str),
            "content_type": call.get("content_type", str, "text/plain"),
            "created_at": call.get("created_at", str, to_timestamp(now_ms())),
            "metadata": call.get("metadata", dict, {}),
        }
        earlier = conversation.messages.get(message["message_id"])
        if earlier is not None:
            return payload_reply(earlier)
        self._record({"op": "append", **self._name(call), "message": message})
        return payload_reply(message, 201)

    async def messages(self, call: SandboxCall) -> SandboxReply:
        """Return the last messages, or those before or after one, oldest first."""
        messages = list(self._find(call).messages.values())
        limit = call.number("limit", 50, most=200)
        ids = [message["message_id"] for message in messages]
        first = _index(call, "after", ids, -1) + 1
        end = _index(call, "before", ids, len(ids))
        if "after" in call.request.query:
            page, more = messages[first:end][:limit], end - first > limit
        else:
            page, more = messages[:end][-limit:], end > limit
        return payload_reply({"messages": page, "has_more": more})

    async def delete(self, call: SandboxCall) -> SandboxReply:
        """Delete a message."""
        if call.params["message_id"] not in self._find(call).messages:
            raise call.missing("message", 2)
        self._record({"op": "delete", **self._name(call), "message_id": call.params["message_id"]})
        return payload_reply({"message_id": call.params["message_id"], "deleted": True})

    async def context(self, call: SandboxCall) -> SandboxReply:
        """Return the last messages that fit into a number of tokens."""
        messages = list(self._find(call).messages.values())
        left = call.number("max_tokens", 4000, most=1_000_000)
        taken: list[dict[str, Any]] = []
        total = 0
        for message in reversed(messages[-call.number("message_count", 20, most=1000) :]):
            tokens = count_tokens(message["content"])
            if total + tokens > left:
                break
            total += tokens
            taken.append(message)
        earlier = len(messages) - len(taken)
        return payload_reply(
            {
                "messages": taken[::-1],
                "context_summary": f"{earlier} earlier messages are left out." if earlier else "",
                "total_tokens": total,
                "has_more": earlier > 0,
            }
        )

    async def remember(self, call: SandboxCall) -> SandboxReply:
        """Keep a value under a key, for a number of seconds or as long as the conversation is there."""
        memory, key = self._find(call).memory, call.get("memory_key", str)
        seconds = call.payload.get("ttl")
        until = now_ms() + round(seconds * 1000) if isinstance(seconds, int | float) else None
        memory[key] = (call.payload.get("memory_value"), until)
        return payload_reply({"memory_key": key})

    async def memory(self, call: SandboxCall) -> SandboxReply:
        """Return the value of a key."""
        key = call.request.query.get("memory_key", "")
        value, until = self._find(call).memory.get(key, (None, 0))
        if until is not None and until <= now_ms():
            raise call.missing("memory", 3)
        return payload_reply({"memory_key": key, "memory_value": value})

    def _name(self, call: SandboxCall) -> dict[str, str]:
        return {"tenant_id": call.tenant_id, "conversation_id": call.params["conversation_id"]}

    def _find(self, call: SandboxCall) -> _Conversation:
        found = self._conversations.get((call.tenant_id, call.params["conversation_id"]))
        if found is None:
            raise call.missing("conversation")
        return found

    def _record(self, entry: dict[str, Any]) -> None:
        """Apply an entry, after it was written to the file."""
        if self._file is not None:
            self._file.write(orjson.dumps(entry) + b"\n")
            self._file.flush()
        self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        tenant_id = entry["tenant_id"]
        if entry["op"] == "create":
            self._conversations[tenant_id, entry["about"]["conversation_id"]] = _Conversation(entry["about"])
            return
        messages = self._conversations[tenant_id, entry["conversation_id"]].messages
        if entry["op"] == "append":
            messages[entry["message"]["message_id"]] = entry["message"]
        else:
            messages.pop(entry["message_id"], None)

    def _load(self, path: Path) -> BinaryIO:
        """Read the file, and open it for appending; a torn last line is cut off."""
        good = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                self._apply(orjson.loads(line))
                good += len(line)
        file = path.open("ab")
        file.truncate(good)
        return file


def _index(call: SandboxCall, name: str, ids: list[str], default: int) -> int:
    message_id = call.request.query.get(name)
    if message_id is None:
        return default
    if message_id not in ids:
        raise call.missing("message", 2)
    return ids.index(message_id)


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = ConversationService(resources.data_dir)
    resources.closing.callback(service.close)
    return StandIn(
        "CONV",
        (
            SandboxRoute(CREATE, service.create, creates=True),
            SandboxRoute(MESSAGES, service.messages),
            SandboxRoute(APPEND, service.append, creates=True),
            SandboxRoute(DELETE, service.delete),
            SandboxRoute(CONTEXT, service.context),
            SandboxRoute(REMEMBER, service.remember),
            SandboxRoute(MEMORY, service.memory),
        ),
    )
