"""What is asked of Query and Embedding under one key is done and counted once, though clients go away meanwhile."""

from typing import Any

import httpx
import orjson
import pytest
import trio

from orchestrator.sandbox.platform import Sandbox
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.sandbox.conftest import Client

EMBED = "/api/v1/internal/enhanced_embed"
QUERY = "/api/v1/internal/query"
QUESTION = {"query": "How do I drain a tenant?", "collection_id": "docs"}


async def ask(client: Client, service: str, path: str, body: dict[str, Any], key: str) -> bytes:
    answer = await client.ask("POST", service, path, body, headers={"Idempotency-Key": key})
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    ("service", "path", "body"),
    [
        ("embedding", EMBED, {"texts": ["drain"]}),
        ("query", QUERY, QUESTION),
        ("query", QUERY, {**QUESTION, "stream": True}),
        ("query", "/api/v1/internal/search", QUESTION),
    ],
)
async def test_a_repeated_key_gets_the_first_answer_and_spends_nothing(
    client: Client, sandbox: Sandbox, service: str, path: str, body: dict[str, Any]
) -> None:
    first = await ask(client, service, path, body, "k-1")
    spent = sandbox.spent.of("acme", service)
    assert await ask(client, service, path, body, "k-1") == first
    assert sandbox.spent.of("acme", service) == spent
    assert spent["requests"] == 1
    await ask(client, service, path, body, "k-2")
    assert sandbox.spent.of("acme", service)["total_tokens"] == 2 * spent["total_tokens"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_answer_is_returned_for_a_repeated_key(client: Client, sandbox: Sandbox, stream: bool) -> None:
    body = {**QUESTION, "stream": stream}
    whole = await ask(client, "query", QUERY, body, "other")
    sandbox.spent.clear()
    sandbox.faults.add(InjectedFault(InjectedFaultKind.CUT, service="query", count=1))
    with pytest.raises(httpx.TransportError):
        await ask(client, "query", QUERY, body, "k-1")
    assert orjson.loads(whole.splitlines()[-1]) == orjson.loads(
        (await ask(client, "query", QUERY, body, "k-1")).splitlines()[-1]
    )
    assert sandbox.spent.of("acme")["requests"] == 1


async def test_equal_keys_at_once_are_done_once(client: Client, sandbox: Sandbox) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, client, "query", QUERY, {**QUESTION, "stream": True}, "k-1")
            nursery.start_soon(ask, client, "embedding", EMBED, {"texts": ["drain"]}, "k-1")
    assert sandbox.spent.of("acme")["requests"] == 2


async def test_the_control_route_tells_what_was_spent(client: Client, sandbox: Sandbox) -> None:
    await ask(client, "embedding", EMBED, {"texts": ["one two"]}, "k-1")
    told = (await client.http.get(f"{sandbox.url}/control/usage")).json()
    assert told == {
        "acme": {"embedding": {"requests": 1, "prompt_tokens": 2, "completion_tokens": 0, "total_tokens": 2}}
    }
    await client.http.delete(f"{sandbox.url}/control/usage")
    assert (await client.http.get(f"{sandbox.url}/control/usage")).json() == {}
