"""The client of the API on trio, for chats."""

from collections.abc import Callable
from typing import Any, Self

import httpx
import trio

from cli.core.client import TIMEOUT, access, checked, data_of, given, translated
from cli.core.context import Target, require_service
from cli.core.interrupts import ungrouped
from cli.core.output import note
from cli.http.answer import Answer
from cli.http.connection import SLOW_SECONDS
from cli.http.errors import HttpError, HttpTimeout
from cli.http.tls import tls_context
from cli.http.urls import address_of


class TrioApi:
    """Sends requests beside each other: a turn is cancelled while another request waits.

    Args:
        target: the stack.

    Raises:
        CliFailure: the target has no service or no valid URL of one, or no credentials.
    """

    def __init__(self, target: Target) -> None:
        require_service(target)
        self._target = target
        self._prefix, headers = access(target, operator=False)
        with translated(target):
            address = address_of(target.api_url)
            self._client = httpx.AsyncClient(
                base_url=target.api_url,
                headers=headers,
                timeout=TIMEOUT,
                verify=tls_context(target.tls) if address.scheme == "https" else False,
                # A proxy of the environment can't reach the loopback interface of this machine.
                trust_env=not address.is_local,
            )

        self.tell: Callable[[str], None] = note
        """Called with a sentence where an answer is long in coming."""
        self._is_slow = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, route: str, **parameters: object) -> Any:
        """GET a route and return its `data`; of a list `items` and `next_cursor`."""
        return await self._send("GET", route, params=given(parameters))

    async def post(self, route: str, data: dict[str, Any] | None = None, *, key: str = "") -> Any:
        """POST to a route and return its `data`.

        Args:
            route: `domain.action`, with an id where the route takes one.
            data: the body.
            key: the `Idempotency-Key`; empty: none.
        """
        headers = {"Idempotency-Key": key} if key else {}
        return await self._send("POST", route, json={} if data is None else data, headers=headers)

    async def put(self, route: str, data: dict[str, Any]) -> Any:
        """PUT to a route and return its `data`."""
        return await self._send("PUT", route, json=data)

    async def delete(self, route: str) -> Any:
        """DELETE a route and return its `data`."""
        return await self._send("DELETE", route)

    async def _send(self, method: str, route: str, **parts: Any) -> Any:
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_slow)
                # A failure leaves the nursery as one, also beside a cancellation, with which it stays in a group.
                got = await self._answer(method, f"{self._prefix}/{checked(route)}", parts)
                nursery.cancel_scope.cancel()
        self._is_slow = False
        headers = {name.lower(): value for name, value in got.headers.items()}
        answer = Answer(str(got.url), got.status_code, headers, got.content, got.elapsed.total_seconds())
        return data_of(answer, by_key="X-API-Key" in self._client.headers)

    async def _answer(self, method: str, path: str, parts: dict[str, Any]) -> httpx.Response:
        with translated(self._target):
            try:
                return await self._client.request(method, path, **parts)
            except httpx.TimeoutException:
                raise HttpTimeout from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise HttpError(str(error) or type(error).__name__) from None

    async def _tell_slow(self) -> None:
        await trio.sleep(SLOW_SECONDS)
        # Requests that follow a slow one are mostly slow too.
        if not self._is_slow:
            self._is_slow = True
            self.tell(f"Waiting for an answer from {self._target.api_url}.")
