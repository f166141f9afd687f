"""The ways to start the service, and what ends with what."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import trio

from tests.end_to_end.stack import Node, Stack, open_stack
from tests.server.stage import TEXT, frame, handshake
from tests.support.eventually import eventually
from tests.support.forked import run_forked
from tests.support.process_states import until_gone

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path) as stack:
        yield stack


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    listed = [file.read_text(encoding="ascii") for file in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in listed for child in text.split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
async def test_workers_share_a_port_are_replaced_when_they_die_and_end_with_their_supervisor(stack: Stack) -> None:
    supervisor = await stack.start("--bind", "127.0.0.1:0", "--workers", "2")
    first, second = children_of(supervisor.process.pid)
    session_id = await stack.session()
    os.kill(first, signal.SIGKILL)
    await until_gone(first)
    assert (await stack.say(session_id, "one", mode="wait"))["data"]["content"] == "one"
    children = await eventually(
        "the dead worker is replaced",
        lambda: children_of(supervisor.process.pid),
        lambda children: len(children) == 2 and first not in children,
    )
    replaced = [pid for pid in children if pid != second]
    assert (await stack.say(session_id, "two", mode="wait"))["data"]["content"] == "two"
    await supervisor.kill()
    for pid in (second, *replaced):
        await until_gone(pid)


async def test_workers_stop_in_order_together(stack: Stack) -> None:
    supervisor = await stack.start("--bind", "127.0.0.1:0", "--workers", "2")
    assert (await stack.say(await stack.session(), "one", mode="wait"))["data"]["content"] == "one"
    assert await supervisor.stop() == 0


async def test_another_server_may_carry_the_application(stack: Stack, tmp_path: Path) -> None:
    config = tmp_path / "hypercorn.toml"
    config.write_text('bind = ["127.0.0.1:0"]\nworker_class = "trio"\ngraceful_timeout = 5\n', encoding="utf-8")
    command = [sys.executable, "-m", "hypercorn", "-c", str(config), "orchestrator.main:app"]
    process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE, env=stack.environ, cwd=ROOT)
    assert process.stderr is not None
    told = b""
    with trio.fail_after(30):
        while b"Running on http://" not in told:
            told += await process.stderr.receive_some()
    node = Node(process, told.decode().split("Running on ")[1].split()[0])
    stack.nodes.append(node)
    session_id = await stack.session()
    assert (await stack.say(session_id, "hello", mode="wait"))["data"]["content"] == "hello"
    assert await node.stop() == 0


async def test_a_client_that_does_not_read_its_answer_does_not_hold_up_a_stop(stack: Stack) -> None:
    node = await stack.start()
    body = {"session_id": await stack.session(), "content": "漢" * 262_144, "mode": "stream"}
    sent = orjson.dumps(body)
    head = (
        f"POST /api/v1/chat.message HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    host, port = node.url.removeprefix("http://").split(":")
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    await sock.connect((host, int(port)))
    async with trio.SocketStream(sock) as stream:
        await stream.send_all(head.encode() + sent)
        assert (await stream.receive_some(12)) == b"HTTP/1.1 200"
        assert await node.stop() == 0


async def test_a_frame_behind_a_handshake_that_is_refused_ends_no_process(stack: Stack) -> None:
    node = await stack.start()
    host, port = node.url.removeprefix("http://").split(":")
    for pause in (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005) * 5:
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(handshake("/ws/v1/chat/x"))
            await trio.sleep(pause)
            await stream.send_all(frame(TEXT, b"{}"))
            assert (await stream.receive_some(12)) == b"HTTP/1.1 401"
    async with stack.client() as client:
        assert (await client.get("/health/live")).status_code == 200


async def test_without_redis_the_service_says_so_and_ends(stack: Stack) -> None:
    environ = {**stack.environ, "ORCH_REDIS_URL": "redis://127.0.0.1:1/0"}
    ended = await run_forked("orchestrator", "--bind", "127.0.0.1:0", environ=environ, directory=ROOT)
    assert ended.code == 1
    assert "could not go on" in ended.err
    assert "Traceback" not in ended.err


async def test_wrong_settings_stop_the_start_with_all_faults_at_once(stack: Stack) -> None:
    environ = {**stack.environ, "ORCH_LEASE": "long", "ORCH_CONCURRENCY": "0", "ORCH_TYPO": "1"}
    ended = await run_forked("orchestrator", environ=environ, directory=ROOT)
    assert ended.code == 2
    told = ended.err
    assert "ORCH_LEASE: expected a number" in told
    assert "ORCH_CONCURRENCY: expected a number from 1 to 10000" in told
    assert "ORCH_TYPO: there is no such setting" in told
