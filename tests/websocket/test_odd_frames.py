"""Odd frames: whatever a client sends, it is told what is wrong, and the process goes on."""

import json
import os
from typing import Any, Final

import orjson
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed

from orchestrator.websocket.handlers import HANDLERS
from tests.support.documented import documented
from tests.support.eventually import PATIENCE
from tests.websocket.stage import Client, open_stage

EXAMPLES: Final = int(os.environ.get("FRAME_EXAMPLES", "25"))
"""Bursts of frames; the suite sends few, so that a longer run is asked for."""
BURST: Final = 15
"""Fewer than the bad frames that close a socket."""
_GOOD: Final[dict[str, Any]] = {
    "chat.message": {"content": "hi"},
    "chat.cancel": {"message_id": "m1"},
    "tool.result": {"tool_call_id": "c1", "result": {"status": "success", "data": 1}},
    "workflow.input": {"task_id": "t1", "node_id": "n1", "input": {}},
    "workflow.cancel": {"task_id": "t1"},
    "session.sync": {"last_offset": 0, "epoch": "e"},
    "system.auth": {"token": "a.b.c"},
    "system.ping": {"client_timestamp": 1},
}

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "\x00", "\ud800", "é" * 300, "a" * 5000, "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "s1"]
    )
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_fields = st.sampled_from(
    sorted({name for data in _GOOD.values() for name in data} | {"metadata", "attachments", "content_type", "if_busy"})
)


@st.composite
def _envelopes(draw: st.DrawFn) -> Any:
    """A good frame with some of it replaced, dropped or added."""
    name = draw(st.sampled_from(sorted(HANDLERS)))
    domain, _, action = name.partition(".")
    data: dict[str, Any] = {**_GOOD[name], **draw(st.dictionaries(_fields, _values, max_size=3))}
    frame: dict[str, Any] = {"type": {"domain": domain, "action": action}, "data": data}
    frame |= draw(
        st.dictionaries(
            st.sampled_from(
                ["type", "data", "message_id", "correlation_id", "tenant_id", "created_at", "schema_version", "source"]
            ),
            _values,
            max_size=2,
        )
    )
    for dropped in draw(st.lists(st.sampled_from(["type", "data"]), max_size=1)):
        del frame[dropped]
    return frame


def _encoded(frame: Any) -> str | bytes:
    # As a client's own writer might: with NaN, lone surrogates and numbers of any size.
    return json.dumps(frame, ensure_ascii=True)


_frames = (
    _envelopes().map(_encoded)
    | _values.map(_encoded)
    | st.text(max_size=200)
    | st.binary(max_size=200)
    | st.builds(lambda depth: "[" * depth, st.integers(1, 5000))
)


async def _is_told_what_is_wrong(redis_url: str, frames: list[str | bytes]) -> None:
    async with open_stage(redis_url) as stage:
        async with stage.client() as client:
            for frame in frames:
                await client.socket.send_message(frame)
            await client.say("system.ping", {"client_timestamp": 1}, correlation_id="the-last")
            for told in await _all_until(client, "the-last"):
                assert not told["data"].get("error", {}).get("code", "").startswith("ORCH_SYS"), told
        async with stage.client() as client:
            await client.next("session.state_update")
            await client.say("system.ping", {})
            await client.next("system.pong")


async def _all_until(client: Client, correlation_id: str) -> list[Any]:
    """Return what comes before an answer; a socket may also be closed, but not for a fault of the service."""
    found: list[Any] = []
    code = 0
    with trio.fail_after(PATIENCE):
        try:
            while not found or found[-1]["correlation_id"] != correlation_id:
                found.append(documented(orjson.loads(await client.socket.get_message())))
        except ConnectionClosed as closed:
            code = closed.reason.code if closed.reason is not None else 1006
    assert code not in {1006, 1011}
    return found


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(_frames, min_size=1, max_size=BURST))
def test_a_client_may_send_anything_and_the_others_are_served(redis_url: str, frames: list[str | bytes]) -> None:
    trio.run(_is_told_what_is_wrong, redis_url, frames)
