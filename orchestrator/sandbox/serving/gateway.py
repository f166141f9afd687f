"""Client of the orchestrator's internal API, for stand-ins, as real services use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from orchestrator.sandbox.serving.http_client import posted

TIMEOUT = httpx.Timeout(10.0, read=120.0)


class GatewayRefused(Exception):
    """The orchestrator is away, or refused a request.

    Args:
        message: one sentence.
        final: whether a retry would be refused too.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class GatewayClient:
    """Calls the orchestrator's internal routes with the API key of a service."""

    def __init__(self, client: httpx.AsyncClient, url: str | None, api_key: str | None) -> None:
        self._client = client
        self.url = url
        self.api_key = api_key

    async def ask(self, tenant_id: str, route: str, body: dict[str, Any], **belongs: str | None) -> dict[str, Any]:
        """POST to `/internal/v1/{route}` and return `data` of the answer; `belongs` as in `stream`.

        Raises:
            GatewayRefused: the orchestrator is away, or refused.
        """
        async with self.stream(tenant_id, route, body, **belongs) as response:
            return read_data(route, await response.aread())

    @asynccontextmanager
    async def stream(
        self,
        tenant_id: str,
        route: str,
        body: dict[str, Any],
        *,
        correlation_id: str | None = None,
        callback_token: str | None = None,
        traceparent: str | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """POST to `/internal/v1/{route}`, and stream the answer; raises as `ask` does."""
        if not self.url:
            raise GatewayRefused("The sandbox knows no orchestrator to ask.")
        headers = {"X-Tenant-ID": tenant_id, "X-API-Key": self.api_key or ""}
        if correlation_id:
            headers["X-Correlation-ID"] = correlation_id
        if callback_token:
            headers["X-Callback-Token"] = callback_token
        if traceparent:
            headers["traceparent"] = traceparent
        try:
            url = f"{self.url.rstrip('/')}/internal/v1/{route}"
            async with posted(self._client, url, body, headers, TIMEOUT) as response:
                if response.status_code >= 300:
                    final = 400 <= response.status_code < 500 and response.status_code != 429
                    raise GatewayRefused(_complaint(route, response.status_code, await response.aread()), final=final)
                yield response
        except httpx.HTTPError as error:
            raise GatewayRefused(f"{route} did not reach the orchestrator: {error!r}.") from error


def read_data(route: str, raw: bytes) -> dict[str, Any]:
    """Return `data` of an envelope; raises GatewayRefused where there is none."""
    try:
        data = orjson.loads(raw)["data"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise GatewayRefused(f"{route} answered something else than an envelope.") from None
    # An answer of a service may have an envelope of its own.
    if isinstance(data, dict) and isinstance(data.get("data"), dict):
        data = {**data, **data["data"]}
    if not isinstance(data, dict):
        raise GatewayRefused(f"{route} answered without data.")
    return data


def _complaint(route: str, status: int, raw: bytes) -> str:
    try:
        error = orjson.loads(raw)["error"]
        return f"{route} was refused with {status}: {error['code']} {error['message']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{route} was refused with {status}."
