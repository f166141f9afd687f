"""The time of a turn: when it is over, or the turn is stopped before, the services that are still at work are told."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from orchestrator.errors import CallTimeout, PlanTimeout

T = TypeVar("T")


async def in_time(
    work: Callable[[], Awaitable[T]],
    deadline: float,
    *,
    stopped: Callable[[], Awaitable[None]],
    late: Callable[[], Awaitable[None]],
    complaint: str,
) -> T:
    """Return what comes of the work, whose calls have `deadline` themselves.

    Args:
        work: the turn.
        deadline: when its time is over, on trio's clock, in seconds.
        stopped: says goodbye where the work is cancelled; it is shielded, and bounded.
        late: the same where the time was over.
        complaint: what is said then.

    Raises:
        PlanTimeout: the time was over.
    """
    try:
        with trio.CancelScope(deadline=deadline):
            return await work()
    except trio.Cancelled:
        await stopped()
        raise
    except CallTimeout:
        if trio.current_time() < deadline:
            raise
    await late()
    raise PlanTimeout(complaint)
