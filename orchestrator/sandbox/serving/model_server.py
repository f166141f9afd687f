"""Client of an OpenAI-compatible server, where the environment names one."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import orjson
from attrs import frozen

from orchestrator.sandbox.serving.http_client import posted, streamed_lines
from orchestrator.sandbox.serving.text import count_tokens

DEFAULT_URL: Final = "https://api.openai.com/v1"
DEFAULT_MODEL: Final = "gpt-4o-mini"
TIMEOUT: Final = httpx.Timeout(10.0, read=60.0)


class ModelFailed(Exception):
    """The model's server is away, refused, or its answer is malformed."""


@frozen
class Completion:
    """Answer of a model, and its usage."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int


@frozen
class ModelServer:
    """Speaks the chat completions API."""

    client: httpx.AsyncClient
    url: str
    api_key: str
    model: str

    @property
    def configured(self) -> bool:
        """Whether there is a model at all."""
        return bool(self.url)

    async def chat(
        self,
        messages: list[dict[str, str]],
        on_text: Callable[[str], Awaitable[None]],
        *,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> Completion:
        """Generate the next message of a conversation.

        Args:
            messages: `{role, content}` each.
            on_text: called with each piece of the answer.
            model: instead of the configured one.
            max_tokens: bound of the answer.

        Raises:
            ModelFailed: there is no answer, or the answer broke off.
        """
        body: dict[str, Any] = {
            "model": model or self.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        try:
            headers = {"Authorization": f"Bearer {self.api_key}"}
            async with posted(self.client, f"{self.url}/chat/completions", body, headers, TIMEOUT) as response:
                if response.status_code != httpx.codes.OK:
                    raise ModelFailed(f"The model's server answered {response.status_code}.")
                return await _read(response, messages, body["model"], on_text)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its text may have the URL, which may have credentials.
            raise ModelFailed(f"The model's server is away: {type(error).__name__}.") from None
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ModelFailed("The model's server answered nonsense.") from error


def model_from_environment(client: httpx.AsyncClient) -> ModelServer:
    """Read `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL`; without the first two there is no model."""
    key = os.environ.get("OPENAI_API_KEY", "")
    url = os.environ.get("OPENAI_BASE_URL", "") or (DEFAULT_URL if key else "")
    return ModelServer(client, url.rstrip("/"), key, os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL)


async def _read(
    response: httpx.Response,
    messages: list[dict[str, str]],
    model: str,
    on_text: Callable[[str], Awaitable[None]],
) -> Completion:
    said: list[str] = []
    usage: dict[str, int] = {}
    ended = False
    async with streamed_lines(response) as lines:
        async for line in lines:
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                ended = True
                break
            chunk = orjson.loads(data)
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices", []):
                if text := choice.get("delta", {}).get("content"):
                    said.append(text)
                    await on_text(text)
    if not ended:
        raise ModelFailed("The model's server broke off.")
    whole = "".join(said)
    # Not every server reports usage.
    prompt = usage.get("prompt_tokens", sum(count_tokens(message["content"]) for message in messages))
    return Completion(whole, model, prompt, usage.get("completion_tokens", count_tokens(whole)))
