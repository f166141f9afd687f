"""The sandbox: a stand-in of every downstream service, behind one port of the loopback."""

import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from ssl import SSLContext

import httpx
import trio
from attrs import field, frozen

from orchestrator.clients.registry import SERVICES
from orchestrator.sandbox.data_files import ANY_TENANT, Fixtures, data_folder, load_fixtures
from orchestrator.sandbox.retrieval.index import open_index
from orchestrator.sandbox.serving.control import Calls, Control
from orchestrator.sandbox.serving.examples import example_page
from orchestrator.sandbox.serving.faults import Faults, InjectedFault, InjectedFaultKind, cut, parse_fault, strike
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.http_server import Request, SandboxAnswer, json_reply, listen
from orchestrator.sandbox.serving.model_server import model_from_environment
from orchestrator.sandbox.serving.queue_server import QueueServer
from orchestrator.sandbox.serving.repetitions import Repetitions
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn
from orchestrator.sandbox.serving.usage import Spent
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis


@frozen
class Platform:
    """Routes each request to its stand-in, and injects the requested faults."""

    services: Mapping[str, StandIn]
    control: Control
    faults: Faults
    calls: Calls
    _repetitions: Repetitions = field(factory=Repetitions)

    async def handle(self, request: Request) -> SandboxAnswer:
        """Answer a request."""
        name = request.segments[0]
        try:
            if name == "control":
                return self.control.answer(request)
            if name == "examples":
                return example_page(request)
            if name not in self.services:
                message = f"There is no such service; there are {', '.join(self.services)}."
                raise SandboxRefusal(404, "SANDBOX_NOTF_001", message)
            return await self._serve(name, self.services[name], request)
        except SandboxRefusal as refusal:
            return refusal.reply()
        except Exception:  # noqa: BLE001 - the boundary: a fault of one operation is reported, and answered with 500
            traceback.print_exc(file=sys.stderr)
            return json_reply({"error": {"code": "SANDBOX_SYS_001", "message": "The sandbox has a fault."}}, 500)

    async def _serve(self, name: str, service: StandIn, request: Request) -> SandboxAnswer:
        path = request.segments[1:]
        found = None if path == ("health",) else service.find(request.method, path)
        operation = "health" if found is None else found[0].operation.name
        self.calls[name, operation] += 1
        fault = self._fault(name, operation, request)
        struck = None if fault is None else await strike(fault)
        if struck is not None:
            return struck
        if found is None:
            answer: SandboxAnswer = json_reply({"status": "healthy", "service": name})
        else:
            route, params = found
            answer = await self._call(route, service.unpack(route.operation, request, params))
        return cut(answer) if fault is not None and fault.kind is InjectedFaultKind.CUT else answer

    def _fault(self, service: str, operation: str, request: Request) -> InjectedFault | None:
        asked = request.headers.get("x-sandbox-fault")
        if asked is None:
            return self.faults.take(service, operation)
        try:
            return parse_fault(asked)
        except ValueError:
            raise SandboxRefusal(400, "SANDBOX_VAL_001", f"X-Sandbox-Fault can't be {asked!r}.") from None

    async def _call(self, route: SandboxRoute, call: SandboxCall) -> SandboxAnswer:
        """Run an operation; where it creates something, a repeated idempotency key gets the first answer again."""
        key = call.request.headers.get("idempotency-key")
        if key is None or not route.creates:
            return await route.handler(call)
        name = (call.prefix, route.operation.name, call.tenant_id, *call.params.values(), key)
        return await self._repetitions.once(name, lambda: route.handler(call))


@frozen
class Sandbox:
    """A running sandbox."""

    port: int
    fixtures: Fixtures
    faults: Faults
    calls: Calls
    """Number of calls by operation: `calls["conversation", "append"]`."""
    spent: Spent
    """Usage that Query and Embedding have counted."""
    _gateway: GatewayClient
    _names: tuple[str, ...]

    @property
    def url(self) -> str:
        """Base URL of the sandbox."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def urls(self) -> dict[str, str]:
        """Base URL of each service, by its name."""
        return {name: f"{self.url}/{name}" for name in self._names}

    def connect(self, orchestrator_url: str, internal_api_key: str | None) -> None:
        """Set the address of the orchestrator, for a sandbox that was started before it."""
        self._gateway.url = orchestrator_url
        self._gateway.api_key = internal_api_key


@asynccontextmanager
async def run_sandbox(
    fixtures: Path | None = None,
    *,
    port: int = 0,
    orchestrator_url: str | None = None,
    internal_api_key: str | None = None,
    data_dir: Path | None = None,
    docs: Path | None = None,
    redis_url: str | None = None,
) -> AsyncIterator[Sandbox]:
    """Run a stand-in of every service inside the block.

    Args:
        fixtures: tenants, agents, tools, workflows and documents; default: the project's own.
        port: a loopback port; 0 takes a free one.
        orchestrator_url: its gateway serves the agents, and receives the updates of delegated work.
        internal_api_key: presented there as `X-API-Key`.
        data_dir: conversations are stored there; None: in memory.
        docs: the collection `docs`; default: the project's own documentation.
        redis_url: the services read their queues there too; None: they have no queues.

    Raises:
        OSError: the port is taken.
        StoreUnavailable: there is no Redis there.
    """
    known = load_fixtures(fixtures)
    index = open_index(docs or data_folder("docs"), known.folder / "documents")
    listener = await listen(port)
    faults, calls, spent = Faults(), Calls(), Spent()
    async with httpx.AsyncClient(verify=_trusted()) as client, AsyncExitStack() as stack:
        redis = None
        if redis_url is not None:
            redis = await stack.enter_async_context(open_redis(redis_url, name="nooble-sandbox"))
        gateway, model = GatewayClient(client, orchestrator_url, internal_api_key), model_from_environment(client)
        async with trio.open_nursery() as nursery:
            resources = SandboxResources(known, index, model, gateway, nursery, stack, data_dir, spent)
            services = {name: _stand_in(name, resources) for name in SERVICES}
            control = Control(faults, calls, gateway, frozenset(services), spent)
            platform = Platform(services, control, faults, calls)
            nursery.start_soon(listener.serve, platform.handle)
            if redis is not None:
                tenants = tuple(tenant for tenant in known.tenants if tenant != ANY_TENANT)
                await nursery.start(QueueServer(redis, Keys(), platform.handle, tuple(services), tenants).run)
            try:
                yield Sandbox(listener.port, known, faults, calls, spent, gateway, tuple(services))
            finally:
                nursery.cancel_scope.cancel()


@cache
def _trusted() -> SSLContext:
    """Load the certificates that are trusted: once, for it takes longer than the rest of a start."""
    return httpx.create_ssl_context()


def _stand_in(name: str, resources: SandboxResources) -> StandIn:
    """Make the stand-in of a service: of the module that has its name."""
    made: StandIn = import_module(f"orchestrator.sandbox.services.{name}").stand_in(resources)
    return made
