"""The gateway: what goes through it, and what it counts."""

from typing import Any

import orjson
import pytest
import trio

from orchestrator.errors import BadGateway, InvalidAnswer, ServiceFault, ServiceRefused, TenantNotGranted
from orchestrator.models.gateway.usage import UsageGroup
from tests.services.gateway.rig import ANSWER, CTX, USAGE, Rig, answering, rig
from tests.support.scripted_server import Asked, begin_stream, end_stream, reply, send_lines, stream_all


async def test_an_answer_comes_back_as_it_was_and_is_counted(redis_url: str) -> None:
    answer: dict[str, Any] = {**ANSWER, "metadata": {**USAGE, "cost": 0.002}}
    handler, seen = answering(answer)
    async with rig(redis_url, handler) as up:
        body = {"query": "Really?", "agent_id": "docs-guide", "new_field": 1}
        told = await up.gateway.generate(CTX, body)
        assert told == {**answer, "metadata": {**answer["metadata"], "cache": "miss"}}
        report = await up.usage()
    assert seen[0].path == "/api/v1/internal/query"
    assert seen[0].body == {**body, "tenant_id": "acme"}
    (item,) = report.items
    assert (item.key, item.requests, item.prompt_tokens, item.completion_tokens) == ("large", 1, 20, 5)
    assert (item.total_tokens, item.cost) == (25, 0.002)


async def test_searches_and_embeddings_are_counted(redis_url: str) -> None:
    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.path.endswith("search"):
            await reply(stream, {"success": True, "data": {"results": []}})
        else:
            await reply(stream, {"embeddings": [[0.1]], "model": "small", "dimensions": 1, "total_tokens": 4})

    async with rig(redis_url, handler) as up:
        await up.gateway.search(CTX, {"query": "x"})
        assert (await up.gateway.embed(CTX, {"texts": ["a"], "user_id": "ann", "session_id": "s-1"}))["embeddings"] == [
            [0.1]
        ]
        report = await up.usage()
        by_user = await up.usage(UsageGroup.USER)
        by_session = await up.usage(UsageGroup.SESSION)
    assert {item.key: (item.requests, item.total_tokens) for item in report.items} == {
        "small": (1, 4),
        "unknown": (1, 0),
    }
    assert [(item.key, item.total_tokens) for item in by_user.items] == [("", 0), ("ann", 4)]
    assert [(item.key, item.total_tokens) for item in by_session.items] == [("", 0), ("s-1", 4)]


async def test_a_body_of_another_tenant_goes_nowhere(redis_url: str) -> None:
    handler, seen = answering({})
    async with rig(redis_url, handler) as up:
        for tenant_id in ("globex", ["acme"]):
            with pytest.raises(TenantNotGranted):
                await up.gateway.generate(CTX, {"query": "x", "tenant_id": tenant_id})
    assert seen == []


async def test_what_a_service_could_not_do_keeps_its_own_code(redis_url: str) -> None:
    handler, _ = answering({"success": False, "error": {"code": "QRY_3", "message": "No collection."}})
    async with rig(redis_url, handler) as up:
        with pytest.raises(ServiceRefused) as caught:
            await up.gateway.generate(CTX, {"query": "x"})
        assert (await up.usage()).items == []
    assert caught.value.details[0].message == "QRY_3: No collection."


@pytest.mark.parametrize("answer", [{"success": True}, {"data": {}}, {"data": {"response": None}, "metadata": USAGE}])
async def test_an_answer_without_response_is_none(redis_url: str, answer: dict[str, Any]) -> None:
    handler, _ = answering(answer)
    async with rig(redis_url, handler) as up:
        with pytest.raises(InvalidAnswer):
            await up.gateway.generate(CTX, {"query": "x"})


async def read(up: Rig) -> bytes:
    found = b""
    async with up.gateway.stream(CTX, {"query": "x"}) as passing:
        while (piece := await passing.receive()) is not None:
            found += piece
    return found


async def test_a_stream_passes_through_byte_by_byte_and_is_counted(redis_url: str) -> None:
    chunks = [{"chunk": "Yes"}, {"chunk": "!"}, {"is_last": True, "metadata": USAGE}]

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream_all(stream, *chunks)

    async with rig(redis_url, handler) as up:
        assert await read(up) == b"".join(orjson.dumps(chunk) + b"\n" for chunk in chunks)
        assert (await up.usage()).totals.total_tokens == 25


async def test_a_stream_is_not_held_back(redis_url: str) -> None:
    first_read = trio.Event()

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, {"chunk": "Yes"})
        await first_read.wait()
        await send_lines(stream, {"metadata": USAGE})
        await end_stream(stream)

    async with rig(redis_url, handler) as up, up.gateway.stream(CTX, {"query": "x"}) as passing:
        assert await passing.receive() == b'{"chunk":"Yes"}\n'
        first_read.set()
        assert await passing.receive() is not None
        assert await passing.receive() is None


@pytest.mark.parametrize(("last", "kind"), [(b"not JSON\n", InvalidAnswer), (b'{"chunk": "half"}\n', BadGateway)])
async def test_a_broken_stream_is_never_taken_for_a_whole_one(
    redis_url: str, last: bytes, kind: type[ServiceFault]
) -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream_all(stream, {"chunk": "Yes"}, last)

    async with rig(redis_url, handler) as up:
        with pytest.raises(kind):
            await read(up)


async def test_the_usage_of_a_reader_that_left_is_counted(redis_url: str) -> None:
    gone = trio.Event()

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, {"chunk": "Yes"})
        await gone.wait()
        await send_lines(stream, {"chunk": "!"})
        await send_lines(stream, {"metadata": USAGE})
        await end_stream(stream)

    async with rig(redis_url, handler) as up:
        async with trio.open_nursery() as nursery:

            async def reader() -> None:
                async with up.gateway.stream(CTX, {"query": "x"}) as passing:
                    await passing.receive()
                    nursery.cancel_scope.cancel()
                    gone.set()
                    await passing.receive()
                    raise AssertionError("a reader that is gone reads nothing")

            nursery.start_soon(reader)
        assert (await up.usage()).totals.total_tokens == 25


@pytest.mark.parametrize(
    "metadata",
    [
        {"token_usage": {"total_tokens": 2**63 - 1}},
        {"token_usage": {"prompt_tokens": 10**16, "completion_tokens": 10**16}},
        {**USAGE, "cost": 1e12},
        {**USAGE, "cost": 1e300},
    ],
)
async def test_a_service_that_tells_numbers_beyond_all_bounds_is_not_believed(
    redis_url: str, metadata: dict[str, Any]
) -> None:
    handler, _ = answering({**ANSWER, "metadata": metadata})
    async with rig(redis_url, handler) as up:
        for _ in range(2):
            with pytest.raises(InvalidAnswer):
                await up.gateway.generate(CTX, {"query": "x", "cache": False})
        # What they have spent is unknown: their reservations stay, and they are asked for again.
        assert await up.reservations() == 2
        assert (await up.usage()).items == []


async def test_a_request_may_name_any_number_of_tokens(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        body = {"query": "x", "max_tokens": 2**63 - 1, "similarity_top_k": 2**63 - 1, "collection_id": "docs"}
        assert (await up.gateway.generate(CTX, body))["data"] == ANSWER["data"]
        assert (await up.budget())["reserved"] == 0
