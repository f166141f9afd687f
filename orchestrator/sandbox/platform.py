"""The sandbox: the seven services behind one port of the loopback."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from ssl import SSLContext

import httpx
import trio
from attrs import field, frozen

from orchestrator.sandbox.data_files import ANY_TENANT, Fixtures, data_folder, load_fixtures
from orchestrator.sandbox.retrieval.library import Library
from orchestrator.sandbox.services.agent_execution import AgentExecutionService
from orchestrator.sandbox.services.agent_management import AgentManagementService
from orchestrator.sandbox.services.conversation import ConversationService
from orchestrator.sandbox.services.embedding import EmbeddingService
from orchestrator.sandbox.services.query import QueryService
from orchestrator.sandbox.services.tool_registry import ToolRegistryService
from orchestrator.sandbox.services.workflow_engine import WorkflowEngineService
from orchestrator.sandbox.serving.control import Calls, Control
from orchestrator.sandbox.serving.faults import Faults, InjectedFault, InjectedFaultKind, cut, parse_fault, strike
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.http_server import Request, SandboxAnswer, json_reply, listen
from orchestrator.sandbox.serving.model_server import model_from_environment
from orchestrator.sandbox.serving.queue_server import QueueServer
from orchestrator.sandbox.serving.repetitions import Repetitions
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, Service
from orchestrator.sandbox.serving.usage import Spent
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis


@frozen
class Platform:
    """Leads each request to its service, by way of the faults that were asked for."""

    services: Mapping[str, Service]
    control: Control
    faults: Faults
    calls: Calls
    _repetitions: Repetitions = field(factory=Repetitions)

    async def handle(self, request: Request) -> SandboxAnswer:
        """Answer a request."""
        if request.segments[0] == "control":
            return self.control.answer(request)
        service = self.services.get(request.segments[0])
        if service is None:
            message = f"There is no such service; there are {', '.join(self.services)}."
            return json_reply({"error": {"code": "SANDBOX_NOTF_001", "message": message}}, 404)
        try:
            return await self._serve(service, request)
        except SandboxRefusal as refusal:
            return refusal.reply()

    async def _serve(self, service: Service, request: Request) -> SandboxAnswer:
        path = request.segments[1:]
        found = None if path == ("health",) else service.find(request.method, path)
        operation = "health" if found is None else found[0].operation
        self.calls[service.name, operation] += 1
        fault = self._fault(service, operation, request)
        struck = None if fault is None else await strike(fault)
        if struck is not None:
            return struck
        if found is None:
            answer: SandboxAnswer = json_reply({"status": "healthy", "service": service.name})
        else:
            answer = await self._call(found[0], service.unpack(request, found[1]))
        return cut(answer) if fault is not None and fault.kind is InjectedFaultKind.CUT else answer

    def _fault(self, service: Service, operation: str, request: Request) -> InjectedFault | None:
        asked = request.headers.get("x-sandbox-fault")
        if asked is None:
            return self.faults.take(service.name, operation)
        try:
            return parse_fault(asked)
        except ValueError:
            raise SandboxRefusal(400, "SANDBOX_VAL_001", f"X-Sandbox-Fault can't be {asked!r}.") from None

    async def _call(self, route: SandboxRoute, call: SandboxCall) -> SandboxAnswer:
        """Do an operation; where it creates something, a repeated key gets the first answer again."""
        key = call.request.headers.get("idempotency-key")
        if key is None or not route.creates:
            return await route.handler(call)
        name = (call.prefix, route.operation, call.tenant_id, *call.params.values(), key)
        return await self._repetitions.once(name, lambda: route.handler(call))


@frozen
class Sandbox:
    """A running sandbox."""

    port: int
    fixtures: Fixtures
    faults: Faults
    calls: Calls
    """How often each operation was called: `calls["conversation", "append"]`."""
    spent: Spent
    """What Query and Embedding have spent."""
    _gateway: GatewayClient
    _names: tuple[str, ...]

    @property
    def url(self) -> str:
        """The address of the whole."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def urls(self) -> dict[str, str]:
        """The base address of each service, by its name."""
        return {name: f"{self.url}/{name}" for name in self._names}

    def connect(self, orchestrator_url: str, internal_api_key: str | None) -> None:
        """Say where the orchestrator is, for a sandbox that was started before it."""
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
    prepare: bool = False,
    redis_url: str | None = None,
) -> AsyncIterator[Sandbox]:
    """Run the seven services inside the block.

    Args:
        fixtures: tenants, agents, tools, workflows and documents; default: the project's own.
        port: a loopback port; 0 takes a free one.
        orchestrator_url: where agents reach Query and Embedding, and where news of delegated work go.
        internal_api_key: presented there as `X-API-Key`.
        data_dir: where conversations are kept; None keeps them in memory.
        docs: the collection `docs`; default: the project's own documentation.
        prepare: whether to index the documents at once, not with the first question; it takes a second of a thread.
        redis_url: where the services are asked through their queues too; None: they are not.

    Raises:
        OSError: the port is taken.
        StoreUnavailable: there is no Redis there.
    """
    known = load_fixtures(fixtures)
    library = Library(docs or data_folder("docs"), known.folder / "documents")
    conversation = ConversationService(data_dir)
    listener = await listen(port)
    faults, calls, spent = Faults(), Calls(), Spent()
    async with httpx.AsyncClient(verify=_trusted()) as client, AsyncExitStack() as resources:
        redis = None
        if redis_url is not None:
            redis = await resources.enter_async_context(open_redis(redis_url, name="nooble-sandbox"))
        gateway, model = GatewayClient(client, orchestrator_url, internal_api_key), model_from_environment(client)
        async with trio.open_nursery() as nursery:
            services = (
                conversation.service(),
                AgentManagementService(known).service(),
                AgentExecutionService(known, gateway, model, nursery, OrderedDict()).service(),
                WorkflowEngineService(known, gateway, nursery, OrderedDict()).service(),
                ToolRegistryService(known, gateway, nursery).service(),
                QueryService(library, model, spent).service(),
                EmbeddingService(library, spent).service(),
            )
            by_name = {service.name: service for service in services}
            control = Control(faults, calls, gateway, frozenset(by_name), spent)
            if prepare:
                nursery.start_soon(library.prepare)
            platform = Platform(by_name, control, faults, calls)
            nursery.start_soon(listener.serve, platform.handle)
            if redis is not None:
                tenants = tuple(tenant for tenant in known.tenants if tenant != ANY_TENANT)
                await nursery.start(QueueServer(redis, Keys(), platform.handle, tuple(by_name), tenants).run)
            try:
                yield Sandbox(listener.port, known, faults, calls, spent, gateway, tuple(by_name))
            finally:
                nursery.cancel_scope.cancel()
                conversation.close()


@cache
def _trusted() -> SSLContext:
    """Load the certificates that are trusted: once, for it takes longer than the rest of a start."""
    return httpx.create_ssl_context()
