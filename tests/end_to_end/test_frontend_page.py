"""The page of the guide for frontends works in a browser: a turn, a tool, a cancel, a refusal, a lost connection."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import pytest

from tests.end_to_end.stack import Stack
from tests.end_to_end.test_chat_page import open_page_stack
from tests.support.browser import PHONE, Tab, in_browser

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
KEEP: Final = """
    window.sockets = [];
    window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); sockets.push(this); } };
"""
"""Has the page's sockets known to the test."""


def begin(tab: Tab, stack: Stack, agent: str, token: str | None = None) -> "Page":
    """Open the page, and begin a session."""
    given = {"api": stack.node.url, "agent": agent, "token": token or stack.token()}
    tab.page.goto("about:blank")  # another fragment alone would load nothing
    tab.page.goto(f"{stack.sandbox.url}/examples/frontend.html#{urlencode(given)}")
    tab.page.get_by_role("button", name="Begin").click()
    return tab.page


def say(page: "Page", content: str) -> None:
    page.get_by_label("Message").fill(content)
    page.get_by_role("button", name="Send").click()


async def test_a_frontend_refused_chats_runs_a_tool_cancels_and_comes_back(tmp_path: Path) -> None:
    async with open_page_stack(tmp_path) as stack:

        def drive(tab: Tab) -> None:
            refused(tab, stack)
            chats_and_comes_back(tab, stack)
            cancels(tab, stack)
            runs_a_tool(tab, stack)

        await in_browser(drive, size=PHONE, expects_console_errors=True)


def refused(tab: Tab, stack: Stack) -> None:
    page = begin(tab, stack, "echo", token="not-a-token")  # it is to be refused
    tab.expect(page.get_by_role("alert")).to_contain_text("SYSTEM.AUTH_FAILED: The token is malformed. (ORCH_AUTH_001)")


def chats_and_comes_back(tab: Tab, stack: Stack) -> None:
    tab.page.add_init_script(KEEP)
    page = begin(tab, stack, "echo")
    tab.expect(page.get_by_role("status")).to_have_text("Connected")
    say(page, "one")
    tab.expect(page.locator("article")).to_have_text(["one", "one"])
    tab.expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    page.evaluate("() => sockets.at(-1).close(4000)")
    page.wait_for_function("() => sockets.length === 2")
    tab.expect(page.get_by_role("status")).to_have_text("Connected")
    say(page, "two")
    tab.expect(page.locator("article")).to_have_text(["one", "one", "two", "two"])
    tab.shot("frontend")


def cancels(tab: Tab, stack: Stack) -> None:
    page = begin(tab, stack, "echo")
    tab.expect(page.get_by_role("status")).to_have_text("Connected")
    say(page, "echo 20000 words")
    page.get_by_role("button", name="Cancel").click()
    tab.expect(page.get_by_role("status")).to_have_text("Cancelled")


def runs_a_tool(tab: Tab, stack: Stack) -> None:
    tab.page.on("dialog", lambda dialog: dialog.accept())
    page = begin(tab, stack, "confirm")
    tab.expect(page.get_by_role("status")).to_have_text("Connected")
    say(page, "delete it")
    tab.expect(page.locator("article")).to_have_count(2)
    tab.expect(page.locator("article").nth(1)).to_contain_text("confirmed", ignore_case=True)
