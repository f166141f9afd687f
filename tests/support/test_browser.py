"""Pages in a browser: they run, and what goes wrong in them fails the test."""

from pathlib import Path

import pytest

from tests.support.browser import PHONE, Tab, in_browser

pytestmark = pytest.mark.browser


def page(folder: Path, body: str) -> str:
    file = folder / "page.html"
    file.write_text(f"<!doctype html><title>Page</title><body>{body}</body>", encoding="utf-8")
    return file.as_uri()


async def test_a_page_runs_its_scripts_at_the_size_and_in_the_colours_that_are_asked_for(tmp_path: Path) -> None:
    url = page(tmp_path, "<output></output><script>document.querySelector('output').value = innerWidth</script>")
    seen: list[tuple[str, bool]] = []

    def look(tab: Tab) -> None:
        tab.page.goto(url)
        dark = tab.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        seen.append((tab.page.inner_text("output"), dark))

    await in_browser(look, size=PHONE, scheme="dark")
    assert seen == [("360", True)]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>throw new Error('broken')</script>", "exception: broken"),
        ("<script>console.error('odd')</script>", "console: odd"),
        ("<img src='http://elsewhere.invalid/x.png' alt=''>", "request to another host: http://elsewhere.invalid/"),
    ],
)
async def test_a_fault_of_a_page_fails_its_test(tmp_path: Path, body: str, fault: str) -> None:
    url = page(tmp_path, body)
    with pytest.raises(AssertionError, match=fault):
        await in_browser(lambda tab: _open(tab, url))


async def test_a_failure_says_what_the_page_shows(tmp_path: Path) -> None:
    url = page(tmp_path, "<p>All is well.</p>")

    def look(tab: Tab) -> None:
        _open(tab, url)
        raise AssertionError("not at all")

    with pytest.raises(AssertionError, match="not at all") as failure:
        await in_browser(look)
    assert failure.value.__notes__ == ["The page says: 'All is well.'; its faults: []"]


def _open(tab: Tab, url: str) -> None:
    tab.page.goto(url)
