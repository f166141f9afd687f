"""The way of a chat turn is the one that the architecture page describes."""

import json
import re
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
import trio
from hypercorn.config import Config
from trio_websocket import WebSocketConnection, open_websocket_url

import orchestrator
from orchestrator.config.settings import (
    AgentOrchestratorSettings,
    JwtSettings,
    ServiceSettings,
)
from orchestrator.main import serve
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.platform import run_sandbox
from tests.support.documented import documented
from tests.support.http import loopback_client

PACKAGE: Final = Path(str(orchestrator.__file__)).parent
PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "architecture.md"
SECRET: Final = "s" * 32
MOST: Final = 30


@pytest.fixture
def walk() -> list[str]:
    """The modules that the page names, in its order."""
    section = PAGE.read_text(encoding="utf-8").split("## The way of a chat turn")[1].split("\n## ")[0]
    return re.findall(r"^\d+\. `([a-z_/]+\.py)`", section, re.MULTILINE)


def test_a_reader_of_a_chat_turn_opens_at_most_thirty_modules(walk: list[str]) -> None:
    assert walk[0] == "routes/public/chat.py"
    assert len(walk) == len(set(walk)) <= MOST
    assert [path for path in walk if not (PACKAGE / path).exists()] == []


async def test_a_turn_passes_all_modules_of_the_walk(redis_url: str, walk: list[str]) -> None:
    headers = {"Authorization": f"Bearer {create_token(SECRET, 'acme', 'ann', Role.USER)}"}
    async with run_sandbox() as sandbox, trio.open_nursery() as nursery:
        urls: Any = {name: ServiceSettings(url=url) for name, url in sandbox.urls.items()}
        settings = AgentOrchestratorSettings(jwt=JwtSettings(secret=SECRET), redis_url=redis_url, services=urls)
        config, stop = Config(), trio.Event()
        config.bind = ["127.0.0.1:0"]
        [url] = await nursery.start(partial(serve, settings, config, watch_signals=False, stop=stop))
        async with loopback_client(base_url=url, headers=headers) as client:
            session = (await client.post("/api/v1/session.create", json={"agent_id": "echo"})).json()["data"]
            address = f"ws://{urlsplit(url).netloc}{urlsplit(session['websocket_url']).path}"
            async with open_websocket_url(
                address, extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()]
            ) as socket:
                message = {"session_id": session["session_id"], "content": "echo hello"}
                # The second turn recalls the conversation that the first one has begun.
                await _turn(client, socket, message)
                passed = await _turn(client, socket, message)
        stop.set()
    assert [path for path in walk if path not in passed] == []


async def _turn(client: httpx.AsyncClient, socket: WebSocketConnection, message: dict[str, str]) -> set[str]:
    """Take a turn, and return the modules that ran until its first token came."""
    passed: set[str] = set()

    def note(frame: FrameType, _: str, __: Any) -> None:
        path = frame.f_code.co_filename
        if path.startswith(str(PACKAGE)):
            passed.add(Path(path).relative_to(PACKAGE).as_posix())

    sys.setprofile(note)
    try:
        assert (await client.post("/api/v1/chat.message", json=message)).status_code == 202
        await _frame(socket, "chat.stream")
    finally:
        sys.setprofile(None)
    await _frame(socket, "chat.completed")
    return passed


async def _frame(socket: WebSocketConnection, name: str) -> None:
    with trio.fail_after(10):
        while True:
            kind = documented(json.loads(await socket.get_message()))["type"]
            if f"{kind['domain']}.{kind['action']}" == name:
                return
