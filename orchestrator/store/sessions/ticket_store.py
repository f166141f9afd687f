"""Tickets in Redis: one-use credentials, of which only digests are kept."""

import hashlib
import secrets

import orjson
from attrs import frozen

from orchestrator.codec import encode, structure_kept
from orchestrator.config.constants import TICKET_SECONDS
from orchestrator.models.common.principal import Role
from orchestrator.store.records import as_object
from orchestrator.store.tenant_store import TenantStore


@frozen
class TicketHolder:
    """Whom a ticket stands for, as it is kept."""

    tenant_id: str
    user_id: str
    role: Role
    permissions: list[str]
    expires_at: float
    token_id: str | None
    issued_at: float = 0.0
    signing_key: str | None = None
    key_id: str | None = None
    key_name: str | None = None


class TicketStore(TenantStore):
    """Keeps what tickets stand for until they are used."""

    async def issue_ticket(self, session_id: str, holder: TicketHolder) -> str:
        """Make a one-use ticket that stands for `holder`; only its digest is stored."""
        ticket = secrets.token_urlsafe(32)
        value = encode({"session_id": session_id, "holder": holder})
        await self.redis.set(self.keys.ticket(_digest(ticket)), value, ex=TICKET_SECONDS)
        return ticket

    async def redeem_ticket(self, ticket: str, session_id: str | None) -> TicketHolder | None:
        """Use a ticket up; returns its holder, or None if it is unknown, used, too old, or another session's.

        Where `session_id` is None, no session is another one.
        """
        taken = await self.take_ticket(ticket)
        return taken[0] if taken and session_id in {None, taken[1]} else None

    async def take_ticket(self, ticket: str) -> tuple[TicketHolder, str] | None:
        """Use a ticket up; returns its holder and its session, or None if it is unknown, used, too old or damaged."""
        raw = await self.redis.getdel(self.keys.ticket(_digest(ticket)))
        return self.redis.unreadable.read("tickets", _read, raw) if raw else None


def _read(raw: bytes) -> tuple[TicketHolder, str]:
    """Read what a ticket stands for; ValueError, LookupError, TypeError, KeptDamaged: it is none."""
    stored = as_object(orjson.loads(raw))
    if not isinstance(subject := stored["session_id"], str):
        raise TypeError("no ticket")
    return structure_kept(stored["holder"], TicketHolder), subject


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
