"""Dead letters: look at them, do them again, do away with them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import trio
from attrs import evolve, frozen

from orchestrator.errors import (
    ClientFault,
    NotFound,
    RateLimited,
    TenantDraining,
)
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.tasks.replay import (
    DeadLetter,
    DeadLetterChoice,
    DeadLetterOutcome,
    DeadLetterReplay,
    DeadLettersPurged,
    DeadLettersReplayed,
    ReplayRequest,
)
from orchestrator.services.operations.replays import ReplayedMeanwhile, ReplayService
from orchestrator.services.operations.tenants import TenantService
from orchestrator.services.shared.cursors import read_cursor, read_number, write_cursor
from orchestrator.services.shared.idempotency import Idempotency
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.dead_letters import DeadLetterStore

_READ_AT_ONCE: Final = 200
REPLAYED_AT_ONCE: Final = 100
"""Dead letters that one request replays at most."""
REPLAY_SECONDS: Final = 10.0
"""How long one request replays at most; the rest is replayed by another request."""


@frozen
class DeadLetterFilter:
    """Which dead letters of a list: those that meet all that is given."""

    error_code: str | None = None
    older_than: float | None = None
    type: str | None = None
    user_id: str | None = None
    since: str | None = None
    until: str | None = None
    replayed: bool | None = None
    """Only those that were, or were not."""

    def is_before(self, letter: DeadLetter) -> bool:
        """Tell whether a dead letter, and so all older ones, are of before `since`."""
        return self.since is not None and from_timestamp(letter.at) < from_timestamp(self.since)

    def takes(self, letter: DeadLetter) -> bool:
        """Tell whether a dead letter is one of them, the code and the age left aside."""
        if self.until is not None and from_timestamp(letter.at) >= from_timestamp(self.until):
            return False
        owned = self.type in {None, letter.type} and self.user_id in {None, letter.user_id}
        return owned and self.replayed in {None, letter.replayed_as is not None}


ALL_LETTERS: Final = DeadLetterFilter()


@frozen
class DeadLetterService:
    """Shows, replays and purges dead letters."""

    store: DeadLetterStore
    replays: ReplayService
    tenants: TenantService
    audit: AuditTrail
    repeats: Idempotency

    async def list(
        self,
        tenant_id: str,
        *,
        wanted: DeadLetterFilter = ALL_LETTERS,
        cursor: str | None,
        limit: int,
    ) -> Page[DeadLetter]:
        """List dead letters, the latest first.

        Raises:
            NotFound: there is no such tenant.
            InvalidParameter: the cursor is none of this list.
        """
        await self.tenants.must_be_known(tenant_id)
        place = read_cursor(cursor)
        start = None if place is None else f"{place[0]}-{read_number(place[1])}"
        found: list[DeadLetter] = []
        choice = DeadLetterChoice(None, wanted.error_code, wanted.older_than)
        async with aclosing(self._chosen(tenant_id, choice, start)) as letters:
            async for letter in letters:
                if wanted.is_before(letter):
                    break
                if not wanted.takes(letter):
                    continue
                if len(found) == limit:
                    moment, _, number = found[-1].id.partition("-")
                    return Page(found, write_cursor((int(moment), number)))
                found.append(letter)
        return Page(found)

    async def get(self, tenant_id: str, entry: str) -> DeadLetter:
        """Show a dead letter.

        Raises:
            NotFound: there is no such dead letter.
        """
        await self.tenants.must_be_known(tenant_id)
        found = await self.store.described(tenant_id, await self.store.some(tenant_id, [entry]))
        if not found:
            raise NotFound(f"There is no dead letter {entry}.")
        return evolve(found[0], input=await self.store.input_of(tenant_id, found[0].task_id))

    async def replay(
        self, ctx: RequestContext, tenant_id: str, request: DeadLetterReplay
    ) -> tuple[DeadLettersReplayed, bool]:
        """Do dead letters again, the latest first, as many as one request does.

        Each is done once, however many requests replay it at the same time, unless `again` is set.

        Returns:
            What was done, and whether an earlier request with the same idempotency key had done it.

        Raises:
            NotFound: there is no such tenant.
            TenantDraining: it takes nothing in.
            RateLimited: its queue is full, or too many come, before the first of them was replayed.
            IdempotencyKeyReused
        """
        await self.tenants.must_be_known(tenant_id)
        return await self.repeats.once(
            ctx,
            f"dlq.replay/{tenant_id}",
            request,
            DeadLettersReplayed,
            lambda: self._replay_chosen(ctx, tenant_id, request),
        )

    async def _replay_chosen(
        self, ctx: RequestContext, tenant_id: str, request: DeadLetterReplay
    ) -> DeadLettersReplayed:
        outcomes: list[DeadLetterOutcome] = []
        more, made = False, 0
        deadline = trio.current_time() + REPLAY_SECONDS
        async with aclosing(self._chosen(tenant_id, request)) as letters:
            async for letter in letters:
                if letter.replayed_as is not None and request.ids is None and not request.again:
                    continue
                if made == REPLAYED_AT_ONCE or trio.current_time() >= deadline:
                    more = True
                    break
                began = trio.current_time()
                try:
                    outcomes.append(await self._replay_one(ctx, tenant_id, letter, request))
                except (TenantDraining, RateLimited):
                    # None of the others would fare better at the moment.
                    if not outcomes:
                        raise
                    more = True
                    break
                if outcomes[-1].replayed_before:
                    continue
                made += 1
                if request.rate is not None and not request.dry_run:
                    await trio.sleep_until(min(began + 1 / request.rate, deadline))
        refused = sum(one.refusal is not None for one in outcomes)
        before = sum(one.replayed_before for one in outcomes)
        return DeadLettersReplayed(outcomes, len(outcomes) - refused - before, refused, more, request.dry_run)

    async def purge(
        self, ctx: RequestContext, tenant_id: str, choice: DeadLetterChoice
    ) -> tuple[DeadLettersPurged, bool]:
        """Delete dead letters; the records of their tasks stay.

        Returns:
            How many, and whether an earlier request with the same idempotency key had deleted them.

        Raises:
            NotFound: there is no such tenant.
            IdempotencyKeyReused
        """
        await self.tenants.must_be_known(tenant_id)
        return await self.repeats.once(
            ctx,
            f"dlq.purge/{tenant_id}",
            choice,
            DeadLettersPurged,
            lambda: self._purge_chosen(ctx, tenant_id, choice),
        )

    async def _purge_chosen(self, ctx: RequestContext, tenant_id: str, choice: DeadLetterChoice) -> DeadLettersPurged:
        purged, doomed = 0, []
        async for letter in self._chosen(tenant_id, choice):  # to its end, so it needs no closing
            doomed.append(letter.id)
            if len(doomed) == _READ_AT_ONCE:
                purged += await self.store.drop(tenant_id, doomed)
                doomed = []
        purged += await self.store.drop(tenant_id, doomed)
        await self.audit.done(ctx, "dlq.purge", f"{purged} dead letters", tenant_id=tenant_id)
        return DeadLettersPurged(purged)

    async def _replay_one(
        self, ctx: RequestContext, tenant_id: str, letter: DeadLetter, request: DeadLetterReplay
    ) -> DeadLetterOutcome:
        # With `again` the replay that was last when the letter was read must still be: two at once make one.
        last = (letter.replayed_as or "") if request.again else ""
        if letter.replayed_as and not request.again:
            return _replayed_before(letter, letter.replayed_as)
        try:
            replayed = await self.replays.replay(
                ctx, tenant_id, letter.task_id, ReplayRequest(dry_run=request.dry_run), last_replay=last
            )
        except ReplayedMeanwhile as meanwhile:
            return _replayed_before(letter, meanwhile.args[0])
        except (TenantDraining, RateLimited):
            raise
        except ClientFault as error:
            return DeadLetterOutcome(letter.id, letter.task_id, refusal=error.body(ctx.correlation_id))
        return DeadLetterOutcome(letter.id, letter.task_id, task_id=replayed.task_id)

    async def _chosen(
        self, tenant_id: str, choice: DeadLetterChoice, before: str | None = None
    ) -> AsyncGenerator[DeadLetter, None]:
        youngest = None if choice.older_than is None else await self.store.now_ms() - choice.older_than * 1000
        while True:
            if choice.ids is not None:
                rows = await self.store.some(tenant_id, choice.ids)
            else:
                rows = await self.store.page(tenant_id, before, _READ_AT_ONCE)
            for letter in await self.store.described(tenant_id, rows):
                if choice.error_code not in {None, letter.error.code}:
                    continue
                if youngest is not None and from_timestamp(letter.at) > youngest:
                    continue
                yield letter
            if choice.ids is not None or len(rows) < _READ_AT_ONCE:
                return
            before = rows[-1][0]


def _replayed_before(letter: DeadLetter, task_id: str) -> DeadLetterOutcome:
    return DeadLetterOutcome(letter.id, letter.task_id, task_id=task_id, replayed_before=True)
