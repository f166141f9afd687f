"""Starting the service from the command line."""

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio
from attrs import evolve
from hypercorn.config import Config

from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings, secrets_of
from orchestrator.config.masking import masker_of
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import OrchestratorError
from orchestrator.main import connection_limits, serve
from orchestrator.server import ServerConfig
from orchestrator.server.descriptors import raise_limit
from orchestrator.supervisor import reserve_port, supervise
from orchestrator.telemetry.logs import configure_logs

_YOUNG_OBJECTS = 10_000
"""So many more containers than have gone have the garbage collector look for cycles among them; by default 700."""
_HINT = "For development, 'nooble-orch dev' needs no settings; 'nooble-orch config' shows those in force."


def run(
    config_file: Path | None = None,
    *,
    bind: str | None = None,
    workers: int | None = None,
    shared_port: bool = False,
    exit_with_stdin: bool = False,
) -> int:
    """Run the service until it is stopped; prints `ready http://…` when it is ready.

    Args:
        config_file: a hypercorn.toml; None: `hypercorn.toml` in the working directory, if there is one.
        bind: `HOST:PORT` instead of the file's.
        workers: number of processes instead of the file's.
        shared_port: whether other processes listen on the same port.
        exit_with_stdin: whether to stop, in order, when standard input ends: when the parent process has gone.

    Returns:
        The exit code.
    """
    try:
        settings = load_settings(DEFAULTS)
    except SettingsFault as fault:
        for line in (*fault.faults, _HINT):
            print(line, file=sys.stderr)  # noqa: T201 - the logs are not set up yet
        return 2
    mask = masker_of(secrets_of(settings))
    configure_logs(settings.log_level, mask)
    config = _hypercorn_config(config_file, bind, workers)
    if config.workers > 1 and not shared_port:
        return _run_many(settings, config, config_file)
    config.workers = 1
    if shared_port:
        config.bind = [_shared(config.bind[0])]
        if settings.internal_bind:
            settings = evolve(settings, internal_bind=_shared(settings.internal_bind))
    return _run_one(settings, config, mask, exit_with_stdin=exit_with_stdin)


def _hypercorn_config(config_file: Path | None, bind: str | None, workers: int | None) -> Config:
    default = Path("hypercorn.toml")
    file = config_file or (default if default.is_file() else None)
    config = ServerConfig.from_toml(file) if file else ServerConfig()
    config.accesslog = None
    if bind is not None:
        config.bind = [bind]
    if workers is not None:
        config.workers = workers
    return config


def _run_one(
    settings: AgentOrchestratorSettings, config: Config, mask: Callable[[str], str], *, exit_with_stdin: bool
) -> int:
    async def main() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            if exit_with_stdin:
                nursery.start_soon(_set_at_end_of_input, stop)
            async with trio.open_nursery() as serving:
                binds = await serving.start(partial(serve, settings, config, stop=stop))
                keep_what_is_there()
                _announce(binds[0])
            nursery.cancel_scope.cancel()

    code = 0
    raise_limit(connection_limits(settings).connections)
    try:
        trio.run(main)
    except* (OrchestratorError, OSError) as group:
        code = _report(group, mask)
    return code


def keep_what_is_there() -> None:
    """Have the garbage collector leave alone what a process has begun with, and keeps until its end.

    Modules, classes and routes are most of its objects: to look through all of them holds the loop for 0.1 s. What a
    turn makes goes without the collector, but for a few cycles, so that it is looked for less often than by default.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    gc.enable()


def _run_many(settings: AgentOrchestratorSettings, config: Config, config_file: Path | None) -> int:
    with reserve_port(*_address(config.bind[0])) as reserved:
        bind = f"{config.bind[0].rpartition(':')[0]}:{reserved.getsockname()[1]}"
        arguments = ["--bind", bind, "--shared-port", "--exit-with-stdin"]
        if config_file is not None:
            arguments += ["--config", str(config_file)]

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(supervise, arguments, config.workers, grace=settings.drain_timeout + 10))
                keep_what_is_there()
                _announce(f"http://{bind}")

        trio.run(main)
    return 0


def _shared(bind: str) -> str:
    """Bind a port that other workers bind as well, and say where it is to be listened on."""
    return f"fd://{reserve_port(*_address(bind)).detach()}"


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


async def _set_at_end_of_input(stop: trio.Event) -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        async for _ in stream:
            pass
    stop.set()


def _announce(url: str) -> None:
    print(f"ready {url}", flush=True)  # noqa: T201 - what a caller waits for


def _report(group: BaseExceptionGroup[BaseException], mask: Callable[[str], str]) -> int:
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    print(mask(f"The service could not go on: {leaf}"), file=sys.stderr)  # noqa: T201 - the last word of the process
    return 1
