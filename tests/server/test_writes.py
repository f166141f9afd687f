"""What is written without waiting: whole, in order with everything else, and no more than the client takes."""

import os
from collections.abc import Callable, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.server import Limits, connection
from tests.server.stage import CLOSE, TEXT, Client, Stage, numbered, open_stage

SMALL = 2048


async def messages(client: Client) -> list[bytes]:
    """Read what comes before the close frame."""
    found: list[bytes] = []
    while True:
        opcode, payload = await client.frame()
        if opcode == CLOSE:
            return found
        assert opcode == TEXT
        found.append(payload)


async def test_a_client_that_reads_late_gets_all_messages_whole_and_in_order(stage: Stage) -> None:
    async with await stage.open_websocket("/push-now", window=SMALL) as client:
        await stage.app.stuck.wait()
        assert stage.app.sent_now
        assert await messages(client) == numbered(*range(stage.app.sent_now + 1))


async def test_what_the_system_takes_in_part_is_written_before_anything_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "os", SimpleNamespace(write=lambda number, data: os.write(number, data[:1])))
    async with await stage.open_websocket("/push-now") as client:
        assert await messages(client) == numbered(0, 1, 2)
    assert stage.app.sent_now == 2, "the second time something was waiting already"


async def test_what_waits_counts_as_a_write_that_the_client_does_not_read(logs: list[MutableMapping[str, Any]]) -> None:
    async with open_stage(Limits(write_seconds=0.3)) as stage:
        async with await stage.open_websocket("/push-now", window=SMALL):
            await stage.until_idle()
        await stage.assert_serves()
    assert [entry["event"] for entry in logs] == ["connection.unread"]


@pytest.mark.parametrize("leave", [Client.reset, lambda client: client.stream.socket.close()])
async def test_a_client_that_leaves_while_messages_wait_leaves_nothing(
    stage: Stage, leave: Callable[[Client], None]
) -> None:
    client = await stage.open_websocket("/push-now", window=SMALL)
    await stage.app.stuck.wait()
    leave(client)
    await stage.until_idle()
