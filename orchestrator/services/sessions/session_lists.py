"""Lists of sessions: which of them, and in which order."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from attrs import evolve, field, frozen

from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.services.shared.cursors import write_cursor
from orchestrator.services.shared.paging import Period, Place, filtered_page
from orchestrator.services.shared.views import viewer_of
from orchestrator.store.sessions.sessions import SessionStore, Viewer

COUNT_BOUND: Final = 20_000
"""How many sessions are looked at to count those that a filter takes; where there are more, the total is not told."""
_CHUNK: Final = 1000


@frozen
class SessionFilter:
    """Which sessions of a list: those that meet all that is given."""

    states: frozenset[SessionState] | None = None
    agent_id: str | None = None
    user_id: str | None = None
    period: Period = field(factory=Period)
    """When they were last active."""

    def takes(self, session: Session) -> bool:
        """Tell whether a session is one of them, its moment left aside."""
        return (
            (self.states is None or session.state in self.states)
            and self.agent_id in {None, session.agent_id}
            and self.user_id in {None, session.user_id}
        )

    def takes_marked(self, state: str | None, agent_id: str | None) -> bool:
        """Tell the same by a session's state and agent alone; None: it is gone."""
        return state is not None and (self.states is None or state in self.states) and self.agent_id in {None, agent_id}

    @property
    def narrows(self) -> bool:
        """Tell whether some sessions of the whole list are none of it."""
        return self != SessionFilter()


async def page_of_sessions(
    store: SessionStore,
    ctx: RequestContext,
    wanted: SessionFilter,
    *,
    cursor: str | None,
    limit: int,
    offset: int | None,
) -> Page[Session]:
    """List the caller's sessions, the last active first.

    Args:
        store: where they are.
        ctx: who asks.
        wanted: which of them.
        cursor: where the page before ended; None: from the last active.
        limit: how many at most.
        offset: how many to leave out; the list is counted then. None: it is not, and `cursor` says where to go on.

    Raises:
        InvalidParameter: the cursor is none of this list.
    """
    viewer = viewer_of(ctx)

    async def load(session_ids: list[str]) -> dict[str, Session]:
        return {one.session_id: one for one in await store.load(viewer.tenant_id, session_ids)}

    places_of = partial(store.page, viewer, user_id=wanted.user_id)
    if offset:
        return await _numbered_page(store, viewer, wanted, load, offset, limit)
    if offset is not None and wanted.narrows:
        return await _numbered_page(store, viewer, wanted, load, 0, limit)
    page = await filtered_page(places_of, load, wanted.takes, cursor=cursor, limit=limit, period=wanted.period)
    return page if offset is None else evolve(page, total=await store.count(viewer))


async def _numbered_page(
    store: SessionStore,
    viewer: Viewer,
    wanted: SessionFilter,
    load: Callable[[list[str]], Awaitable[dict[str, Session]]],
    offset: int,
    limit: int,
) -> Page[Session]:
    """Read a page by the number of sessions before it, and count them all, up to `COUNT_BOUND` that are looked at."""
    found, whole = await _counted(store, viewer, wanted, offset + limit + 1)
    places = found[offset : offset + limit]
    records = await load([name for _, name in places])
    items = [records[name] for _, name in places if name in records]
    goes_on = bool(places) and len(found) > offset + limit
    total = await store.count(viewer) if not wanted.narrows else len(found) if whole else None
    return Page(items, write_cursor(places[-1]) if goes_on else None, total)


async def _counted(store: SessionStore, viewer: Viewer, wanted: SessionFilter, needed: int) -> tuple[list[Place], bool]:
    """Return the places of the sessions that are wanted, and whether there are no others."""
    places_of = wanted.period.within(partial(store.page, viewer, user_id=wanted.user_id))
    if not wanted.narrows:
        found = await places_of(before=None, count=needed)
        return found, len(found) < needed
    found, before = [], None
    for _ in range(COUNT_BOUND // _CHUNK):
        places = await places_of(before=before, count=_CHUNK)
        marks = await store.marks(viewer.tenant_id, [name for _, name in places])
        found += [place for place, mark in zip(places, marks, strict=True) if wanted.takes_marked(*mark)]
        if len(places) < _CHUNK:
            return found, True
        before = places[-1]
    return found, False
