"""Clients of the REST API: they return the data of envelopes, and raise errors as failures with exit codes."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import Any, Final, Self

import httpx

from cli.core.context import Target, require_service
from cli.core.failures import CliFailure, Exit, refusal
from cli.core.output import note
from cli.core.selection import current_options

PUBLIC_PREFIX: Final = "/api/v1"
ADMIN_PREFIX: Final = "/internal/v1"
TIMEOUT: Final = 30.0
PAGE: Final = 200


class Api:
    """The synchronous client of the public API.

    Args:
        target: the stack.
        operator: whether to use the token that sees the whole tenant.
        timeout: of each request, in seconds.

    Raises:
        CliFailure: the target has no service, or no credentials.
    """

    def __init__(self, target: Target, *, operator: bool = False, timeout: float = TIMEOUT) -> None:
        require_service(target)
        self._target = target
        self.prefix, credentials = self._access(operator=operator)
        hooks: dict[str, list[Callable[..., Any]]] = (
            {"request": [_tell_request], "response": [_tell_response]} if current_options().verbose else {}
        )
        self._client = httpx.Client(**_settings(target, credentials, timeout=timeout), event_hooks=hooks)

    @property
    def tenant(self) -> str:
        """The tenant that is asked for; empty: that of the token."""
        return self._target.tenant

    def _access(self, *, operator: bool) -> tuple[str, dict[str, str]]:
        """Return the prefix of the routes, and the headers with the credentials."""
        if operator and uses_key(self._target):
            return ADMIN_PREFIX, {"X-API-Key": self._target.api_key, "X-Tenant-ID": self._target.tenant}
        return PUBLIC_PREFIX, authorization(self._target, operator=operator)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, route: str, **parameters: object) -> Any:
        """GET a route and return its `data`; of a list `items` and `next_cursor`."""
        return self._send("GET", route, params=_given(parameters))

    def post(self, route: str, data: dict[str, Any] | None = None) -> Any:
        """POST to a route and return its `data`."""
        return self._send("POST", route, json={} if data is None else data)

    def put(self, route: str, data: dict[str, Any]) -> Any:
        """PUT to a route and return its `data`."""
        return self._send("PUT", route, json=data)

    def delete(self, route: str) -> Any:
        """DELETE a route and return its `data`."""
        return self._send("DELETE", route)

    def raw(self, method: str, route: str, body: Any = None) -> httpx.Response:
        """Send a request to a route by its name or its path, and return the answer as it came."""
        path = route if route.startswith("/") else f"{self.prefix}/{route}"
        try:
            return self._client.request(method.upper(), path, **({} if body is None else {"json": body}))
        except httpx.HTTPError as error:
            raise unreachable(self._target, error) from None

    def listed(self, route: str, limit: int, **parameters: object) -> "Listing":
        """Return the first `limit` items of a list, which are asked for page by page."""
        return Listing(self, route, limit, parameters)

    def poll(
        self,
        route: str,
        ended: Callable[[Any], bool],
        *,
        every: float,
        timeout: float = inf,
        tell: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """GET a route until its `data` is final or the timeout has passed; returns the last `data`.

        Args:
            route: the route.
            ended: returns whether data is final.
            every: the interval between requests, in seconds.
            timeout: the timeout, in seconds.
            tell: called with the data of every answer.
        """
        deadline = time.monotonic() + timeout
        while True:
            data = self.get(route)
            tell(data)
            left = deadline - time.monotonic()
            if ended(data) or left <= 0:
                return data
            time.sleep(min(every, left))

    def _send(self, method: str, route: str, **parts: Any) -> Any:
        try:
            return data_of(self._client.request(method, f"{self.prefix}/{route}", **parts))
        except httpx.HTTPError as error:
            raise unreachable(self._target, error) from None


class AdminApi(Api):
    """The synchronous client of the operators' API, which takes an API key instead of a token."""

    def _access(self, *, operator: bool) -> tuple[str, dict[str, str]]:
        if not self._target.api_key:
            raise CliFailure("There is no API key.", "Set ORCH_API_KEY, or api_key in a profile.", Exit.USAGE)
        return ADMIN_PREFIX, {"X-API-Key": self._target.api_key}


class Listing:
    """The items of a list, asked for page by page while they are iterated.

    Args:
        api: the client.
        route: of the list.
        limit: how many items at most.
        parameters: of the route.
    """

    def __init__(self, api: Api, route: str, limit: int, parameters: Mapping[str, object]) -> None:
        self._api, self._route, self._left, self._parameters = api, route, limit, dict(parameters)
        self.more = False
        """After the iteration: whether the list goes on."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        cursor = None
        while self._left > 0:
            page = self._api.get(self._route, limit=min(self._left, PAGE), cursor=cursor, **self._parameters)
            items, cursor = page["items"], page["next_cursor"]
            self.more = bool(cursor) or len(items) > self._left
            yield from items[: self._left]
            self._left -= len(items)
            if not cursor:
                return


class Chosen:
    """The items of a list that a choice takes, where the route itself does not choose.

    Args:
        items: the list, the newest first.
        limit: how many at most.
        field: the timestamp that the list is ordered by.
        since: the list ends before this moment; None: it goes on.
        until: only items before this moment; None: all.
        keep: whether an item is taken.
    """

    def __init__(
        self,
        items: Iterable[dict[str, Any]],
        limit: int,
        *,
        field: str,
        since: str | None = None,
        until: str | None = None,
        keep: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> None:
        self._items, self._left, self._field = items, limit, field
        self._since, self._until, self._keep = since, until, keep
        self.more = False
        """After the iteration: whether the list goes on."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for item in self._items:
            # Moments are written so that their order is that of their letters.
            at = item[self._field]
            if self._since is not None and at < self._since:
                return
            if (self._until is not None and at >= self._until) or not self._keep(item):
                continue
            if not self._left:
                self.more = True
                return
            self._left -= 1
            yield item


def uses_key(target: Target) -> bool:
    """Tell whether commands of operators use the API key: it was given, or there is no token for the tenant."""
    return target.prefers_key or bool(target.api_key and target.tenant and not target.operator_token)


def _tell_request(request: httpx.Request) -> None:
    note(f"> {request.method} {request.url}")


def _tell_response(response: httpx.Response) -> None:
    response.read()
    elapsed = f"{response.elapsed.total_seconds() * 1000:.0f} ms"
    note(f"< {response.status_code} in {elapsed}, correlation id {response.headers.get('X-Correlation-ID', '-')}")


class TrioApi:
    """The client of the public API on trio, for chats and for following sessions."""

    def __init__(self, target: Target, *, operator: bool = False) -> None:
        require_service(target)
        self._target = target
        self._client = httpx.AsyncClient(**_settings(target, authorization(target, operator=operator), timeout=TIMEOUT))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, route: str, **parameters: object) -> Any:
        """GET a route and return its `data`; of a list `items` and `next_cursor`."""
        return await self._send("GET", route, params=_given(parameters))

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

    async def _send(self, method: str, route: str, **parts: Any) -> Any:
        try:
            return data_of(await self._client.request(method, f"/api/v1/{route}", **parts))
        except httpx.HTTPError as error:
            raise unreachable(self._target, error) from None


def data_of(response: httpx.Response) -> Any:
    """Return the data of an answer's envelope; of a list with `next_cursor` beside `items`.

    Raises:
        CliFailure: the envelope has an error, or the answer has no envelope.
    """
    try:
        body = response.json()
        data, error = body["data"], body.get("error")
    except (ValueError, KeyError, TypeError, AttributeError):
        code = Exit.UNREACHABLE if response.status_code >= 500 else Exit.FAILED
        host = f"{response.url.scheme}://{response.url.netloc.decode()}"
        message = f"{host} answered {response.status_code} without the envelope of an orchestrator."
        raise CliFailure(message, "Is --api-url the URL of an orchestrator?", code) from None
    if error:
        error.setdefault("correlation_id", None)
        error["correlation_id"] = error["correlation_id"] or response.headers.get("X-Correlation-ID")
        raise refusal(response.status_code, error, by_key="X-API-Key" in response.request.headers)
    if isinstance(data, dict) and "items" in data:
        pagination = body.get("meta", {}).get("pagination") or {}
        data["next_cursor"] = pagination.get("next_cursor")
    return data


def unreachable(target: Target, error: Exception) -> CliFailure:
    """Return the failure of a request that got no answer."""
    if isinstance(error, httpx.TimeoutException):
        return CliFailure(f"{target.api_url} did not answer in time.", "", Exit.INCOMPLETE)
    reason = str(error) or type(error).__name__
    hint = "Is the service running? 'nooble-orch dev' starts one here; --api-url selects another."
    return CliFailure(f"{target.api_url} can't be reached: {reason}.", hint, Exit.UNREACHABLE)


def authorization(target: Target, *, operator: bool = False) -> dict[str, str]:
    """Return the headers with the token and the tenant.

    Raises:
        CliFailure: the target has no token.
    """
    token = target.operator_token if operator else target.token
    if not token:
        scope = f" for tenant '{target.tenant}'" if target.tenant else ""
        hint = "Set --token or ORCH_TOKEN; 'nooble-orch token create' creates one for development."
        raise CliFailure(f"There is no token{scope}.", hint, Exit.USAGE)
    headers = {"Authorization": f"Bearer {token}"}
    if target.tenant:
        headers["X-Tenant-ID"] = target.tenant
    return headers


def _settings(target: Target, credentials: dict[str, str], *, timeout: float) -> dict[str, Any]:
    return {
        "base_url": target.api_url,
        "headers": credentials,
        "timeout": timeout,
        # Loading the certificates that are trusted takes a tenth of a second, which plain HTTP need not cost.
        "verify": not target.api_url.startswith("http:"),
        "trust_env": not _is_local(target.api_url),
    }


def _is_local(url: str) -> bool:
    # A proxy of the environment can't reach the loopback interface of this machine.
    try:
        return httpx.URL(url).host in {"127.0.0.1", "localhost", "::1"}
    except httpx.InvalidURL as error:
        raise CliFailure(f"'{url}' is no valid URL: {error}.", "", Exit.USAGE) from None


def _given(parameters: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None}
