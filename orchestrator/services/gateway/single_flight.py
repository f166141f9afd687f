"""Single flight: equal requests at once share one call, and its answer is cached.

Within a process all join the flight of the first one. Across processes the first one holds a lease in Redis; the others
wait for its announcement, at most until the lease ends: then the next of them leads. A flight goes on although all its
requests were cancelled; its error is raised in all requests of its process, and other processes try for themselves.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import structlog
import trio
from attrs import define, field, frozen

from orchestrator.errors import (
    CallTimeout,
    InternalFault,
    InvalidAnswer,
    OrchestratorError,
    StoreUnavailable,
    TenantDamaged,
)
from orchestrator.models.common.ids import new_id
from orchestrator.models.gateway.usage import UsageKind
from orchestrator.store.gateway.answer_cache import LEASE_MS, AnswerCache, Elsewhere, Ours
from orchestrator.store.records import reading

FLIGHT_SECONDS: Final = 130.0
"""Deadline of a flight: a little more than that of a call."""
STOPPING: Final = "The process stops; another one takes the request."
_GOODBYE_SECONDS: Final = 2.0
_log = structlog.get_logger("orchestrator.services.gateway.gateway")


class AnswerOrigin(StrEnum):
    """Origin of an answer."""

    KEPT = "kept"
    """From the cache."""
    ASKED = "asked"
    """From the service."""


@frozen
class Shared:
    """An answer, and its origin."""

    value: Any
    origin: AnswerOrigin


@define(eq=False)
class Flight:
    """A running call that requests share."""

    over: trio.Event = field(factory=trio.Event)
    noticed: trio.Event = field(factory=trio.Event)
    """Set when another process has cached the answer, or has failed."""
    landed: Shared | OrchestratorError | None = None

    def land(self, with_what: Shared | OrchestratorError) -> None:
        """End the flight; only the first end counts."""
        if self.landed is None:
            self.landed = with_what
            self.over.set()

    def value(self) -> Shared:
        """Return the answer, or raise the error of the flight."""
        if isinstance(self.landed, OrchestratorError):
            raise _another(self.landed) from self.landed
        assert self.landed is not None  # noqa: S101 - a flight ends by landing
        return self.landed


@frozen
class AnswerCodec:
    """Encoding of cached answers: `pack` gives None for an answer that is not cached."""

    pack: Callable[[Any], bytes | None]
    unpack: Callable[[bytes], Any]
    ttl_ms: int


Fetch = Callable[[list[str]], Awaitable[list[Any]]]
"""Calls the service for the answers with these digests, all at once."""


@define(eq=False)
class SingleFlight:
    """Shares calls between equal requests.

    Args:
        cache: of answers, and leases of flights.
    """

    cache: AnswerCache
    _flights: dict[bytes, Flight] = field(factory=dict, init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)
    _under_way: int = field(default=0, init=False)
    _idle: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run flights, and follow the announcements of other processes, until cancelled."""
        async with trio.open_nursery() as nursery, self.cache.follow() as announcements:
            self._nursery = nursery
            task_status.started()
            try:
                async for name in announcements:
                    self._notice(list(self._flights) if name is None else [name])
            finally:
                self._nursery = None

    def _notice(self, names: Sequence[bytes]) -> None:
        for name in names:
            if name in self._flights:
                self._flights[name].noticed.set()

    async def idle(self) -> None:
        """Wait until no flight is running."""
        while self._under_way:
            await self._idle.wait()

    async def apart(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run work that goes on when its caller is cancelled; returns its result, or raises its error."""
        flight = Flight()
        self._start(self._carry, flight, work)
        return (await _landing([flight]))[0].value

    async def obtain(
        self, tenant_id: str, kind: UsageKind, digests: Sequence[str], codec: AnswerCodec, fetch: Fetch
    ) -> list[Shared]:
        """Return the answers with these digests.

        Args:
            tenant_id: their owner; answers are never shared between tenants.
            kind: of the requests.
            digests: of the requests, without duplicates.
            codec: encodes answers for the cache.
            fetch: calls the service for answers that are neither cached nor in flight.

        Raises:
            OrchestratorError: of the call for one of them.
        """
        names = {digest: self.cache.name(tenant_id, kind, digest) for digest in digests}
        ours = {digest: Flight() for digest, name in names.items() if name not in self._flights}
        if ours:
            leader = _Leader(self, tenant_id, kind, codec, fetch, ours)
            self._start(self._lead, leader, [names[digest] for digest in ours])
        self._flights |= {names[digest]: flight for digest, flight in ours.items()}
        flights = [self._flights[names[digest]] for digest in digests]
        landed = await _landing(flights)
        # A request that joined a flight has no usage of its own.
        return [
            shared if digest in ours else Shared(shared.value, AnswerOrigin.KEPT)
            for digest, shared in zip(digests, landed, strict=True)
        ]

    async def anew(
        self, tenant_id: str, kind: UsageKind, digests: Sequence[str], codec: AnswerCodec, fetch: Fetch
    ) -> list[Shared]:
        """Call the service although answers are cached, and replace them; otherwise as `obtain`."""

        async def work() -> list[Any]:
            answers = await fetch(list(digests))
            await self.keep(tenant_id, kind, dict(zip(digests, answers, strict=True)), codec, "")
            return answers

        return [Shared(answer, AnswerOrigin.ASKED) for answer in await self.apart(work)]

    async def keep(
        self, tenant_id: str, kind: UsageKind, answers: Mapping[str, Any], codec: AnswerCodec, holder: str
    ) -> None:
        """Cache answers by their digests, and end the leases of `holder`; where that fails, nothing is cached."""
        packed = [(digest, None if answer is None else codec.pack(answer)) for digest, answer in answers.items()]
        try:
            await self.cache.keep(tenant_id, kind, packed, holder, codec.ttl_ms)
        except (StoreUnavailable, TenantDamaged) as error:
            _log.warning("gateway.answer_not_kept", error=error.reason)

    def _start(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        if self._nursery is None:
            raise StoreUnavailable(STOPPING)
        self._nursery.start_soon(self._fly, work, *arguments)

    async def _fly(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self._under_way += 1
        try:
            await work(*arguments)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
                self._idle = trio.Event()

    async def _carry(self, flight: Flight, work: Callable[[], Awaitable[Any]]) -> None:
        await _bring([flight], lambda: _whole(flight, work))

    async def _lead(self, leader: "_Leader", names: list[bytes]) -> None:
        try:
            await _bring(list(leader.flights.values()), leader.run)
        finally:
            for name in names:
                del self._flights[name]


def _another(error: OrchestratorError) -> OrchestratorError:
    """Return a copy of an error: an exception collects the frames that it passes, so that each caller needs its own."""
    kind = type(error)
    twin = kind.__new__(kind, *error.args)
    twin.__dict__.update(error.__dict__)
    return twin


async def _whole(flight: Flight, work: Callable[[], Awaitable[Any]]) -> None:
    flight.land(Shared(await work(), AnswerOrigin.ASKED))


async def _landing(flights: Sequence[Flight]) -> list[Shared]:
    for flight in flights:
        await flight.over.wait()
    return [flight.value() for flight in flights]


async def _bring(flights: Sequence[Flight], work: Callable[[], Awaitable[None]]) -> None:
    """Do the work of flights, and end them in any case."""
    end: OrchestratorError = CallTimeout("The answer did not come in time.")
    try:
        with trio.move_on_after(FLIGHT_SECONDS):
            await work()
    except OrchestratorError as error:
        end = error
    except trio.Cancelled:
        end = StoreUnavailable(STOPPING)
        raise
    except Exception:  # noqa: BLE001 - the boundary of the flight: its requests fail, and the log has the reason
        _log.exception("gateway.flight_crashed")
        end = InternalFault("The gateway failed; its log has the reason.")
    finally:
        for flight in flights:
            flight.land(end)


@define(eq=False)
class _Leader:
    """Leads flights that began together."""

    shared: SingleFlight
    tenant_id: str
    kind: UsageKind
    codec: AnswerCodec
    fetch: Fetch
    flights: Mapping[str, Flight]
    _holder: str = field(factory=new_id)

    async def run(self) -> None:
        """Look up, fetch what no process fetches, and wait for the rest, until all flights have landed."""
        missing = list(self.flights)
        while missing:
            found = await self.shared.cache.seek(self.tenant_id, self.kind, missing, self._holder)
            asked, awaited = [], {}
            for digest, one in zip(missing, found, strict=True):
                if isinstance(one, Ours):
                    asked.append(digest)
                elif isinstance(one, Elsewhere):
                    awaited[digest] = one.wait_ms
                elif (answer := self._unpacked(digest, one)) is not None:
                    self.flights[digest].land(Shared(answer, AnswerOrigin.KEPT))
                else:
                    asked.append(digest)
            if asked:
                await self._ask(asked)
            for digest, wait_ms in awaited.items():
                await self._await(self.flights[digest], wait_ms)
            missing = list(awaited)

    def _unpacked(self, digest: str, kept: bytes) -> Any | None:
        """Return a cached answer; None where it can't be read, which is logged: another one takes its place."""
        try:
            with reading("cached answer", digest):
                return self.codec.unpack(kept)
        except (TenantDamaged, InvalidAnswer) as damage:
            _log.error("record.damaged", tenant_id=self.tenant_id, error=str(damage))
            return None

    async def _ask(self, digests: list[str]) -> None:
        answers: list[Any] = []
        failure: OrchestratorError | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hold, digests)
                try:
                    answers = await self.fetch(digests)
                except OrchestratorError as error:
                    failure = error
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _GOODBYE_SECONDS):
                kept = dict(zip(digests, answers or [None] * len(digests), strict=True))
                await self.shared.keep(self.tenant_id, self.kind, kept, self.codec, self._holder)
        if failure is not None:
            raise failure
        for digest, answer in zip(digests, answers, strict=True):
            self.flights[digest].land(Shared(answer, AnswerOrigin.ASKED))

    async def _hold(self, digests: list[str]) -> None:
        while True:
            await trio.sleep(LEASE_MS / 3000)
            try:
                await self.shared.cache.hold(self.tenant_id, self.kind, digests, self._holder)
            except StoreUnavailable as error:
                _log.warning("gateway.lease_not_renewed", error=error.reason)

    async def _await(self, flight: Flight, wait_ms: int) -> None:
        with trio.move_on_after(wait_ms / 1000):
            await flight.noticed.wait()
        flight.noticed = trio.Event()
