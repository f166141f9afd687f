"""Query: finds passages and answers from them, by a model where one is configured, else by extraction."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.clients.query import GENERATE, SEARCH
from orchestrator.sandbox.retrieval.extraction import extract, sources
from orchestrator.sandbox.retrieval.index import DIMENSIONS, Hit, PassageIndex
from orchestrator.sandbox.serving.http_server import SandboxAnswer, SandboxReply, Stream, Writer, json_reply
from orchestrator.sandbox.serving.model_server import ModelFailed, ModelServer
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn
from orchestrator.sandbox.serving.text import count_tokens
from orchestrator.sandbox.serving.usage import Spent

EXTRACTION: Final = "sandbox-extraction"
DEFAULT_PROMPT: Final = "Answer from the passages alone, and name the page that you rely on."
OnText = Callable[[str], Awaitable[None]]


@frozen
class QueryService:
    """The Query service."""

    index: PassageIndex
    model: ModelServer
    spent: Spent

    async def search(self, call: SandboxCall) -> SandboxReply:
        """Return the passages nearest to a question."""
        question = call.get("query", str)
        hits = self._find(call, question, call.get("collection_id", str))
        results = [
            {
                "content": hit.passage.content,
                "score": hit.score,
                "title": hit.passage.title,
                "path": hit.passage.path,
                "heading": hit.passage.heading,
                "collection_id": hit.passage.collection_id,
            }
            for hit in hits
        ]
        usage = {"prompt_tokens": count_tokens(question), "completion_tokens": 0}
        metadata = self._counted(call, "search", usage)
        return json_reply({"success": True, "data": {"results": results}, "metadata": metadata})

    async def query(self, call: SandboxCall) -> SandboxAnswer:
        """Answer a question, whole or as newline-delimited chunks; the last chunk has sources and usage."""
        question = call.get("query", str)
        collection_id = call.get("collection_id", str, None)
        if collection_id is None and not self.model.configured:
            raise SandboxRefusal(
                422, "QRY_LLM_001", "No language model is configured, and no collection to extract from."
            )
        hits = [] if collection_id is None else self._find(call, question, collection_id)
        if call.get("stream", bool, False):

            async def run(writer: Writer) -> bool:
                return await self._stream(call, question, hits, writer)

            return Stream(run)
        try:
            text, metadata = await self._generate(call, question, hits, _ignore)
        except ModelFailed as error:
            raise SandboxRefusal(502, "QRY_LLM_002", str(error)) from error
        return json_reply({"success": True, "data": {"response": text, "sources": sources(hits)}, "metadata": metadata})

    async def _stream(self, call: SandboxCall, question: str, hits: list[Hit], writer: Writer) -> bool:
        """Stream an answer; returns whether it is complete."""

        async def on_text(text: str) -> None:
            await writer.send(_chunk(type="chunk", content=text))

        try:
            text, metadata = await self._generate(call, question, hits, on_text)
        except ModelFailed as error:
            fault = {"code": "QRY_LLM_002", "message": str(error), "retryable": True}
            await writer.send(_chunk(type="error", error=fault))
            return False
        data = {"response": text, "sources": sources(hits)}
        await writer.send(_chunk(type="done", data=data, metadata=metadata))
        return True

    async def _generate(
        self, call: SandboxCall, question: str, hits: list[Hit], on_text: OnText
    ) -> tuple[str, dict[str, Any]]:
        if self.model.configured:
            completion = await self.model.chat(
                _prompt(call, question, hits),
                on_text,
                model=call.get("llm_model", str, None),
                max_tokens=call.get("max_tokens", int, None),
            )
            usage = {"prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.completion_tokens}
            return completion.text, self._counted(call, completion.model, usage)
        text = extract(question, hits)
        for piece in re.findall(r"(?:\s*\S+){1,8}\s*", text):
            await on_text(piece)
        read = sum(count_tokens(hit.passage.content) for hit in hits)
        usage = {"prompt_tokens": count_tokens(question) + read, "completion_tokens": count_tokens(text)}
        return text, self._counted(call, EXTRACTION, usage)

    def _counted(self, call: SandboxCall, model: str, usage: dict[str, int]) -> dict[str, Any]:
        """Count the usage of an answer, and return it as `metadata`; no checkpoint until the answer is stored."""
        prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
        self.spent.count(call.tenant_id, "query", prompt, completion)
        return {"model": model, "token_usage": {**usage, "total_tokens": prompt + completion}}

    def _find(self, call: SandboxCall, question: str, collection_id: str) -> list[Hit]:
        limit = call.get("similarity_top_k", int, 4)
        if not 1 <= limit <= 50:
            raise SandboxRefusal(400, "QRY_VAL_001", "similarity_top_k must be a number from 1 to 50.")
        embedding = call.get("query_embedding", list, None)
        if embedding is not None and (
            len(embedding) != DIMENSIONS or not all(isinstance(value, int | float) for value in embedding)
        ):
            raise SandboxRefusal(422, "QRY_VAL_002", f"query_embedding must hold {DIMENSIONS} numbers.")
        if collection_id not in self.index.collections(call.tenant_id):
            raise call.missing("collection")
        return self.index.search(call.tenant_id, collection_id, question, embedding, limit)


async def _ignore(_: str) -> None:
    """Ignore a piece of an answer that is not streamed."""


def _prompt(call: SandboxCall, question: str, hits: list[Hit]) -> list[dict[str, str]]:
    """Return the messages for the model: instructions with the passages, the conversation, the question."""
    system = call.get("system_prompt", str, None) or DEFAULT_PROMPT
    passages = "\n\n".join(f"[{hit.passage.path}: {hit.passage.heading}]\n{hit.passage.content}" for hit in hits)
    said = [
        {"role": message["role"], "content": message["content"]}
        for message in call.get("messages", list, [])
        if isinstance(message, dict)
        and message.get("role") in {"user", "assistant"}
        and isinstance(message.get("content"), str)
    ]
    if said and said[-1] == {"role": "user", "content": question}:
        said.pop()
    instructions = f"{system}\n\n{passages}" if passages else system
    return [{"role": "system", "content": instructions}, *said, {"role": "user", "content": question}]


def _chunk(**fields: Any) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = QueryService(resources.index, resources.model, resources.spent)
    return StandIn(
        "QRY",
        (
            SandboxRoute(GENERATE, service.query, creates=True),
            SandboxRoute(SEARCH, service.search, creates=True),
        ),
    )
