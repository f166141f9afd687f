"""Clients of the REST API: they return the data of envelopes, and raise errors as failures with exit codes."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, Self, TypeGuard

from cli.core.context import Target, require_service
from cli.core.failures import CliFailure, Exit, refusal
from cli.core.output import note
from cli.core.selection import current_options
from cli.http.answer import Answer
from cli.http.client import HttpClient
from cli.http.errors import HttpError, HttpTimeout, InvalidRequest

PUBLIC_PREFIX: Final = "/api/v1"
ADMIN_PREFIX: Final = "/internal/v1"
TIMEOUT: Final = 30.0
AWAY_SECONDS: Final = 60.0
"""How long a service that has answered before may be away."""
STREAM_SECONDS: Final = 45.0
"""After so long without a line a stream is dead: the server sends a comment more often."""
PAGE: Final = 200


class Api:
    """The synchronous client of the public API.

    Args:
        target: the stack.
        operator: whether to use the token that sees the whole tenant.
        timeout: of each request, in seconds.

    Raises:
        CliFailure: the target has no service or no valid URL of one, or no credentials.
    """

    def __init__(self, target: Target, *, operator: bool = False, timeout: float = TIMEOUT) -> None:
        require_service(target)
        self._target = target
        self.prefix, credentials = self._access(operator=operator)
        self._by_key, self._is_verbose = "X-API-Key" in credentials, current_options().verbose
        self.tells_slow = sys.stderr.isatty()
        """Whether people are told, once, where a request is not answered for seconds."""
        tell = _tell_request if self._is_verbose else _tell_nothing
        with translated(target):
            self._client = HttpClient(
                target.api_url, credentials, timeout=timeout, tls=target.tls, tell=tell, slow=self._tell_slow
            )

    @property
    def tenant(self) -> str:
        """The tenant that is asked for; empty: that of the token."""
        return self._target.tenant

    def _access(self, *, operator: bool) -> tuple[str, dict[str, str]]:
        """Return the prefix of the routes, and the headers with the credentials."""
        return access(self._target, operator=operator)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, route: str, **parameters: object) -> Any:
        """GET a route and return its `data`; of a list `items` and `next_cursor`."""
        return self._send("GET", route, query=given(parameters))

    def get_within(self, route: str, seconds: float) -> Any:
        """GET a route as `get` does, with a timeout that may be shorter than the client's."""
        return self._send("GET", route, within=seconds)

    def post(self, route: str, data: dict[str, Any] | None = None) -> Any:
        """POST to a route and return its `data`."""
        return self._send("POST", route, body={} if data is None else data)

    def put(self, route: str, data: dict[str, Any]) -> Any:
        """PUT to a route and return its `data`."""
        return self._send("PUT", route, body=data)

    def delete(self, route: str) -> Any:
        """DELETE a route and return its `data`."""
        return self._send("DELETE", route)

    def raw(self, method: str, route: str, body: Any = None) -> Answer:
        """Send a request to a route by its name or its path, and return the answer as it came."""
        path = route if route.startswith("/") else f"{self.prefix}/{route}"
        return self._request(method.upper(), path, body=body)

    @contextmanager
    def lines(self, route: str, headers: dict[str, str], **parameters: object) -> Iterator[Iterator[str]]:
        """GET a route that answers with a stream, and yield its lines as they come.

        Raises:
            CliFailure: the service refuses, or the connection is lost.
        """
        path, query = f"{self.prefix}/{route}", given(parameters)
        with translated(self._target), self._client.stream(path, headers, STREAM_SECONDS, query) as answer:
            if self._is_verbose:
                note(f"< {answer.status}, correlation id {answer.headers.get('x-correlation-id', '-')}")
            if answer.status != HTTPStatus.OK:
                data_of(answer.whole(), by_key=self._by_key)
            yield answer.lines()

    def listed(self, route: str, limit: int, **parameters: object) -> "Listing":
        """Return the first `limit` items of a list, which are asked for page by page."""
        return Listing(self, route, limit, parameters)

    def _tell_slow(self) -> None:
        if self.tells_slow:
            self.tells_slow = False
            note(f"{self._target.api_url} has not answered yet; waiting. Ctrl-C ends it.")

    def _send(self, method: str, route: str, **parts: Any) -> Any:
        return data_of(self._request(method, f"{self.prefix}/{checked(route)}", **parts), by_key=self._by_key)

    def _request(self, method: str, path: str, **parts: Any) -> Answer:
        with translated(self._target):
            answer = self._client.request(method, path, **parts)
        if self._is_verbose:
            took, request_id = f"{answer.seconds * 1000:.0f} ms", answer.headers.get("x-correlation-id", "-")
            note(f"< {answer.status} in {took}, correlation id {request_id}")
        return answer


class AdminApi(Api):
    """The synchronous client of the operators' API, which takes an API key instead of a token."""

    def _access(self, *, operator: bool) -> tuple[str, dict[str, str]]:
        if not self._target.api_key:
            raise CliFailure(
                "There is no API key.", "Set --api-key, ORCH_API_KEY, or api_key in a profile.", Exit.USAGE
            )
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


def uses_key(target: Target, *, operator: bool) -> bool:
    """Tell whether the API key is used: there is no token for the tenant, or an operator's command got the key."""
    token = target.operator_token if operator else target.token
    return (operator and target.prefers_key) or bool(target.api_key and target.tenant and not token)


def access(target: Target, *, operator: bool) -> tuple[str, dict[str, str]]:
    """Return the prefix of the routes of users, and the headers with the credentials.

    Raises:
        CliFailure: the target has no token, and no API key with a tenant.
    """
    if uses_key(target, operator=operator):
        return ADMIN_PREFIX, {"X-API-Key": target.api_key, "X-Tenant-ID": target.tenant}
    return PUBLIC_PREFIX, authorization(target, operator=operator)


def checked(route: str) -> str:
    """Return a route after checking that the id behind its name, if any, leads to no other one.

    Raises:
        CliFailure: it would.
    """
    _, slash, name = route.partition("/")
    if slash and (not name or set(name) & set("/?#%")):
        raise CliFailure(f"'{name}' is no id.", "Ids have letters, digits, '_', '.' and '-'.", Exit.USAGE)
    return route


def _tell_request(method: str, url: str) -> None:
    note(f"> {method} {url}")


def _tell_nothing(_: str, __: str) -> None:
    """Show no requests."""


def data_of(answer: Answer, *, by_key: bool) -> Any:
    """Return the data of an answer's envelope; of a list with `next_cursor` beside `items`.

    Args:
        answer: the answer.
        by_key: whether the request carried an API key instead of a token.

    Raises:
        CliFailure: the envelope has an error, or the answer has no envelope.
    """
    try:
        body = answer.json()
        data, error = body["data"], body.get("error")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _foreign(answer) from None
    if is_error(error):
        raise refusal(answer.status, with_correlation(error, answer), by_key=by_key)
    if error or not isinstance(data, dict):
        raise _foreign(answer)
    if "items" in data:
        pagination = body.get("meta", {}).get("pagination") or {}
        data["next_cursor"] = pagination.get("next_cursor")
    return _Data(answer, data)


class _Data(dict[str, Any]):
    """The data of an answer: a field that it has not is the fault of what has answered, and none of the command's."""

    def __init__(self, answer: Answer, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self._answer = answer

    def __missing__(self, name: str) -> Any:
        message = f"{_host(self._answer)} answered without the field '{name}'."
        hint = "Is --api-url the URL of an orchestrator, and of a version that has this command?"
        raise CliFailure(message, hint, Exit.FAILED)


def _foreign(answer: Answer) -> CliFailure:
    code = Exit.UNREACHABLE if answer.status >= 500 else Exit.FAILED
    message = f"{_host(answer)} answered {answer.status} without the envelope of an orchestrator."
    moved = answer.headers.get("location") if 300 <= answer.status < 400 else None
    hint = f"It redirects to {moved}." if moved else "Is --api-url the URL of an orchestrator?"
    return CliFailure(message, hint, code)


def _host(answer: Answer) -> str:
    scheme, _, rest = answer.url.partition("://")
    return f"{scheme}://{rest.split('/')[0]}"


def is_error(error: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether the `error` of an answer is one of an orchestrator."""
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def with_correlation(error: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return an error with the correlation id of its answer where it has none itself."""
    return {**error, "correlation_id": error.get("correlation_id") or answer.headers.get("x-correlation-id")}


@contextmanager
def translated(target: Target) -> Iterator[None]:
    """Raise what ends a request without an answer inside the block as a failure.

    Raises:
        CliFailure: the request can't be made, or there was no answer.
    """
    try:
        yield
    except InvalidRequest as error:
        raise CliFailure(f"{error}.", "", Exit.USAGE) from None
    except HttpTimeout:
        raise CliFailure(f"{target.api_url} did not answer in time.", "", Exit.INCOMPLETE) from None
    except HttpError as error:
        hint = "Is the service running? 'nooble-orch dev' starts one here; --api-url selects another."
        raise CliFailure(f"{target.api_url} can't be reached: {error}.", hint, Exit.UNREACHABLE) from None


def authorization(target: Target, *, operator: bool = False) -> dict[str, str]:
    """Return the headers with the token and the tenant.

    Raises:
        CliFailure: the target has no token, or an API key without a tenant.
    """
    token = target.operator_token if operator else target.token
    if not token and target.api_key and not target.tenant:
        raise CliFailure(
            "An API key needs a tenant here.", "Set --tenant, ORCH_TENANT, or tenant in a profile.", Exit.USAGE
        )
    if not token:
        scope = f" for tenant '{target.tenant}'" if target.tenant else ""
        hint = "Set --token or ORCH_TOKEN; 'nooble-orch token create' creates one for development."
        raise CliFailure(f"There is no token{scope}.", hint, Exit.USAGE)
    headers = {"Authorization": f"Bearer {token}"}
    if target.tenant:
        headers["X-Tenant-ID"] = target.tenant
    return headers


def given(parameters: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters of a request that have a value."""
    return {name: str(value) for name, value in parameters.items() if value is not None}
