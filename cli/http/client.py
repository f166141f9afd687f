"""The client: a base URL, headers of every request, and a connection that is kept."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Any, Final, Self
from urllib.parse import urlencode

import h11

from cli.http.answer import Answer, StreamedAnswer, joined
from cli.http.connection import Connection, Deadline
from cli.http.errors import HttpError, InvalidRequest
from cli.http.tls import NO_FILES, TlsFiles, tls_context
from cli.http.urls import address_of, encoded, proxy_of

_FIXED: Final = {"Accept": "*/*", "User-Agent": "nooble-orch"}


class HttpClient:
    """Sends requests to one service, one after the other. Redirects are not followed: they are answers.

    Args:
        url: the base URL.
        headers: of every request.
        timeout: of each request from its beginning to the end of its answer, in seconds.
        tls: the files for `https://`.
        tell: called with the method and the URL of each request, before it is sent.
        slow: called where one is not answered for seconds.

    Raises:
        InvalidRequest: the URL, or that of the environment's proxy, is none, or a file of `tls` can't be used.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] = {},
        *,
        timeout: float,
        tls: TlsFiles = NO_FILES,
        tell: Callable[[str, str], None] = lambda _, __: None,
        slow: Callable[[], None] | None = None,
    ) -> None:
        self._address = address_of(url)
        self._proxy = proxy_of(self._address)
        self._headers = {**_FIXED, "Host": self._address.authority, **headers}
        if self._address.authorization:
            self._headers["Authorization"] = self._address.authorization
        if self._proxy is not None and self._proxy.authorization and self._address.scheme == "http":
            self._headers["Proxy-Authorization"] = self._proxy.authorization
        self._timeout, self._tell, self._slow = timeout, tell, slow
        self._tls = tls_context(tls) if self._address.scheme == "https" else None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self, method: str, path: str, *, query: Mapping[str, str] = {}, body: Any = None, within: float = inf
    ) -> Answer:
        """Send a request and return its answer, whatever its status.

        Args:
            method: in capitals.
            path: behind that of the base URL.
            query: its parameters.
            body: sent as JSON; None: there is none.
            within: the timeout of this request where that is shorter, in seconds.

        Raises:
            InvalidRequest: the request can't be made.
            HttpError: there was no answer.
        """
        began, deadline = monotonic(), Deadline(min(self._timeout, within), self._slow)
        url, request, content = self._request(method, path, query, body, {})
        if self._connection is not None and not self._connection.is_reusable:
            self.close()
        if self._connection is None:
            self._connection = self._connected(deadline)
        try:
            response = self._connection.begin(request, content, deadline)
            received = joined(self._connection.pieces(lambda: deadline))
        except BaseException:
            # What comes later would be taken for the answer to the next request.
            self.close()
            raise
        if response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            raise HttpError(f"the proxy {self._proxy.origin} answered {response.status_code}")
        return Answer(url, response.status_code, _named(response), received, monotonic() - began)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], idle: float, query: Mapping[str, str] | None = None
    ) -> Iterator[StreamedAnswer]:
        """GET what comes piece by piece, over a connection of its own, which is closed after the block.

        Args:
            path: behind that of the base URL.
            headers: of this request.
            idle: the longest silence, in seconds.
            query: the parameters of the URL.

        Raises:
            InvalidRequest: the request can't be made.
            HttpError: there was no answer.
        """
        deadline = Deadline(self._timeout)
        url, request, _ = self._request("GET", path, query or {}, None, headers)
        connection = self._connected(deadline)
        try:
            response = connection.begin(request, b"", deadline)
            pieces = connection.pieces(lambda: Deadline(idle))
            yield StreamedAnswer(url, response.status_code, _named(response), pieces)
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, deadline: Deadline) -> Connection:
        return Connection.open(self._address, self._proxy, self._tls, deadline)

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Any, more: Mapping[str, str]
    ) -> tuple[str, h11.Request, bytes]:
        """Return the URL of a request, the request, and the body that goes with it."""
        target = encoded(f"{self._address.path}{path}") or "/"
        if query:
            target += f"{'&' if '?' in target else '?'}{urlencode(query)}"
        url = f"{self._address.origin}{target}"
        self._tell(method, url)
        # A proxy of plain HTTP is asked for the whole URL; to one of TLS there is a tunnel.
        by_proxy = self._proxy is not None and self._tls is None
        content = b"" if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        headers = self._headers | dict(more) | ({} if body is None else {"Content-Type": "application/json"})
        if body is not None or method != "GET":
            headers["Content-Length"] = str(len(content))
        try:
            request = h11.Request(method=method, target=url if by_proxy else target, headers=list(headers.items()))
        except (h11.LocalProtocolError, UnicodeEncodeError):
            raise InvalidRequest("A token, a key or the route has characters that no request can carry") from None
        return url, request, content


def _named(response: h11.Response) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
