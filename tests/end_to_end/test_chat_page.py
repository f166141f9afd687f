"""The example page chats in a browser: tools, a lost connection, a token that runs out, pages that may not connect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import pytest
import trio

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.serving.examples import CHAT_PAGE
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.end_to_end.stack import SECRET, Stack, open_stack
from tests.support.browser import PHONE, Tab, in_browser

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
PAGE_FILE: Final = Path(__file__).parents[2] / "docs" / "examples" / "chat.html"
LATE: Final = InjectedFault(InjectedFaultKind.LATENCY, "agent_execution", "execute", latency_ms=60_000)
ORIGINS: Final = "http://127.0.0.1:*,null"


@asynccontextmanager
async def open_page_stack(folder: Path, **settings: str) -> AsyncIterator[Stack]:
    async with open_stack(folder) as stack:
        await stack.start(**({"allowed_origins": ORIGINS, "jwt__leeway": "0"} | settings))
        yield stack


def address(stack: Stack, base: str = "", **given: str) -> str:
    """Return the page's address, with its fields filled in."""
    base = base or f"{stack.sandbox.url}/{CHAT_PAGE}"
    return f"{base}#{urlencode({'api': stack.node.url, 'agent': 'echo', **given})}"


def say(page: "Page", content: str) -> None:
    page.get_by_label("Message").fill(content)
    page.keyboard.press("Enter")


def answers(page: "Page") -> "Locator":
    """Return the answers that have ended; above each stands its question."""
    return page.locator("article[aria-busy=false]")


def lives(seconds: float) -> str:
    return create_token(SECRET, "acme", "ann", Role.USER, ttl=seconds)


async def test_a_tool_that_the_service_runs_is_shown_and_then_its_result(tmp_path: Path) -> None:
    async with open_page_stack(tmp_path) as stack:

        def drive(tab: Tab) -> None:
            page = tab.page
            page.goto(address(stack, agent="reporter", token=stack.token()))
            tab.expect(page.get_by_role("status")).to_have_text("Connected")
            say(page, "tides in 1500 ms")
            running = page.locator("li[aria-busy=true]")
            tab.expect(running).to_have_text("slow_report is running …")
            tab.expect(running).to_have_count(0)
            tab.expect(page.get_by_role("log")).to_contain_text("slow_report: success")
            tab.expect(answers(page)).to_have_count(1)

        await in_browser(drive)


async def test_a_phone_chats_streams_and_confirms_a_tool(tmp_path: Path) -> None:
    async with open_page_stack(tmp_path) as stack:

        def drive(tab: Tab) -> None:
            page = tab.page
            page.goto(address(stack, agent="confirm"))
            page.get_by_label("Token").fill(stack.token())
            page.get_by_role("button", name="Start a session").click()
            tab.expect(page.get_by_role("status")).to_have_text("Connected")
            tab.expect(page.get_by_label("Message")).to_be_focused()
            say(page, "Delete everything")
            tab.expect(page.get_by_role("log")).to_contain_text("Shall it be done? Delete everything")
            tab.expect(page.get_by_role("button", name="Confirm")).to_be_focused()
            page.keyboard.press("Enter")
            tab.expect(answers(page)).to_contain_text("Confirmed: Delete everything")
            tab.expect(page.get_by_role("button", name="Confirm")).to_have_count(0)
            tab.expect(page.get_by_role("button", name="Stop the answer")).to_be_disabled()
            tab.shot("chat-phone")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
            # A reload goes on with the session, and needs the token again: it is kept nowhere.
            assert "token" not in page.url
            page.reload()
            page.get_by_label("Token").fill(stack.token())
            page.get_by_role("button", name="Go on").click()
            tab.expect(page.get_by_role("log")).to_contain_text("Confirmed: Delete everything")
            tab.expect(page.get_by_role("log").get_by_text("Delete everything", exact=True)).to_have_count(1)

        await in_browser(drive, size=PHONE)


async def test_a_lost_connection_is_taken_up_again_and_nothing_is_missing(tmp_path: Path) -> None:
    async with open_page_stack(tmp_path) as stack:
        bind = stack.node.url.removeprefix("http://")

        async def restart() -> None:
            await stack.start("--bind", bind, allowed_origins=ORIGINS)

        def drive(tab: Tab) -> None:
            page = tab.page
            page.goto(address(stack, token=stack.token()))
            say(page, "before")
            tab.expect(answers(page).filter(has_text="before")).to_have_count(1)
            trio.from_thread.run(stack.node.kill)
            tab.expect(page.get_by_role("status")).to_contain_text("trying again")
            say(page, "meanwhile")
            trio.from_thread.run(restart)
            page.evaluate("dispatchEvent(new Event('online'))")
            tab.expect(page.get_by_role("status")).to_have_text("Connected")
            tab.expect(answers(page).filter(has_text="meanwhile")).to_have_count(1)
            stack.sandbox.faults.add(LATE)
            say(page, "in vain")
            page.get_by_role("button", name="Stop the answer").click()
            tab.expect(answers(page).filter(has_text="Stopped.")).to_have_count(1)
            stack.sandbox.faults.clear()
            say(page, "after")
            tab.expect(answers(page).filter(has_text="after")).to_have_count(1)
            tab.expect(page.locator("article.mine")).to_have_count(4)
            tab.shot("chat-dark")

        await in_browser(drive, scheme="dark", expects_console_errors=True)


async def test_a_token_that_runs_out_is_told_and_can_be_replaced(tmp_path: Path) -> None:
    async with open_page_stack(tmp_path) as stack:

        def drive(tab: Tab) -> None:
            page, alert = tab.page, tab.page.get_by_role("alert")
            page.goto(address(stack, token=lives(-60)))
            tab.expect(alert).to_have_text("The token has expired.")
            # Before it runs out, another one takes its place on the open socket.
            page.get_by_label("Token").fill(lives(4))
            page.get_by_role("button", name="Start a session").click()
            tab.expect(page.get_by_role("status")).to_have_text("Connected")
            page.get_by_role("button", name="Use another token").click()
            page.get_by_label("Token").fill(lives(5))
            page.get_by_role("button", name="Use this token").click()
            tab.expect(page.get_by_role("status")).to_contain_text("the token is good until")
            # Then it does run out.
            tab.expect(alert).to_have_text("The token is no longer good (token expired).")
            tab.expect(page.get_by_label("Token")).to_be_focused()
            tab.shot("chat-expired")
            page.get_by_label("Token").fill("nonsense")
            page.get_by_role("button", name="Go on").click()
            tab.expect(alert).to_contain_text("token")
            tab.expect(page.get_by_role("status")).to_have_text("Signed out")
            page.get_by_label("Token").fill(stack.token())
            page.get_by_role("button", name="Go on").click()
            say(page, "still here")
            tab.expect(answers(page).filter(has_text="still here")).to_have_count(1)

        await in_browser(drive, expects_console_errors=True)


@pytest.mark.parametrize(("origins", "served"), [(ORIGINS, True), ("https://app.example", False), ("", False)])
async def test_a_page_from_a_file_connects_where_the_setting_allows_it(
    tmp_path: Path, origins: str, *, served: bool
) -> None:
    async with open_page_stack(tmp_path, allowed_origins=origins) as stack:

        def drive(tab: Tab) -> None:
            page = tab.page
            page.goto(address(stack, PAGE_FILE.as_uri(), token=stack.token()))
            if served:
                say(page, "from a file")
                tab.expect(answers(page).filter(has_text="from a file")).to_have_count(1)
            else:
                tab.expect(page.get_by_role("alert")).to_contain_text("ORCH_ALLOWED_ORIGINS does not name this origin")

        await in_browser(drive, expects_console_errors=not served)


async def test_a_refused_socket_tells_the_page_its_origin_and_the_setting(tmp_path: Path) -> None:
    async with open_page_stack(tmp_path, allowed_origins="") as stack:
        session, token = await stack.session(), stack.token()
        frames: list[Any] = []

        def drive(tab: Tab) -> None:
            page = tab.page
            page.goto(f"{stack.sandbox.url}/{CHAT_PAGE}")
            url = f"{stack.node.url.replace('http', 'ws')}/ws/v1/chat/{session}?close=1"
            frames.append(
                page.evaluate(
                    """([url, token]) => new Promise((resolve) => {
                        const socket = new WebSocket(url, ["nooble.v1", `bearer.${token}`]), told = [];
                        socket.onmessage = ({ data }) => told.push(JSON.parse(data).data.error);
                        socket.onclose = ({ code }) => resolve([code, ...told]);
                    })""",
                    [url, token],
                )
            )

        await in_browser(drive)
        [[code, error]] = frames
        assert (code, error["code"]) == (4003, "ORCH_AUTH_003")
        assert error["details"][0]["message"] == f"'{stack.sandbox.url}' is not in ORCH_ALLOWED_ORIGINS"
        assert urlsplit(stack.sandbox.url).hostname == "127.0.0.1"
