"""No secret of the settings is ever shown: in logs, answers, commands, names, arguments, or by what ends a process."""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jwt
import orjson
import pytest
import trio
from attrs import define, field

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.ports import free_port
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.redis.connection import open_redis
from tests.cli.runs import run_cli
from tests.support.eventually import eventually
from tests.support.forked import run_forked
from tests.support.http import loopback_client

MARK: Final = "xyzzyplugh"
"""Stands in every secret."""
JWT_SECRET: Final = f"{MARK}-jwt-secret-of-32-characters-"
KEYS: Final = {scope: f"{MARK}-{scope}" for scope in ("internal", "admin", "metrics")}
SEALING: Final = base64.b64encode(MARK.encode().ljust(32, b"!")).decode()
HIDDEN: Final = (MARK, SEALING, *(sha256(key.encode()).hexdigest() for key in KEYS.values()))
COMMANDS: Final = ("config", "doctor", "nodes", "queues", "notices", "-v nodes")


@define(eq=False)
class Shown:
    """All that was shown, by where."""

    texts: list[tuple[str, str]] = field(factory=list)

    def add(self, where: str, text: str | bytes) -> None:
        self.texts.append((where, text if isinstance(text, str) else text.decode(errors="replace")))

    def leaks(self) -> list[str]:
        return [f"{where}: {secret} in {text}" for where, text in self.texts for secret in HIDDEN if secret in text]


def secret_settings(redis_url: str) -> dict[str, str]:
    """Settings with the mark in all that is secret, and nothing where they lead to."""
    nowhere = f"ann:{quote(MARK + '@/1', safe='')}@127.0.0.1:{free_port()}"
    keys = [f"{scope}:{scope}:{sha256(key.encode()).hexdigest()}" for scope, key in KEYS.items()]
    return {
        **{f"ORCH_SERVICES__{name.upper()}__URL": f"http://{nowhere}/{name}?token={MARK}" for name in SERVICES},
        **{f"ORCH_SERVICES__{name.upper()}__TOKEN": f"{MARK}-token" for name in SERVICES},
        "ORCH_LOG_LEVEL": "debug",
        "ORCH_REDIS_URL": redis_url,
        "ORCH_JWT__SECRET": JWT_SECRET,
        "ORCH_JWT__JWKS_URL": f"http://{nowhere}/keys?token={MARK}",
        "ORCH_API_KEYS": ",".join(keys),
        "ORCH_ENCRYPTION_KEYS": f"one:{SEALING}",
        "HTTP_PROXY": f"http://{nowhere}",
        "HTTPS_PROXY": f"http://{nowhere}",
        "NO_PROXY": "127.0.0.1,localhost",
        "OPENAI_BASE_URL": f"http://{nowhere}/v1?key={MARK}",
        "OPENAI_API_KEY": f"{MARK}-model",
    }


def environment(redis_url: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    return own | secret_settings(redis_url)


async def run_python(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python until it ends."""
    with trio.fail_after(60):
        return await trio.run_process(
            [sys.executable, *arguments], capture_stdout=True, capture_stderr=True, check=False, env=dict(environ)
        )


@define(eq=False)
class Running:
    """A process of the service."""

    process: trio.Process
    url: str


@asynccontextmanager
async def serving(environ: Mapping[str, str], log: Path, *arguments: str) -> AsyncIterator[Running]:
    """Run a process until the block ends; `log` gets what it writes."""
    with log.open("wb") as errors:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=errors, env=dict(environ)
        )
    assert process.stdout is not None
    try:
        line = b""
        with trio.fail_after(60):
            while not line.endswith(b"\n"):
                piece = await process.stdout.receive_some()
                assert piece, "it ended while it started"
                line += piece
        yield Running(process, line.decode().split()[1])
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(60):
            await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdout.aclose()


async def ask_everything(url: str, shown: Shown) -> None:
    """Ask the routes that tell of the service, and some that fail."""
    user = {"Authorization": f"Bearer {create_token(JWT_SECRET, 'acme', 'ann', Role.USER)}"}
    key = {"X-API-Key": KEYS["admin"], "X-Tenant-ID": "acme"}
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"k","typ":"JWT"}').decode().rstrip("=")
    body = jwt.encode({"sub": "x", "tenant_id": "acme", "exp": 4e9}, JWT_SECRET, "HS256").split(".")[1]
    of_provider = {"Authorization": f"Bearer {head}.{body}.AAAA"}
    async with loopback_client(timeout=60) as client:

        async def ask(method: str, path: str, headers: Mapping[str, str], sent: Any = None) -> int:
            content = None if sent is None else orjson.dumps(sent)
            reply = await client.request(
                method, url + path, headers={**headers, "Content-Type": "application/json"}, content=content
            )
            shown.add(f"{method} {path}", f"{reply.status_code} {reply.headers} {reply.text}")
            return reply.status_code

        for path in ("/", "/health", "/health/live", "/health/ready", "/openapi.json", "/asyncapi.json", "/docs"):
            await ask("GET", path, {})
        assert await ask("GET", "/metrics", {"X-API-Key": KEYS["metrics"]}) == 200
        for route in ("orchestrator.load", "orchestrator.nodes", "orchestrator.check", "task.list", "tenant.list"):
            assert await ask("GET", f"/internal/v1/{route}", key) == 200, route
        assert await ask("GET", "/api/v1/session.list", of_provider) == 503
        assert await ask("GET", "/api/v1/session.list", {"Authorization": "Bearer none"}) == 401
        assert await ask("GET", "/api/v1/agent.list", user) >= 500
        await ask("POST", "/api/v1/session.create", user, {"agent_id": "echo"})
        plan = {"calls": {"a": {"service": "query", "operation": "search", "parameters": {"query": "x"}}}}
        await ask("POST", "/api/v1/workflow.execute", user, {"plan": plan, "mode": "wait"})
        batch = {"agent_id": "echo", "items": [{"content": "x"}], "callback": {"url": f"http://u:{MARK}@h/"}}
        assert await ask("POST", "/api/v1/batch.create", user, batch) >= 400


def look_at_arguments(root: int, shown: Shown) -> None:
    """Look at the arguments of a process and its children, as all users of a machine can."""
    listed = [file.read_text(encoding="ascii") for file in Path(f"/proc/{root}/task").glob("*/children")]
    for pid in (root, *(int(child) for text in listed for child in text.split())):
        shown.add(f"arguments of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes())


async def show_commands(
    shown: Shown, cli: Callable[..., Awaitable[Any]], commands: Iterable[str], forms: Iterable[str]
) -> None:
    """Run commands in several forms, all at once: they wait for what is away."""

    async def show(command: str, form: str) -> None:
        ended = await cli(*command.split(), "-o", form)
        shown.add(f"{command} -o {form}", ended.out + ended.err)

    async with trio.open_nursery() as nursery:
        for command in commands:
            for form in forms:
                nursery.start_soon(show, command, form)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
async def test_no_secret_is_shown_by_a_service_whose_services_and_redis_are_away(tmp_path: Path) -> None:
    shown, log = Shown(), tmp_path / "log"
    async with run_redis(tmp_path / "redis") as server:
        await server.set_password(f"{MARK}-redis")
        environ = environment(server.tcp_url)
        async with (
            open_redis(server.tcp_url) as redis,
            serving(environ, log, "orchestrator", "--bind", "127.0.0.1:0", "--workers", "2") as running,
        ):
            await ask_everything(running.url, shown)
            look_at_arguments(running.process.pid, shown)
            shown.add("CLIENT LIST", str(await redis.execute_command("CLIENT", "LIST")))
            known = {"ORCH_API_URL": running.url, "ORCH_API_KEY": KEYS["admin"], "ORCH_TENANT": "acme"}
            cli = partial(run_cli, tmp_path, **secret_settings(server.tcp_url), **known)
            await show_commands(shown, cli, COMMANDS, ("wide",))
            await redis.execute_command("CONFIG", "SET", "requirepass", f"{MARK}-other")
            await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await eventually("the log tells of Redis", log.read_text, lambda text: "WRONGPASS" in text)
            await redis.execute_command("CONFIG", "SET", "requirepass", f"{MARK}-redis")
        shown.add("log", log.read_bytes())
    assert shown.leaks() == []
    assert "jwks.failed" in log.read_text(encoding="utf-8")


async def test_no_secret_is_shown_by_the_command_line_where_the_service_is_away(tmp_path: Path) -> None:
    shown = Shown()
    settings = secret_settings(f"redis://:{MARK}@127.0.0.1:1/0")
    api = {"ORCH_API_URL": f"http://ann:{MARK}@127.0.0.1:1/", "ORCH_API_KEY": KEYS["admin"], "ORCH_TENANT": "acme"}
    cli = partial(run_cli, tmp_path, **settings, **api)
    await show_commands(shown, cli, ("profile add x --api-url http://u:xyzzyplugh@h",), ("table",))
    await show_commands(shown, cli, (*COMMANDS, "-v tasks list", "profile list"), ("json",))
    assert shown.leaks() == []


async def test_no_secret_is_shown_by_the_sandbox(tmp_path: Path) -> None:
    shown, log = Shown(), tmp_path / "log"
    environ = environment(f"redis://:{MARK}@127.0.0.1:1/0") | {"SANDBOX_INTERNAL_API_KEY": KEYS["internal"]}
    environ["OPENAI_BASE_URL"] = f"http://ann:{MARK}@127.0.0.1:{MARK}/v1"
    async with serving(environ, log, "orchestrator.sandbox") as running, loopback_client(timeout=60) as client:
        asked = {"agent_id": "llm", "query": "hello", "tenant_id": "acme"}
        reply = await client.post(
            f"{running.url}/agent_execution/api/v1/agents/execute", json=asked, headers={"X-Tenant-ID": "acme"}
        )
        shown.add("answer", reply.text)
        reply = await client.get(f"{running.url}/agent_execution/health")
        shown.add("health", reply.text)
    shown.add("log", log.read_bytes())
    assert shown.leaks() == []


@pytest.mark.parametrize(
    ("redis_url", "says"),
    [
        (f"redis://:{MARK}@127.0.0.1:1/0", "could not go on"),
        (f"redis://ann:{MARK}@no.such.host.invalid/0", "could not go on"),
        (f"redis://:{MARK}/x@127.0.0.1:1/0", "expected a redis://"),
        (f"unix://ann:{MARK}@/no/such/socket?password={MARK}", "could not go on"),
        (f"rediss://:{MARK}@127.0.0.1:1/0?ssl_keyfile=/no&ssl_certfile=/no&ssl_password={MARK}", "could not go on"),
    ],
    ids=["refused", "unresolved", "malformed", "socket", "tls"],
)
async def test_no_secret_is_shown_by_a_start_that_fails(tmp_path: Path, redis_url: str, says: str) -> None:
    shown = Shown()
    with trio.fail_after(60):
        ended = await run_forked(
            "orchestrator", "--bind", "127.0.0.1:0", environ=environment(redis_url), directory=tmp_path
        )
    shown.add("start", f"{ended.out}{ended.err}")
    cli = partial(run_cli, tmp_path, **secret_settings(redis_url))
    await show_commands(shown, cli, ("config", f"doctor --redis-url {redis_url}"), ("json",))
    assert shown.leaks() == []
    assert ended.code != 0
    assert says in ended.err


CRASH: Final = """
import structlog, trio
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import load_settings, secrets_of
from orchestrator.config.masking import masker_of
from orchestrator.telemetry.logs import configure_logs
settings = load_settings(DEFAULTS)
configure_logs("debug", masker_of(secrets_of(settings)))
try:
    raise ValueError(settings.redis_url)
except ValueError:
    structlog.get_logger().exception("failed", url=settings.redis_url, given=settings, raw=[settings.jwt.secret])
async def main():
    async with trio.open_nursery():
        raise RuntimeError(settings.services["query"].url, settings.services["query"].token, repr(settings))
trio.run(main)
"""


async def test_no_secret_is_shown_by_a_crash() -> None:
    shown = Shown()
    ended = await run_python(environment(f"redis://:{MARK}@127.0.0.1:1/0"), "-c", CRASH)
    told = ended.stderr.decode()
    shown.add("crash", told)
    assert "RuntimeError" in told
    assert '"event": "failed"' in told
    assert shown.leaks() == []
