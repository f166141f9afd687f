"""The stores, over an empty Redis."""

from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.sessions.sessions import SessionStore
from orchestrator.store.tasks.admission import AdmissionStore
from orchestrator.store.tasks.tasks import TaskStore


@frozen
class Stores:
    """All stores of tenants' data."""

    redis: Redis
    keys: Keys
    sessions: SessionStore
    admission: AdmissionStore
    tasks: TaskStore


@pytest.fixture
async def stores(redis_url: str) -> AsyncIterator[Stores]:
    """The stores, over an empty Redis."""
    async with open_redis(redis_url) as redis:
        shared = (redis, Keys(), 1000, LimitDefaults.of(AgentOrchestratorSettings()))
        yield Stores(redis, Keys(), SessionStore(*shared), AdmissionStore(*shared), TaskStore(*shared))
