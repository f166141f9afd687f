"""Tickets in Redis: one-use credentials, of which only digests are kept."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from orchestrator.config.constants import TICKET_SECONDS
from orchestrator.store.tenant_store import TenantStore


class TicketStore(TenantStore):
    """Keeps what tickets stand for until they are used."""

    async def issue_ticket(self, session_id: str, holder: Mapping[str, Any]) -> str:
        """Make a one-use ticket that stands for `holder`; only its digest is stored."""
        ticket = secrets.token_urlsafe(32)
        value = orjson.dumps({"session_id": session_id, "holder": holder})
        await self.redis.set(self.keys.ticket(_digest(ticket)), value, ex=TICKET_SECONDS)
        return ticket

    async def redeem_ticket(self, ticket: str, session_id: str | None) -> Any:
        """Use a ticket up; returns its holder, or None if it is unknown, used, too old, or another session's.

        Where `session_id` is None, no session is another one.
        """
        taken = await self.take_ticket(ticket)
        return taken[0] if taken and session_id in {None, taken[1]} else None

    async def take_ticket(self, ticket: str) -> tuple[Any, str] | None:
        """Use a ticket up; returns its holder and its session, or None if it is unknown, used or too old."""
        raw = await self.redis.getdel(self.keys.ticket(_digest(ticket)))
        stored = orjson.loads(raw) if raw else None
        return (stored["holder"], stored["session_id"]) if stored else None


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
