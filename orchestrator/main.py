"""Where everything meets: the services are put together once, and server, consumer and signal watcher run side by side.

    run ── trio.run ── nursery ─┬─ event pump
                                ├─ consumer          until everything in hand is settled
                                ├─ server            until `serving` is set and everything is answered
                                └─ signal watcher

A crash of any of them takes the process down. Order of a stop: readiness red and no new claims; sockets told to come
back and closed; the server stops accepting; what runs finishes or is handed back; services and Redis are closed.
"""

import sys

if __name__ == "__main__":
    sys.exit("This is a module of the package: type 'python -m orchestrator', or 'nooble-orch dev' for development.")

import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart_trio import QuartTrio

from orchestrator import routes, server, websocket
from orchestrator.assembly import open_process
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings, secrets_of
from orchestrator.config.masking import mask_credentials, masker_of
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import OrchestratorError
from orchestrator.frameworks.quart_inside import WebApplication
from orchestrator.middleware.address_limit import network_of
from orchestrator.middleware.errors import refusal_body
from orchestrator.middleware.guards.forwarded import RemoteAddress
from orchestrator.services.container import Services
from orchestrator.telemetry.logs import configure_logs
from orchestrator.websocket.dialects.dialect import DEFAULT

_log = structlog.get_logger()

_CLOSE_SOCKETS_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 2.0
"""What a server may take beyond the drain timeout to end its last answers."""
_LEAST_CONNECTIONS: Final = 1024
"""That a process takes, however few sockets it may have."""


def create_app(services: Services) -> QuartTrio:
    """Build the web application: HTTP routes and sockets over `services`."""
    app = WebApplication("orchestrator", static_folder=None)
    app.extensions["services"] = services
    routes.register(app, services, DEFAULT.write)
    websocket.register(app, services)
    return app


async def serve(
    settings: AgentOrchestratorSettings,
    config: Config,
    *,
    watch_signals: bool = True,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the service until a signal stops it; reports the URLs that it listens on.

    Args:
        settings: what the service does.
        config: how Hypercorn listens.
        watch_signals: whether SIGTERM and SIGINT stop it.
        stop: another way to stop it.

    Raises:
        StoreUnavailable: Redis can't be reached at the start.
    """
    async with open_process(settings) as process, trio.open_nursery() as nursery:
        app = create_app(process.services)
        serving = trio.Event()
        config.graceful_timeout = settings.drain_timeout + _GRACE_SECONDS
        if watch_signals:
            nursery.start_soon(_watch_signals, process.stopping, nursery.cancel_scope)
        if stop is not None:
            nursery.start_soon(_pass_on, stop, process.stopping)
        nursery.start_soon(_stop_serving, process.stopping, serving, app)
        async with trio.open_nursery() as siblings:
            await siblings.start(process.run)
            binds = await siblings.start(_serve_http, app, config, settings, serving)
            task_status.started(binds)
            _log.info("service.ready", binds=binds)
        nursery.cancel_scope.cancel()


async def _serve_http(
    app: QuartTrio,
    config: Config,
    settings: AgentOrchestratorSettings,
    serving: trio.Event,
    *,
    task_status: trio.TaskStatus[list[str]],
) -> None:
    proxies = RemoteAddress(settings.trusted_proxies)
    await server.serve(
        app,
        config,
        connection_limits(settings),
        shutdown_trigger=serving.wait,
        refusal_body=refusal_body,
        count_by=lambda address: None if proxies.trusts(address) else network_of(address),
        more=list(_internal(config, settings)),
        task_status=task_status,
    )


def _internal(config: Config, settings: AgentOrchestratorSettings) -> Iterator[Config]:
    """Yield where the internal routes are, if they have a listener of their own."""
    if settings.internal_bind:
        yield server.internal_config(
            config,
            bind=settings.internal_bind,
            certfile=settings.internal_certfile,
            keyfile=settings.internal_keyfile,
            ca_certs=settings.internal_ca_certs,
        )


def connection_limits(settings: AgentOrchestratorSettings) -> server.Limits:
    """Return what the process takes: as many sockets as are allowed, and as many connections beside them."""
    return server.Limits(
        connections=max(_LEAST_CONNECTIONS, 2 * settings.ws_max_connections),
        address_connections=settings.address_connections,
    )


async def _stop_serving(stopping: trio.Event, serving: trio.Event, app: QuartTrio) -> None:
    """Tell the sockets first, then let the server stop accepting."""
    await stopping.wait()
    _log.info("service.stopping")
    with trio.move_on_after(_CLOSE_SOCKETS_SECONDS):
        await websocket.manager_of(app).close_all()
    serving.set()


async def _pass_on(source: trio.Event, target: trio.Event) -> None:
    await source.wait()
    target.set()


async def _watch_signals(stopping: trio.Event, everything: trio.CancelScope) -> None:
    """The first signal stops in order, a second one at once; leases and fences keep what was accepted either way."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stopping.is_set():
                _log.warning("service.stopped_at_once", signal=signal.Signals(number).name)
                everything.cancel()
                return
            stopping.set()


class Application:
    """The service for a server of its own: `hypercorn -c hypercorn.toml orchestrator.main:app`.

    The same services hang on the server's lifespan; a consumer that dies ends the process.
    """

    def __init__(self, load: Callable[[], AgentOrchestratorSettings]) -> None:
        self._load = load
        self._app: QuartTrio | None = None

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is None:
            raise RuntimeError("the server has not begun its lifespan")
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Serve the lifespan. What goes wrong is told by its own message: after an exception servers just go on."""
        await receive()
        try:
            await self._run(receive, send)
        except Exception as error:  # noqa: BLE001 - told to the server, which ends the process
            cause: BaseException = error
            while isinstance(cause, BaseExceptionGroup):
                cause = cause.exceptions[0]
            told = mask_credentials(str(cause))
            if isinstance(cause, SettingsFault | OrchestratorError):
                _log.error("service.failed", reason=told)
            else:
                _log.exception("service.failed")
            stage = "startup" if self._app is None else "shutdown"
            await send({"type": f"lifespan.{stage}.failed", "message": f"The service could not go on: {told}"})

    async def _run(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        settings = self._load()
        configure_logs(settings.log_level, masker_of(secrets_of(settings)))
        async with open_process(settings) as process, trio.open_nursery() as nursery:
            await nursery.start(process.run)
            self._app = create_app(process.services)
            # Its limits are not ours: docs/how-to/run-in-production.md says what is not in force.
            _log.warning("server.foreign")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            process.stopping.set()
            with trio.move_on_after(_CLOSE_SOCKETS_SECONDS):
                await websocket.manager_of(self._app).close_all()
        await send({"type": "lifespan.shutdown.complete"})


app: Final = Application(partial(load_settings, DEFAULTS))
"""For servers that are told where the application is; its settings are read when it starts."""
