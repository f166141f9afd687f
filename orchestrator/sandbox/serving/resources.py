"""Resources of the stand-ins."""

from contextlib import AsyncExitStack
from pathlib import Path

import trio
from attrs import field, frozen

from orchestrator.sandbox.data_files import Fixtures
from orchestrator.sandbox.retrieval.index import PassageIndex
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.model_server import ModelServer
from orchestrator.sandbox.serving.usage import Spent


@frozen
class SandboxResources:
    """Resources of one sandbox, shared by its stand-ins."""

    fixtures: Fixtures
    index: PassageIndex
    model: ModelServer
    gateway: GatewayClient
    """Client of the orchestrator's internal API."""
    nursery: trio.Nursery
    """For background work; cancelled at the end."""
    closing: AsyncExitStack
    """For what has to be closed after the nursery."""
    data_dir: Path | None = None
    """For data that outlives the sandbox; None: in memory."""
    spent: Spent = field(factory=Spent)
