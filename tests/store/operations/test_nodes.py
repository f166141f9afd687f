"""Processes and their loads, as processes of several versions say them."""

from typing import Any

import orjson
import pytest

from orchestrator.codec import encode
from orchestrator.models.operations.load import NodeLoad
from orchestrator.store.operations.nodes import Nodes
from tests.store.conftest import Stores

LOAD = NodeLoad(
    "n", "host", 1, "1.0", "2026-01-01T00:00:00.000Z", slots=100, in_hand=5, claimed=9, ended=4, limit=6, loop_busy=0.5
)


async def said(stores: Stores, body: Any) -> NodeLoad | None:
    """What is read of a process that has said `body`."""
    nodes = Nodes(stores.redis, stores.keys)
    await nodes.beat("n")
    await stores.redis.hset(stores.keys.loads, "n", orjson.dumps(body))
    [node] = await nodes.list(10_000)
    assert node.live
    return node.load


async def test_a_process_of_an_earlier_version_does_not_say_how_many_tasks_it_runs_at_once(stores: Stores) -> None:
    body = orjson.loads(encode(LOAD))
    del body["limit"], body["loop_busy"]
    load = await said(stores, body)
    assert load is not None
    assert (load.in_hand, load.limit, load.loop_busy) == (5, 0, 0.0)


async def test_what_a_later_version_says_more_hides_nothing(stores: Stores) -> None:
    assert await said(stores, orjson.loads(encode(LOAD)) | {"moods": ["calm"]}) == LOAD


@pytest.mark.parametrize("body", [[], "calm", {"node": "n"}])
async def test_what_is_no_load_is_not_told(stores: Stores, body: Any) -> None:
    assert await said(stores, body) is None
