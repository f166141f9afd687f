"""The sandbox as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.sandbox.conftest import Client
from tests.support.http import loopback_client

SERVICES = ("conversation", "embedding")


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[trio.Process, str]]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "orchestrator.sandbox", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "SANDBOX_INTERNAL_API_KEY": "key"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = ""
        with trio.fail_after(20):
            while not line.endswith("\n"):
                line += (await process.stdout.receive_some()).decode()
        assert line.startswith("ready http://127.0.0.1:")
        yield process, line.split()[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await process.stdin.aclose()
        await process.stdout.aclose()


async def test_it_says_where_it_is_and_stops_when_told(docs: Path, tmp_path: Path) -> None:
    async with running("--docs", str(docs), "--data-dir", str(tmp_path)) as (process, url):
        async with loopback_client() as http:
            client = Client(http, {name: f"{url}/{name}" for name in SERVICES})
            await client.post("conversation", "/api/v1/conversations", {"conversation_id": "c1"})
            embedded = await client.ask("POST", "embedding", "/api/v1/internal/enhanced_embed", {"texts": ["x"]})
            assert embedded.status_code == 200
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(10):
            assert await process.wait() == 0
    assert (tmp_path / "conversations.jsonl").exists()


@pytest.mark.parametrize("asked", [True, False])
async def test_it_ends_with_its_parent_where_asked(docs: Path, asked: bool) -> None:
    flags = ["--exit-with-stdin"] if asked else []
    async with running("--docs", str(docs), *flags) as (process, _):
        assert process.stdin is not None
        await process.stdin.aclose()
        with trio.move_on_after(10 if asked else 0.3) as scope:
            assert await process.wait() == 0
        assert scope.cancelled_caught is not asked
