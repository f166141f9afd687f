"""Following a session, without a service."""

import pytest
from trio.testing import MockClock

from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.follow import FollowedSession


async def test_a_frame_without_a_connection_in_time_is_a_failure(autojump_clock: MockClock) -> None:
    session = FollowedSession(Target("http://service", "ws://service", token="token"), "session-1")
    with pytest.raises(CliFailure, match="can't be reached any more") as caught:
        await session.send("tool.result", {})
    assert caught.value.code is Exit.UNREACHABLE
    assert "chat --session session-1" in caught.value.hint
