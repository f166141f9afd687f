"""Pages in a headless Chromium, for tests that are marked `browser`.

    @pytest.mark.browser
    async def test_a_page_greets(stack: Stack) -> None:
        def look(tab: Tab) -> None:
            tab.page.goto(f"{stack.url}/page.html")
            tab.expect(tab.page.get_by_role("heading")).to_have_text("Hello")

        await in_browser(look)

The browser is driven by Playwright's synchronous interface, which knows no trio, so it has a thread of its own; the
test's services go on in trio meanwhile. Where a machine has no Chromium, or no Playwright (extra `browser`), the
collection leaves such tests out and the run says so.
"""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import trio
from attrs import define, field

from tests.support.eventually import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request

MARKER: Final = "browser"
CHROMIUM: Final = "CHROMIUM"
"""The environment variable that names another Chromium than the one on PATH."""
SCREENSHOTS: Final = "BROWSER_SCREENSHOTS"
"""The environment variable that names a directory for what `Tab.shot` takes."""
DESKTOP: Final = (1280, 800)
PHONE: Final = (360, 740)
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1", None})
_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})


def find_chromium() -> str | None:
    """Return the path of the machine's Chromium; None where it has none."""
    return os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, _NAMES)), None)


def missing_for_browser() -> str | None:
    """Return what this machine lacks for tests in a browser; None where it has all."""
    if find_spec("playwright") is None:
        return "Playwright is not installed (extra 'browser')"
    if find_chromium() is None:
        return f"there is no Chromium on PATH, and {CHROMIUM} names none"
    return None


@define(eq=False, slots=False)  # Playwright notes its wrappers of methods on their object
class Tab:
    """One page, and what went wrong in it."""

    page: "Page"
    """Playwright's; every wait of it has a deadline of 15 s."""
    expects_console_errors: bool = False
    """Whether errors on the console are part of the test: browsers write one for each refused request."""
    faults: list[str] = field(factory=list)
    """Errors on the console, exceptions of scripts, and requests to other hosts."""

    def watch(self) -> None:
        """Begin to note faults."""
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("request", self._note_request)

    def expect(self, locator: "Locator") -> Any:
        """Return Playwright's assertions about a part of the page (`LocatorAssertions`), which wait until they hold."""
        from playwright.sync_api import expect  # noqa: PLC0415 # only where Playwright is installed

        return expect(locator)

    def shot(self, name: str) -> None:
        """Take a picture of the whole page, if the environment names a directory for it."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def _note_console(self, message: "ConsoleMessage") -> None:
        if message.type == "error" and not self.expects_console_errors:
            self.faults.append(f"console: {message.text}")

    def _note_request(self, request: "Request") -> None:
        parts = urlsplit(request.url)
        if parts.scheme in _SCHEMES and parts.hostname not in _LOCAL:
            self.faults.append(f"request to another host: {request.url}")


async def in_browser(
    drive: Callable[[Tab], None],
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    expects_console_errors: bool = False,
    **options: Any,
) -> None:
    """Open an empty page in a Chromium of its own, and let `drive` use it in a thread.

    Args:
        drive: uses the page, with Playwright's synchronous interface; it must not touch what belongs to trio.
        size: width and height of the page.
        scheme: the colours that the user prefers.
        expects_console_errors: whether errors on the console are no faults.
        options: others of Playwright's `new_context`.

    Raises:
        AssertionError: `drive` raised it, or the page had faults.
    """
    await trio.to_thread.run_sync(
        _drive,
        drive,
        {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme, **options},
        expects_console_errors,
    )


def _drive(drive: Callable[[Tab], None], options: dict[str, Any], expects_console_errors: bool) -> None:
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 # only where Playwright is installed

    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium())
        try:
            _use(chromium.new_context(**options), drive, expects_console_errors)
        finally:
            chromium.close()


def _use(context: "BrowserContext", drive: Callable[[Tab], None], expects_console_errors: bool) -> None:
    context.set_default_timeout(PATIENCE * 1000)
    tab = Tab(context.new_page(), expects_console_errors)
    tab.watch()
    try:
        drive(tab)
    except Exception as error:
        tab.shot("failed")
        error.add_note(f"The page says: {tab.page.inner_text('body')!r}; its faults: {tab.faults}")
        raise
    assert not tab.faults, tab.faults
