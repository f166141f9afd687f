"""The processes of a development stack, all in one nursery: the end of one ends all."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from cli.core.devfile import FILE_NAME, DevStack
from cli.core.failures import CliFailure
from cli.core.interrupts import ungrouped
from cli.dev.child import Child, log_hint, run_child
from cli.dev.plan import HOST, Plan
from orchestrator.sandbox.redis.redis_server import (
    DataDirInUse,
    NoRedisServer,
    RedisDidNotStart,
    RedisServer,
    run_redis,
)
from orchestrator.supervisor import reserve_port

SERVICE_LOG: Final = "service.log"
SANDBOX_LOG: Final = "sandbox.log"


async def run_stack(plan: Plan, pid: int, use: Callable[[DevStack], Awaitable[int]], *, alone: bool) -> int:
    """Start all processes, call `use` when they are ready, and stop them when it returns.

    Args:
        plan: the plan of the stack.
        pid: the id of this process, for `dev.json`.
        use: the use of the stack; its result is returned.
        alone: whether `use` is the only client of the stack, so that no task runs any more when it returns.

    Raises:
        CliFailure: a process did not start, or ended by itself.
    """
    with ungrouped():
        async with _redis(plan.data_dir) as redis, trio.open_nursery() as nursery:
            nursery.start_soon(_watch_redis, redis, plan.data_dir)
            async with _children(plan, redis) as children:
                await _all_ready(children)
                for child in children:
                    nursery.start_soon(child.watch)
                stack = _describe(plan, redis, pid)
                stack.write(plan.data_dir)
                try:
                    result = await use(stack)
                finally:
                    (plan.data_dir / FILE_NAME).unlink(missing_ok=True)
                # From here on the ends of processes are no failures.
                nursery.cancel_scope.cancel()
                if alone and plan.sandboxed:
                    # No task needs the sandbox any more, and the service would wait for its connections to it.
                    children[0].terminate()
    return result


@asynccontextmanager
async def _redis(data_dir: Path) -> AsyncIterator[RedisServer]:
    try:
        async with run_redis(data_dir) as redis:
            await redis.set_password(secrets.token_urlsafe(32))
            yield redis
    except (DataDirInUse, NoRedisServer, RedisDidNotStart) as error:
        raise CliFailure(str(error)) from None


@asynccontextmanager
async def _children(plan: Plan, redis: RedisServer) -> AsyncIterator[list[Child]]:
    """Start the sandbox and the workers of the service, all at once."""
    async with AsyncExitStack() as stack:
        children = []
        # The sandbox is entered first and so stopped last: turns that are still running need it.
        if plan.sandboxed:
            children.append(await stack.enter_async_context(_sandbox(plan, redis.url)))
        environ = {**plan.environ, "ORCH_REDIS_URL": redis.url}
        arguments = ["--bind", f"{HOST}:{plan.port}"]
        if plan.workers > 1:
            # Each worker is a child of this process, so that it ends with it, even if this process is killed.
            stack.enter_context(reserve_port(HOST, plan.port))
            arguments.append("--shared-port")
        for number in range(plan.workers):
            name = "service" if plan.workers == 1 else f"service's worker {number + 1}"
            log_path = plan.data_dir / (SERVICE_LOG if number == 0 else f"service-{number + 1}.log")
            worker = run_child(name, "orchestrator", [*arguments, "--workers", "1"], log_path=log_path, environ=environ)
            children.append(await stack.enter_async_context(worker))
        yield children


def _sandbox(plan: Plan, redis_url: str) -> AbstractAsyncContextManager[Child]:
    environ = {**os.environ, "SANDBOX_INTERNAL_API_KEY": plan.api_keys["internal"]}
    if any(name.endswith("__TRANSPORT") and value == "queue" for name, value in plan.environ.items()):
        environ["SANDBOX_REDIS_URL"] = redis_url
    return run_child(
        "sandbox",
        "orchestrator.sandbox",
        [
            *("--port", str(plan.sandbox_port), "--orchestrator-url", plan.api_url),
            *("--data-dir", str(plan.data_dir / "sandbox")),
        ],
        log_path=plan.data_dir / SANDBOX_LOG,
        environ=environ,
    )


async def _all_ready(children: list[Child]) -> None:
    async with trio.open_nursery() as nursery:
        for child in children:
            nursery.start_soon(child.ready)


async def _watch_redis(redis: RedisServer, data_dir: Path) -> None:
    status = await redis.wait()
    raise CliFailure(f"Redis ended with status {status}.", log_hint(data_dir / "redis.log"))


def _describe(plan: Plan, redis: RedisServer, pid: int) -> DevStack:
    return DevStack(
        api_url=plan.api_url,
        ws_url=plan.api_url.replace("http", "ws", 1),
        redis_url=redis.tcp_url,
        sandbox_url=plan.sandbox_url if plan.sandboxed else "",
        pid=pid,
        tenants=plan.tokens(),
        api_keys=dict(plan.api_keys),
    )
