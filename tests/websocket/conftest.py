"""A stage for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.websocket.stage import Stage, open_stage


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    """The sockets, served."""
    async with open_stage(redis_url) as stage:
        yield stage
