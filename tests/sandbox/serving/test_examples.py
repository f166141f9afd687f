"""The example pages that the sandbox serves to browsers."""

import pytest

from orchestrator.sandbox.platform import Sandbox
from orchestrator.sandbox.serving.examples import CHAT_PAGE
from tests.sandbox.conftest import Client


async def test_the_chat_page_is_served_as_html(sandbox: Sandbox, client: Client) -> None:
    answer = await client.http.get(f"{sandbox.url}/{CHAT_PAGE}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "examples"), ("GET", "examples/other.html"), ("GET", "examples/..%2FREADME.md"), ("POST", CHAT_PAGE)],
)
async def test_nothing_else_of_the_documentation_is_served(
    sandbox: Sandbox, client: Client, method: str, path: str
) -> None:
    answer = await client.http.request(method, f"{sandbox.url}/{path}")
    assert answer.status_code == 404
    assert CHAT_PAGE in answer.json()["error"]["message"]
