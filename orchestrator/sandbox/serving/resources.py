"""What the stand-ins of services are made of."""

from contextlib import AsyncExitStack
from pathlib import Path

import trio
from attrs import field, frozen

from orchestrator.sandbox.data_files import Fixtures
from orchestrator.sandbox.retrieval.library import Library
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.model_server import ModelServer
from orchestrator.sandbox.serving.usage import Spent


@frozen
class SandboxResources:
    """Resources of one sandbox, shared by its stand-ins."""

    fixtures: Fixtures
    library: Library
    model: ModelServer
    gateway: GatewayClient
    """The way back to the orchestrator."""
    nursery: trio.Nursery
    """For work that goes on after the answer; cancelled at the end."""
    closing: AsyncExitStack
    """Closed after the nursery."""
    data_dir: Path | None = None
    """For what outlives the sandbox; None: nothing does."""
    spent: Spent = field(factory=Spent)
