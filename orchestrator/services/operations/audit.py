"""The audit trail, as operators read it."""

from attrs import frozen

from orchestrator.models.common.page import Page
from orchestrator.models.operations.audit import AuditEntry
from orchestrator.services.shared.cursors import foreign_cursor, read_cursor, read_number, write_cursor
from orchestrator.store.operations.audit_reader import AuditPlace, AuditQuery, AuditReader


@frozen
class AuditService:
    """Shows what is audited."""

    reader: AuditReader

    async def page(self, query: AuditQuery, *, cursor: str | None, limit: int) -> Page[AuditEntry]:
        """Show entries.

        A page may have fewer entries than `limit`, even none, although others follow it: a filter looks at a bounded
        number of entries for each page.

        Args:
            query: which entries.
            cursor: where the page before ended.
            limit: how many at most.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        entries, place = await self.reader.page(query, after=_read(cursor), limit=limit)
        return Page(entries, None if place is None else write_cursor((place[0], f"{place[1]}@{place[2]}")))


def _read(cursor: str | None) -> AuditPlace | None:
    place = read_cursor(cursor)
    if place is None:
        return None
    number, at, name = place[1].partition("@")
    if not at:
        raise foreign_cursor()
    return place[0], read_number(number), name
