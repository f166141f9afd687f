"""Waiting for what happens in its own time, with a deadline and a failure that says what was waited for."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final, TypeVar, overload

import trio

from orchestrator.store.redis.connection import Redis

PATIENCE: Final = 60.0
"""Seconds that a condition may take; only a test that fails ever waits so long."""
FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.05

T = TypeVar("T")


@overload
async def eventually(
    what: str,
    read: Callable[[], Awaitable[T]],
    holds: Callable[[T], object] = ...,
    *,
    within: float = ...,
    changed: Callable[[], trio.Event] | None = ...,
) -> T: ...


@overload
async def eventually(
    what: str,
    read: Callable[[], T],
    holds: Callable[[T], object] = ...,
    *,
    within: float = ...,
    changed: Callable[[], trio.Event] | None = ...,
) -> T: ...


async def eventually(
    what: str,
    read: Callable[[], Any],
    holds: Callable[[Any], object] = bool,
    *,
    within: float = PATIENCE,
    changed: Callable[[], trio.Event] | None = None,
) -> Any:
    """Read until what is read holds, and return it.

    Args:
        what: the condition, as a sentence for the failure.
        read: reads the state; a function or an async one.
        holds: tells whether the state is the one that is waited for.
        within: seconds until the wait is given up.
        changed: returns the event that the next change of the state sets. Without it the state is read again after
            pauses that grow from 2 to 50 ms, for what another process or server does sets no event here.

    Raises:
        AssertionError: the condition did not hold in time; the message has the last state that was read.
    """
    __tracebackhide__ = True  # a failure points at the test
    last: Any = "nothing"
    pause = FIRST_PAUSE
    with trio.move_on_after(within):
        while True:
            change = changed() if changed is not None else None
            found = read()
            last = await found if isawaitable(found) else found
            if holds(last):
                return last
            if change is not None:
                await change.wait()
            else:
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError(f"{what}: not within {within:g} s; last seen: {last!r}")


async def redis_clock_passes(redis: Redis, moment_ms: float) -> None:
    """Wait until it is later than a moment (ms since 1970) by the clock of Redis."""

    async def now() -> float:
        seconds, microseconds = await redis.execute_command("TIME")
        return int(seconds) * 1000 + int(microseconds) / 1000

    await eventually(f"Redis' clock passes {moment_ms:.0f}", now, lambda found: found > moment_ms)
