"""Pages of filtered lists: everything once, in order, and nothing of what is left out."""

from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.common.page import Page
from orchestrator.services.shared import paging
from orchestrator.services.shared.paging import Place, filtered_page

BOUND = 7


@pytest.fixture(autouse=True, scope="module")
def _bound() -> object:
    """Let a page look at a few entries only."""
    patch = pytest.MonkeyPatch()
    patch.setattr(paging, "SCAN_BOUND", BOUND)
    yield
    patch.undo()


async def page_of(rows: list[tuple[int, bool]], cursor: str | None, limit: int) -> Page[str]:
    """A page of what is mine in a list of (moment, whether it is mine)."""
    places = sorted(((moment, f"{number:03}-{mine}") for number, (moment, mine) in enumerate(rows)), reverse=True)

    async def places_of(*, before: Place | None, count: int) -> list[Place]:
        return [place for place in places if before is None or place < before][:count]

    async def load(names: list[str]) -> dict[str, str]:
        return {name: name for name in names}

    return await filtered_page(places_of, load, lambda one: one.endswith("True"), cursor=cursor, limit=limit)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40), st.integers(1, 5))
async def test_every_item_comes_once_in_order_and_cursors_name_no_others(
    rows: list[tuple[int, bool]], limit: int
) -> None:
    mine = sorted(((moment, f"{number:03}-True") for number, (moment, own) in enumerate(rows) if own), reverse=True)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(len(rows) + 1):
        page = await page_of(rows, cursor, limit)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) <= limit
        assert b"False" not in urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert seen == [name for _, name in mine]


async def test_what_others_have_behind_ones_last_item_is_not_told() -> None:
    alone = await page_of([(5, True), (4, True)], None, 2)
    before_others = await page_of([(5, True), (4, True), (3, False), (2, False)], None, 2)
    assert alone == before_others == Page(alone.items, None)
