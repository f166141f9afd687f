"""Appends to event logs as the scripts of the store do."""

from typing import Any, Final

import orjson
from attrs import field, frozen

from orchestrator.models.events.events import ChatStatusUpdate, ChatStream, StateUpdate
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.store.events.frames import make_body
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis

_APPEND: Final = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], '0-' .. offset, 'e', epoch, 'n', ARGV[2], 'b', ARGV[3])
if ARGV[5] == '1' then
  redis.call('PUBLISH', ARGV[1], offset .. ' ' .. epoch .. ' ' .. ARGV[2] .. '\\n' .. ARGV[3])
end
return offset
"""


@frozen
class LogWriter:
    """Writes to the log of one session."""

    redis: Redis
    tenant_id: str = "acme"
    session_id: str = "s1"
    keys: Keys = field(factory=Keys)

    async def begin(self, epoch: str = "e1") -> None:
        """Make the session, as far as a log needs it; an older log is gone."""
        await self.redis.delete(self.keys.events(self.tenant_id, self.session_id))
        record = {"epoch": epoch, "offset": "0"}
        await self.redis.hset(self.keys.session(self.tenant_id, self.session_id), mapping=record)

    async def append(self, name: str, data: object, *, keep: int = 1000, publish: bool = True) -> int:
        """Append an event; returns its offset."""
        body = make_body(name, data, tenant_id=self.tenant_id, correlation_id="c1")
        return await self.append_body(name, body, keep=keep, publish=publish)

    async def append_body(self, name: str, body: bytes, *, keep: int = 1000, publish: bool = True) -> int:
        """Append an event that is encoded already."""
        offset: Any = await self.redis.eval(
            _APPEND,
            2,
            self.keys.session(self.tenant_id, self.session_id),
            self.keys.events(self.tenant_id, self.session_id),
            self.keys.event_channel(self.tenant_id, self.session_id),
            name,
            body,
            keep,
            "1" if publish else "0",
        )
        return int(offset)

    async def chunk(self, number: int, text: str = "x", *, keep: int = 1000, publish: bool = True) -> int:
        """Append a piece of an answer."""
        return await self.append("chat.stream", ChatStream("m1", number, text), keep=keep, publish=publish)

    async def status(self, *, keep: int = 1000, publish: bool = True) -> int:
        """Append something that can't be joined."""
        data = ChatStatusUpdate("m1", "t1", MessageStatus.PROCESSING)
        return await self.append("chat.status_update", data, keep=keep, publish=publish)

    async def state(self, state: SessionState) -> int:
        """Append a transition."""
        return await self.append("session.state_update", StateUpdate(self.session_id, state, state.code))

    async def followers(self) -> int:
        """Return how many connections are subscribed to the session's channel."""
        channel = self.keys.event_channel(self.tenant_id, self.session_id)
        reply: Any = await self.redis.execute_command("PUBSUB", "NUMSUB", channel)
        if isinstance(reply, dict):
            return int(next(iter(reply.values())))
        flat = reply[0] if isinstance(reply[0], list | tuple) else reply
        return int(flat[1])


def data_of(body: bytes | str) -> Any:
    """Return the data of a frame."""
    return orjson.loads(body)["data"]
