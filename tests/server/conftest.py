"""One server a test, and what it logs."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.server.stage import Stage, open_stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A server with its usual limits."""
    async with open_stage() as stage:
        yield stage


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the server logs."""
    with capture_logs() as logs:
        yield logs
