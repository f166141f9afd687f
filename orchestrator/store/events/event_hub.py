"""Hands every published event to those who follow its session in this process.

One pub/sub connection a process; a session's channel is subscribed while it is followed. The hub never waits for
a reader. Events that come together are handed out together: a reader is woken once for them, or not at all where its
follower can pass them on.

A channel that is followed for a moment, again and again, stays subscribed between: what has come last on it tells a new
follower what it would else read from the log.
"""

import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from secrets import token_hex
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.store.events.events import EventLog
from orchestrator.store.events.follower import Follower, FollowerTooSlow, HubStopped, LogLost, PassOn
from orchestrator.store.events.recent_events import RecentEvents
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.pubsub import Message, Subscriber
from orchestrator.store.redis.shared_keys import on_shared_keys

__all__ = ["EventHub", "Follower", "FollowerTooSlow", "HubStopped", "LogLost"]

UNSUBSCRIBE_SECONDS: Final = 2.0
GENERATION_SECONDS: Final = 2.0
"""So often it is looked whether Redis was emptied."""
KEPT_CHANNELS: Final = 512
"""So many channels stay subscribed without a follower; those that were left first go first."""
LEFT_AT_ONCE: Final = 2
"""So many of them are left when another one comes to be kept: sooner than they come, and no client waits for more."""
FOLLOWERS_AT_ONCE: Final = 128
"""So many are handed events before other tasks have their turn."""
_CHANNELS: Final = "orchestrator:events"
"""How the channels of sessions are called, all together, where something on one of them can't be read."""
_log = structlog.get_logger("orchestrator.store.events")


@define(eq=False)
class _Channel:
    """A channel and its followers."""

    name: str
    tenant_id: str
    owner_id: str
    log: EventLog
    """Reads what is published on it."""
    followers: set[Follower] = field(factory=set)
    recent: RecentEvents = field(factory=RecentEvents)
    keeps_recent: bool = False
    """Whether what comes on it is remembered, for later followers."""
    turn: trio.Lock = field(factory=trio.Lock)
    """Held while subscribing and unsubscribing, so that the two never cross."""
    asked: bool = False
    """Redis may have us as subscriber."""
    confirmed: bool = False
    """Redis has said that it has."""
    kept_until: float = -math.inf
    """When it may be left, on trio's clock, if it has no followers by then."""


class EventHub:
    """Follows sessions; one serves the whole process.

    Args:
        redis: opens the pub/sub connection.
        keys: the names of channels.
        log: where missed events are.
    """

    def __init__(self, redis: Redis, keys: Keys, log: EventLog) -> None:
        self._redis = redis
        self._keys = keys
        self._log = log
        self._channels: dict[bytes, _Channel] = {}
        self._pushed: dict[bytes, _Channel] = {}
        """Those whose followers were pushed events that are not handed out yet."""
        self._kept: OrderedDict[str, _Channel] = OrderedDict()
        """Those that have no follower and stay subscribed, in the order in which they were left."""
        self._subscriber: Subscriber | None = None
        self._stopped = False
        self._generation: bytes | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pump until cancelled; `started` as soon as sessions can be followed. At the end all followers are told."""
        async with self._redis.subscriber() as subscriber:
            self._subscriber, self._stopped = subscriber, False
            task_status.started()
            try:
                async for message in subscriber:
                    if isinstance(message, Message):
                        self._dispatch(message.channel, message.payload)
                    else:
                        # Reconnected: what was published meanwhile is in the logs.
                        self._mark_all()
                    if not subscriber.has_more:
                        await self._hand_out()
            finally:
                self._subscriber = None
                self._stopped = True
                for channel in self._kept.values():
                    if not channel.followers:
                        self._channels.pop(channel.name.encode(), None)
                self._kept.clear()
                for channel in self._channels.values():
                    channel.recent.clear()
                    for follower in channel.followers:
                        follower.end()

    async def watch_generation(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have all followers look into their logs where Redis was emptied, for ever: nothing is published of that.

        A key without a life of its own stands for what Redis holds: when it is gone, everything is. `started` after the
        first look.

        Raises:
            StoreUnavailable: it is not known.
        """
        begun = False
        while True:
            generation = await self._read_generation()
            if self._generation is not None and generation != self._generation:
                _log.warning("events.redis_emptied")
                self._mark_all()
            self._generation = generation
            if not begun:
                begun = True
                task_status.started()
            await trio.sleep(GENERATION_SECONDS)

    @on_shared_keys
    async def _read_generation(self) -> bytes | None:
        generation: bytes | None = await self._redis.set(self._keys.generation, token_hex(8), nx=True, get=True)
        return await self._redis.get(self._keys.generation) if generation is None else generation

    @asynccontextmanager
    async def follow(
        self,
        tenant_id: str,
        session_id: str,
        *,
        after: int | None = None,
        epoch: str | None = None,
        log: EventLog | None = None,
        capacity: int = 256,
        on_overflow: Callable[[], None] | None = None,
        pass_on: PassOn | None = None,
        keep_seconds: float = 0.0,
    ) -> AsyncIterator[Follower]:
        """Follow a session's events.

        The channel is subscribed before the log is read, so nothing can fall in between. The log is not read where the
        channel was subscribed already, and what has come on it since goes back to the place that is asked for.

        Args:
            tenant_id: whose session it is.
            session_id: the session.
            after: the offset after which to start; None: after the last event.
            epoch: the epoch that `after` belongs to; None: whichever there is.
            log: where missed events are, if it is no session that is followed.
            capacity: how many events may wait for the reader; beyond, `receive` raises `FollowerTooSlow`.
            on_overflow: called at that moment, for a reader that may be stuck elsewhere than in `receive`.
            pass_on: is offered events while the reader waits in `receive`, and may pass them on without waking it.
            keep_seconds: how long the channel stays subscribed behind its last follower; for who is likely to follow it
                again, and knows that the session is there.

        Raises:
            NotFound: there is no such session.
            StoreUnavailable: Redis is away.
        """
        name = self._keys.event_channel(tenant_id, session_id)
        log = log or self._log
        follower = Follower(log, tenant_id, session_id, capacity, on_overflow, pass_on)
        channel = self._channels.setdefault(name.encode(), _Channel(name, tenant_id, session_id, log))
        channel.followers.add(follower)
        channel.keeps_recent = channel.keeps_recent or keep_seconds > 0
        if self._stopped:
            follower.end()
        try:
            if not (keep_seconds and self._resumed(channel, follower, after, epoch)):
                await self._subscribe(channel)
                await follower.resume(after, epoch)
            yield follower
        finally:
            channel.followers.discard(follower)
            if not channel.followers:
                await self._leave(channel, keep_seconds)

    def followers(self, tenant_id: str, session_id: str) -> int:
        """Return how many follow a session in this process."""
        channel = self._channels.get(self._keys.event_channel(tenant_id, session_id).encode())
        return 0 if channel is None else len(channel.followers)

    def place(self, tenant_id: str, session_id: str) -> tuple[int, str] | None:
        """Return an offset of a session's log and its epoch, without asking Redis; None: that is not known here.

        The log may be further by what is on its way.
        """
        channel = self._channels.get(self._keys.event_channel(tenant_id, session_id).encode())
        last = None if channel is None or not channel.confirmed else channel.recent.last
        return None if last is None else (last.offset, last.epoch)

    def _resumed(self, channel: _Channel, follower: Follower, after: int | None, epoch: str | None) -> bool:
        """Let a follower begin with what has come on its channel; returns whether that goes back far enough."""
        if not channel.confirmed or self._stopped or after is None or epoch is None:
            return False
        events = channel.recent.after(after, epoch)
        if events is None:
            return False
        follower.begin(after, epoch, events)
        return True

    async def _leave(self, channel: _Channel, keep_seconds: float) -> None:
        """Leave a channel without followers: at once, or later where it is kept."""
        now = trio.current_time()
        if not keep_seconds or not channel.confirmed or self._stopped:
            self._kept.pop(channel.name, None)
            await self._unsubscribe(channel)
            return
        channel.kept_until = now + keep_seconds
        self._kept[channel.name] = channel
        self._kept.move_to_end(channel.name)
        for oldest in [*islice(self._kept.values(), LEFT_AT_ONCE)]:
            if not oldest.followers and oldest.kept_until > now and len(self._kept) <= KEPT_CHANNELS:
                return
            self._kept.pop(oldest.name, None)
            if not oldest.followers:
                await self._unsubscribe(oldest)

    async def _subscribe(self, channel: _Channel) -> None:
        if channel.confirmed or self._stopped:
            return
        if self._subscriber is None:
            raise StoreUnavailable("Events can't be followed yet.")
        async with channel.turn:
            if not channel.confirmed:
                channel.asked = True
                await self._subscriber.subscribe(channel.name)
                channel.confirmed = True

    async def _unsubscribe(self, channel: _Channel) -> None:
        """Leave a channel without followers, unless one came meanwhile, or has come and gone again."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + UNSUBSCRIBE_SECONDS):
            async with channel.turn:
                if channel.followers or channel.name in self._kept:
                    return
                if channel.asked and self._subscriber is not None:
                    channel.confirmed = False
                    channel.recent.clear()
                    await self._subscriber.unsubscribe(channel.name)
                    channel.asked = False
                if not channel.followers:
                    self._channels.pop(channel.name.encode(), None)

    def _dispatch(self, name: bytes, payload: bytes) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        try:
            event = channel.log.published(channel.tenant_id, payload, channel.owner_id)
        except TenantDamaged as error:
            # Nothing of ours, or under a key that is not here: the log says what is wrong, or it does not count.
            self._redis.unreadable.drop(_CHANNELS, payload, error)
            channel.recent.clear()
            for follower in channel.followers:
                follower.mark()
            return
        if channel.keeps_recent:
            channel.recent.add(event)
        for follower in channel.followers:
            follower.push(event)
        self._pushed[name] = channel

    async def _hand_out(self) -> None:
        """Let the followers have what was pushed since the last time."""
        pushed, self._pushed = self._pushed, {}
        handed = 0
        for channel in pushed.values():
            for follower in tuple(channel.followers):
                follower.hand_out()
                handed += 1
                if not handed % FOLLOWERS_AT_ONCE:
                    await trio.lowlevel.checkpoint()

    def _mark_all(self) -> None:
        for channel in self._channels.values():
            channel.recent.clear()
            for follower in channel.followers:
                follower.mark()
