"""The gateway's cache: what may be given again is, exactly, and what many ask for at once is asked for once."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from orchestrator.domain.gateway.gateway_cache import request_digest
from orchestrator.errors import InvalidAnswer, StoreUnavailable
from orchestrator.models.gateway.usage import UsageKind
from orchestrator.services.gateway.single_flight import AnswerCodec
from orchestrator.store.gateway.answer_cache import LEASE_MS
from orchestrator.store.redis.connection import RedisAway
from tests.services.gateway.rig import ANSWER, CTX, USAGE, answering, embedding, gateway_at, rig
from tests.support.scripted_server import Asked, reply, serve, stream_all

QUESTION = {"query": "Really?", "user_id": "ann", "correlation_id": "c-1"}


async def test_the_same_request_gets_the_cached_answer(redis_url: str) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        first = await up.gateway.generate(CTX, QUESTION)
        again = await up.gateway.generate(CTX, {"user_id": "bob", "query": "Really?"})
        totals = (await up.usage()).totals
    assert len(seen) == 1
    assert (first["metadata"]["cache"], again["metadata"]["cache"]) == ("miss", "hit")
    assert first["data"] == again["data"] == ANSWER["data"]
    assert (totals.requests, totals.cached, totals.total_tokens) == (2, 1, 25)


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({"cache": False}, 2),
        ({"temperature": 0.7}, 2),
        ({"temperature": 0.7, "cache": True}, 1),
        ({"temperature": 0}, 1),
        ({"llm_model": "small"}, 1),
    ],
)
async def test_random_answers_are_not_cached_unless_asked_for(redis_url: str, more: dict[str, Any], calls: int) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        for _ in range(2):
            await up.gateway.generate(CTX, {**QUESTION, **more})
        await up.gateway.generate(CTX, {**QUESTION, "query": "Something else?"})
    assert len(seen) == calls + 1
    assert all("cache" not in asked.body for asked in seen)


async def test_only_texts_that_are_not_there_are_embedded_in_one_call_and_in_their_order(redis_url: str) -> None:
    handler, seen = embedding()
    async with rig(redis_url, handler) as up:
        first = await up.gateway.embed(CTX, {"texts": ["a", "bb"]})
        mixed = await up.gateway.embed(CTX, {"texts": ["ccc", "bb", "dddd", "a", "ccc"]})
        hit = await up.gateway.embed(CTX, {"texts": ["dddd"]})
        totals = (await up.usage()).totals
        anew = await up.gateway.embed(CTX, {"texts": ["dddd"], "cache": False})
    assert seen == [["a", "bb"], ["ccc", "dddd"], ["dddd"]]
    assert (anew["embeddings"], anew["total_tokens"], anew["metadata"]) == (hit["embeddings"], 4, {"cache": "miss"})
    assert first["embeddings"] == [[1 / 3, -0.1, 1e-300], [2 / 3, -0.1, 1e-300]]
    assert [row[0] for row in mixed["embeddings"]] == [1.0, 2 / 3, 4 / 3, 1 / 3, 1.0]
    assert (mixed["total_tokens"], mixed["metadata"]) == (7, {"cache": "miss", "cached_texts": 2})
    assert (hit["total_tokens"], hit["dimensions"], hit["metadata"]["cache"]) == (0, 3, "hit")
    assert (totals.requests, totals.cached, totals.total_tokens) == (3, 1, 10)


async def test_vectors_of_two_models_are_never_mixed(redis_url: str) -> None:
    models = iter(["old", "new", "new"])
    seen = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        texts = asked.body["texts"]
        seen.append(texts)
        await reply(
            stream,
            {"embeddings": [[0.5]] * len(texts), "model": next(models), "dimensions": 1, "total_tokens": 1},
        )

    async with rig(redis_url, handler) as up:
        await up.gateway.embed(CTX, {"texts": ["a"]})
        answer = await up.gateway.embed(CTX, {"texts": ["a", "b"]})
        again = await up.gateway.embed(CTX, {"texts": ["b", "a"]})
    assert seen == [["a"], ["b"], ["a", "b"]]
    assert (again["model"], again["metadata"]["cache"]) == ("new", "hit")
    assert (answer["model"], len(answer["embeddings"]), answer["total_tokens"]) == ("new", 2, 2)


async def test_a_thousand_equal_requests_at_once_are_one_call(redis_url: str) -> None:
    handler, seen = embedding()
    async with rig(redis_url, handler) as up:
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(up.gateway.embed, CTX, {"texts": ["one", "other"]})
        totals = (await up.usage()).totals
    assert seen == [["one", "other"]]
    assert (totals.requests, totals.cached, totals.total_tokens) == (1000, 999, 8)


async def test_equal_requests_of_several_processes_are_one_call(redis_url: str) -> None:
    handler, seen = embedding()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(handler))
        processes = [await stack.enter_async_context(gateway_at(redis_url, url)) for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for number in range(30):
                texts = ["shared", f"{number % 3}"]
                nursery.start_soon(processes[number % 3].gateway.embed, CTX, {"texts": texts})
    assert sorted(text for texts in seen for text in texts) == ["0", "1", "2", "shared"]


async def test_when_a_leader_dies_the_next_process_takes_the_lead(redis_url: str) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        cache, digest = up.gateway.flights.cache, request_digest(QUESTION)
        await cache.seek("acme", UsageKind.GENERATE, [digest], "somebody who will never answer")
        await up.redis.pexpire(cache.name("acme", UsageKind.GENERATE, digest) + b":lease", 300)
        with trio.fail_after(LEASE_MS / 1000):
            assert (await up.gateway.generate(CTX, QUESTION))["data"] == ANSWER["data"]
    assert len(seen) == 1


async def test_a_failed_call_fails_for_every_caller_that_waits_for_it(redis_url: str) -> None:
    handler, seen = answering({"success": True, "data": {}, "metadata": USAGE})
    told = []

    async with rig(redis_url, handler) as up:

        async def ask() -> None:
            with pytest.raises(InvalidAnswer) as caught:
                await up.gateway.generate(CTX, QUESTION)
            told.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        totals = (await up.usage()).totals
    assert len(set(map(id, told))) == 5
    assert len(seen) == 1
    assert (totals.requests, totals.total_tokens) == (1, 25)


async def test_an_answer_goes_on_to_the_others_when_the_first_who_asked_leaves(redis_url: str) -> None:
    asked_for, go_on = trio.Event(), trio.Event()

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        asked_for.set()
        await go_on.wait()
        await reply(stream, ANSWER)

    async with rig(redis_url, handler) as up, trio.open_nursery() as nursery:
        leaving = trio.CancelScope()

        async def first() -> None:
            with leaving:
                await up.gateway.generate(CTX, QUESTION)
                raise AssertionError("it has left")

        nursery.start_soon(first)
        await asked_for.wait()
        leaving.cancel()
        async with trio.open_nursery() as others:
            others.start_soon(up.gateway.generate, CTX, QUESTION)
            go_on.set()
        assert (await up.usage()).totals.total_tokens == 25


async def test_large_answers_are_not_kept_and_old_ones_make_room(redis_url: str) -> None:
    handler, seen = embedding()
    async with rig(redis_url, handler, cache_bytes=100, cache_answer_bytes=40) as up:
        for text in ("a", "bb", "ccc", "dddd", "a"):
            await up.gateway.embed(CTX, {"texts": [text]})
        await up.gateway.embed(CTX, {"texts": ["a"]})
    # Three vectors of 30 bytes are kept: the fourth drives the first one out.
    assert seen == [["a"], ["bb"], ["ccc"], ["dddd"], ["a"]]
    handler, seen = embedding()
    async with rig(redis_url, handler, cache_answer_bytes=20) as up:
        for _ in range(2):
            await up.gateway.embed(CTX, {"texts": ["eeeee"]})
    assert len(seen) == 2


async def test_answers_are_kept_for_their_time_and_tenant(redis_url: str) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler, generate_ttl=60, search_ttl=0) as up:
        await up.gateway.generate(CTX, QUESTION)
        cache, digest = up.gateway.flights.cache, request_digest(QUESTION)
        assert 0 < await up.redis.pttl(cache.name("acme", UsageKind.GENERATE, digest)) <= 60_000
        assert not await up.redis.exists(cache.name("globex", UsageKind.GENERATE, digest))
        for _ in range(2):
            assert (await up.gateway.search(CTX, QUESTION))["metadata"]["cache"] == "miss"
    assert len(seen) == 3


async def test_a_stream_is_given_again_byte_by_byte_where_that_is_wanted(redis_url: str) -> None:
    calls = []

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        calls.append(1)
        await stream_all(stream, {"chunk": "Yes"}, {"chunk": "!"}, {"metadata": USAGE})

    async with rig(redis_url, handler) as up:

        async def read(**more: Any) -> bytes:
            found = b""
            async with up.gateway.stream(CTX, {**QUESTION, **more}) as passing:
                while (piece := await passing.receive()) is not None:
                    found += piece
            return found

        first = await read(cache=True)
        assert await read(cache=True) == first
        assert await read() == first
        totals = (await up.usage()).totals
    assert len(calls) == 2
    assert (totals.requests, totals.cached, totals.total_tokens) == (3, 1, 50)


async def test_when_redis_is_away_every_waiting_caller_fails(redis_url: str) -> None:
    handler, seen = answering(ANSWER)
    told = []
    async with rig(redis_url, handler) as up:
        away = RedisAway("gone", sent=True)

        async def fetch(_: list[str]) -> list[Any]:
            await trio.testing.wait_all_tasks_blocked()
            raise away

        async def ask() -> None:
            with pytest.raises(RedisAway) as caught:
                await up.gateway.flights.obtain(
                    "acme", UsageKind.SEARCH, ["0" * 64], AnswerCodec(bytes, bytes, 1), fetch
                )
            told.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
    assert [(error.sent, error.code, error is away) for error in told] == [(True, "ORCH_SYS_002", False)] * 3
    assert seen == []


async def test_a_gateway_that_has_stopped_says_so(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        pass
    with pytest.raises(StoreUnavailable):
        await up.gateway.generate(CTX, QUESTION)


@pytest.mark.parametrize("odd", [b"", b"x", b"\xff", b"[]", b"{}", b'{"data":5}', b"m\0abc"])
async def test_a_damaged_answer_is_asked_for_anew(redis_url: str, odd: bytes) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        for _ in range(2):
            first = await up.gateway.generate(CTX, QUESTION)
            [key] = [one for one in await up.redis.keys("orchestrator:cache:*:*:*") if not one.endswith(b":size")]
            await up.redis.set(key, odd)
        again = await up.gateway.generate(CTX, QUESTION)
        assert await up.gateway.generate(CTX, QUESTION) == again | {"metadata": again["metadata"] | {"cache": "hit"}}
    assert (len(seen), again) == (3, first)


async def test_a_damaged_vector_is_asked_for_anew(redis_url: str) -> None:
    handler, seen = embedding()
    async with rig(redis_url, handler) as up:
        first = await up.gateway.embed(CTX, {"texts": ["a", "bb"]})
        keys = [key for key in await up.redis.keys("orchestrator:cache:*:embed:*") if not key.endswith(b":size")]
        for key in keys:
            await up.redis.set(key, b"m\0abc")
        assert await up.gateway.embed(CTX, {"texts": ["a", "bb"]}) == first
    assert (len(keys), len(seen)) == (2, 2)
