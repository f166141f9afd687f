"""Quart, quart-trio and Werkzeug: what `frameworks.quart_inside` and its heirs use."""

from typing import Any, cast

import pytest
import quart
import trio
import trio.testing
from hypercorn.typing import HTTPScope
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGIWebsocketConnection
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.local import LocalProxy

from orchestrator.frameworks.quart_inside import (
    BoundedRequest,
    RequestBody,
    WebApplication,
    WebsocketConnection,
    current_websocket,
    messages_of,
    whole_body,
)
from tests.frameworks.moved import need, takes
from tests.support.eventually import PATIENCE

SCOPE = cast(
    "HTTPScope",
    {
        "type": "http", "method": "POST", "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"",
        "headers": [(b"host", b"a")], "http_version": "1.1", "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"},
    },
)  # fmt: skip


@pytest.mark.parametrize("kind", [TrioASGIHTTPConnection, TrioASGIWebsocketConnection])
def test_a_connection_is_made_of_app_and_scope_and_called_with_receive_and_send(kind: Any) -> None:
    need(takes(kind, "app", "scope"), "quart-trio", f"{kind.__name__} is not made of app and scope")
    need(takes(kind.__call__, "self", "receive", "send"), "quart-trio", f"{kind.__name__} is called in another way")


def test_a_connection_makes_its_request_or_websocket_of_the_scope() -> None:
    made = getattr(TrioASGIHTTPConnection, "_create_request_from_scope", None)
    need(made and takes(made, "self", "send"), "quart", "the connection makes its request in another way")
    made = getattr(TrioASGIWebsocketConnection, "_create_websocket_from_scope", None)
    need(made and takes(made, "self", "send"), "quart", "the connection makes its websocket in another way")


def test_a_websocket_is_handled_with_a_nursery() -> None:
    handle = TrioASGIWebsocketConnection.handle_websocket
    need(takes(handle, "self", "nursery", "websocket", "send"), "quart-trio", "handle_websocket takes something else")


def test_a_rule_of_ours_compiles_nothing_that_makes_urls() -> None:
    app = WebApplication("x", static_folder=None)
    app.add_url_rule("/a/<b>", "a", lambda b: b)
    [rule] = app.url_map.iter_rules()
    need(getattr(rule, "_build", None) is not None, "werkzeug", "a rule makes URLs by something else than _build")
    with pytest.raises(RuntimeError, match="no URL is made of the route a"):
        rule.build({"b": "c"})
    matched = app.url_map.bind("h").match("/a/c")
    need(matched == ("a", {"b": "c"}), "werkzeug", "a rule without what makes URLs does not match")


def test_a_connection_answers_through_the_application() -> None:
    need(takes(QuartTrio.handle_request, "self", "request"), "quart-trio", "handle_request takes something else")
    need("RESPONSE_TIMEOUT" in QuartTrio("x").config, "quart", "there is no RESPONSE_TIMEOUT")
    need(TrioResponse(b"").timeout is Ellipsis, "quart", "a response without a timeout of its own has another one")


async def test_a_request_has_our_body_with_the_applications_limit() -> None:
    app = QuartTrio("x")
    app.config["MAX_CONTENT_LENGTH"] = 5
    app.request_class = BoundedRequest

    async def send(_: Any) -> None:
        await trio.lowlevel.checkpoint()

    request = TrioASGIHTTPConnection(app, SCOPE)._create_request_from_scope(send)
    body: Any = request.body
    need(isinstance(body, RequestBody), "quart", "a request has another body than its body_class")
    body.add(b"12345")
    body.complete()
    need(await request.get_data() == b"12345", "quart-trio", "get_data does not await the body")
    body.add(b"6")
    with pytest.raises(RequestEntityTooLarge):
        await request.get_data()


def test_a_whole_body_is_told_from_one_that_is_opened() -> None:
    need(whole_body(TrioResponse(b"all")) == b"all", "quart", "a response keeps bytes otherwise than in a DataBody")

    async def pieces() -> Any:
        yield b"a"

    need(whole_body(TrioResponse(pieces())) is None, "quart", "a response keeps an iterator in a DataBody")


@pytest.mark.parametrize("name", ["request", "websocket"])
def test_a_proxy_gives_its_object(name: str) -> None:
    need(type(getattr(quart, name)) is LocalProxy, "quart", f"{name} is no proxy")
    need(hasattr(LocalProxy, "_get_current_object"), "werkzeug", "a proxy does not give its object")


async def test_unread_messages_wait_in_the_network() -> None:
    asked, enough = 0, trio.Event()

    async def receive() -> Any:
        nonlocal asked
        await trio.lowlevel.checkpoint()
        asked += 1
        return {"type": "websocket.receive", "bytes": None, "text": f"{asked}"}

    async def send(_: Any) -> None:
        await trio.lowlevel.checkpoint()

    app = QuartTrio("x")

    async def reader() -> None:
        messages = messages_of(current_websocket())
        await trio.testing.wait_all_tasks_blocked()
        assert asked == 11
        assert [await messages.receive() for _ in range(3)] == ["1", "2", "3"]
        enough.set()
        await trio.sleep_forever()

    app.add_websocket("/", "reader", reader)
    scope: Any = {**SCOPE, "type": "websocket", "scheme": "ws", "subprotocols": []}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(WebsocketConnection(app, scope), receive, send)
        with trio.fail_after(PATIENCE):
            await enough.wait()
        nursery.cancel_scope.cancel()


async def test_a_body_drops_what_goes_beyond_its_limit() -> None:
    body = RequestBody(None, 10)
    body.add(b"x" * 8)
    body.add(b"x" * 8)
    body.add(b"x" * 1_000_000)
    with pytest.raises(RequestEntityTooLarge):
        await body
    assert len(body._data) == 0


async def test_a_body_that_says_to_be_too_long_is_refused_before_it_comes() -> None:
    with trio.fail_after(PATIENCE), pytest.raises(RequestEntityTooLarge):
        await RequestBody(11, 10)


async def test_a_body_comes_in_pieces_and_can_be_forgotten() -> None:
    body = RequestBody(None, None)
    body.add(b"a")
    body.add(b"b")
    body.complete()
    assert await body == b"ab"
    body.clear()
    assert await body == b""
