"""The stand-ins of Query and Embedding, and what they find."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.sandbox.data_files import data_folder
from orchestrator.sandbox.retrieval.index import PassageIndex, words
from orchestrator.sandbox.retrieval.passages import load_passages, split
from tests.sandbox.conftest import Client

EMBED = "/api/v1/internal/enhanced_embed"
SEARCH = "/api/v1/internal/search"
QUERY = "/api/v1/internal/query"


async def plain(client: Client, service: str, path: str, body: dict[str, Any]) -> Any:
    answer = await client.ask("POST", service, path, body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    return answer.json()


async def embed(client: Client, *texts: str) -> list[list[float]]:
    embeddings: list[list[float]] = (await plain(client, "embedding", EMBED, {"texts": texts}))["embeddings"]
    return embeddings


async def test_texts_become_vectors(client: Client) -> None:
    answer = await plain(client, "embedding", EMBED, {"texts": ["one two", "three"], "collection_id": "docs"})
    assert answer["dimensions"] == len(answer["embeddings"][0]) == len(answer["embeddings"][1])
    assert answer["total_tokens"] == 4
    assert answer["model"]


async def test_equal_texts_have_equal_vectors_and_alike_ones_are_near(client: Client) -> None:
    first, again, near, far = await embed(client, "drain a tenant", "drain a tenant", "draining tenants", "tide gauge")
    assert first == again

    def cosine(other: list[float]) -> float:
        return sum(a * b for a, b in zip(first, other, strict=True))

    assert cosine(near) > 0.9
    assert cosine(far) < 0.2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"texts": []}, 400),
        ({"texts": [1]}, 400),
        ({"texts": ["x"] * 257}, 400),
        ({"texts": ["x"], "model": "big"}, 422),
    ],
)
async def test_malformed_texts_are_refused(client: Client, body: dict[str, Any], status: int) -> None:
    answer = await client.ask("POST", "embedding", EMBED, body)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert answer.json()["error"]["code"].startswith("EMB_VAL_")


async def test_a_search_finds_the_passage(client: Client) -> None:
    question = "draining tenants"
    [vector] = await embed(client, question)
    for extra in ({}, {"query_embedding": vector}):
        body = {"query": question, "collection_id": "docs", "similarity_top_k": 2, **extra}
        answer = await plain(client, "query", SEARCH, body)
        results = answer["data"]["results"]
        assert results[0]["heading"] == "Drain a tenant"
        assert len(results) == 2
        assert results[0]["score"] >= results[1]["score"] > 0
        assert answer["metadata"]["token_usage"]["prompt_tokens"] == 4


async def test_a_tenant_finds_its_own_documents_alone(client: Client, globex: Client) -> None:
    body = {"query": "battery of the tide gauge", "collection_id": "manuals"}
    mine = await plain(client, "query", SEARCH, body)
    assert mine["data"]["results"][0]["heading"] == "Battery"
    assert (await plain(globex, "query", SEARCH, body))["data"]["results"] == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"collection_id": "nowhere"}, 404, "QRY_NOTF_001"),
        ({"query_embedding": [1.0]}, 422, "QRY_VAL_002"),
        ({"similarity_top_k": 0}, 400, "QRY_VAL_001"),
        ({"query": None}, 400, "QRY_VAL_001"),
        ({"collection_id": None}, 400, "QRY_VAL_001"),
    ],
)
async def test_a_malformed_search_is_refused(client: Client, fields: dict[str, Any], status: int, code: str) -> None:
    answer = await client.ask("POST", "query", SEARCH, {"query": "x", "collection_id": "docs", **fields})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_question_is_answered_from_the_passages(client: Client) -> None:
    answer = await plain(client, "query", QUERY, {"query": "How do I pause a tenant?", "collection_id": "docs"})
    assert "nooble-orch tenants pause TENANT" in answer["data"]["response"]
    assert answer["data"]["sources"][0]["heading"] == "Pause a tenant"
    usage = answer["metadata"]["token_usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_a_streamed_answer_ends_with_sources_and_usage(client: Client) -> None:
    body = {"query": "How do I pause a tenant?", "collection_id": "docs", "stream": True}
    answer = await client.ask("POST", "query", QUERY, body)
    chunks = [orjson.loads(line) for line in answer.content.splitlines()]
    assert {chunk["type"] for chunk in chunks[:-1]} == {"chunk"}
    assert chunks[-1]["type"] == "done"
    assert "".join(chunk["content"] for chunk in chunks[:-1]) == chunks[-1]["data"]["response"]
    assert chunks[-1]["metadata"]["token_usage"]["total_tokens"] > 0


async def test_without_a_collection_a_model_is_needed(client: Client) -> None:
    answer = await client.ask("POST", "query", QUERY, {"query": "Hello"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "QRY_LLM_001")


def test_documents_are_split_at_headings_but_not_within_code(docs: Path) -> None:
    passages = list(split((docs / "sessions.md").read_text(), "docs", None, "docs/sessions.md"))
    assert [passage.heading for passage in passages] == ["Sessions"]
    assert "# this is no heading" in passages[0].content


def test_a_long_passage_is_split_at_blank_lines() -> None:
    text = "# Long\n\n" + "\n\n".join(f"Paragraph {number}. " + "word " * 100 for number in range(10))
    passages = list(split(text, "docs", None, "long.md"))
    assert len(passages) > 2
    assert all(len(passage.content) < 2200 for passage in passages)


@pytest.mark.parametrize(
    ("one", "other"),
    [("draining tenants", "drain tenant"), ("queues", "queue"), ("retries", "retry"), ("stopped", "stop")],
)
def test_endings_do_not_matter(one: str, other: str) -> None:
    assert words(one) == words(other)


def test_stop_words_are_left_out() -> None:
    assert words("How do I drain a tenant?") == words("drain tenant")


def test_an_index_over_nothing_finds_nothing() -> None:
    index = PassageIndex([])
    assert index.search("acme", "docs", "anything", None, 3) == []


def test_the_projects_own_documentation_is_found() -> None:
    passages = load_passages(data_folder("docs"), data_folder("fixtures") / "documents")
    hits = PassageIndex(passages).search("acme", "docs", "How do I drain a tenant?", None, 3)
    assert "drain" in hits[0].passage.content.lower()
