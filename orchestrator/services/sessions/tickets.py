"""Tickets: they open a WebSocket or a stream once, for browsers, which can't send a header with some requests."""

import time
from typing import Final

from attrs import evolve, frozen

from orchestrator.config.constants import TICKET_SECONDS
from orchestrator.domain.session_states import CLOSED
from orchestrator.errors import Unauthorized
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.models.sessions.session import SessionTicket
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.views import session_closed
from orchestrator.store.sessions.sessions import SessionStore
from orchestrator.store.sessions.ticket_store import TicketHolder

_READING: Final = "*:read"
_NEVER: Final = 4e9
"""Seconds since the Unix epoch, a century ahead."""


@frozen
class Tickets:
    """Makes tickets, and uses them up."""

    store: SessionStore
    sessions: SessionManager

    async def of_session(self, ctx: RequestContext, session_id: str) -> SessionTicket:
        """Make a one-use ticket for the session's WebSocket.

        Raises:
            NotFound, SessionClosed
        """
        session = await self.sessions.get(ctx, session_id)
        if session.state in CLOSED:
            raise session_closed(session_id, session.state)
        return await self._issue(ctx, session_id, reads_only=session.user_id != ctx.principal.user_id)

    async def issue(self, ctx: RequestContext, subject_id: str) -> SessionTicket:
        """Make a one-use ticket for a WebSocket, of whatever: who presents it is asked there what he may see."""
        return await self._issue(ctx, subject_id, reads_only=True)

    async def _issue(self, ctx: RequestContext, subject_id: str, *, reads_only: bool) -> SessionTicket:
        holder = _holder(ctx.principal)
        if ctx.principal.key_name is not None and reads_only:
            # An operator follows what users do; sockets take frames that act, and those stay the users'.
            holder = evolve(holder, permissions=[_READING])
        ticket = await self.store.issue_ticket(subject_id, holder)
        return SessionTicket(ticket, TICKET_SECONDS)

    async def redeem(self, ticket: str, session_id: str | None) -> Principal:
        """Use a ticket up; None takes one for whichever session.

        Raises:
            Unauthorized: it is unknown, used, too old, or another session's.
        """
        holder = await self.store.redeem_ticket(ticket, session_id)
        if holder is None:
            raise Unauthorized("The ticket is unknown, used or too old; ask for a new one.")
        return _principal(holder)

    async def take(self, ticket: str) -> tuple[Principal, str]:
        """Use a ticket up; returns its holder, and what it is of.

        Raises:
            Unauthorized: it is unknown, used or too old.
        """
        taken = await self.store.take_ticket(ticket)
        if taken is None:
            raise Unauthorized("The ticket is unknown, used or too old; ask for a new one.")
        holder, subject_id = taken
        return _principal(holder), subject_id


def _holder(principal: Principal) -> TicketHolder:
    return TicketHolder(
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        role=principal.role,
        permissions=sorted(principal.permissions),
        # JSON has no infinity, which an API key without end has.
        expires_at=min(principal.expires_at, _NEVER),
        token_id=principal.token_id,
        # A key is none of the tokens that were revoked before the ticket was made.
        issued_at=principal.issued_at if principal.key_name is None else time.time(),
        signing_key=principal.signing_key,
        key_id=principal.key_id,
        key_name=principal.key_name,
    )


def _principal(holder: TicketHolder) -> Principal:
    principal = Principal(
        tenant_id=holder.tenant_id,
        user_id=holder.user_id,
        role=holder.role,
        permissions=frozenset(holder.permissions),
        expires_at=holder.expires_at,
        token_id=holder.token_id,
        issued_at=holder.issued_at,
        signing_key=holder.signing_key,
        key_id=holder.key_id,
        key_name=holder.key_name,
    )
    if principal.expires_at <= time.time():
        raise Unauthorized("The token behind the ticket has expired.")
    return principal
