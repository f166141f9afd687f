"""Background loops, and their one rule: what Redis or another process says ends none of them.

    keep ── run ── turn, turn, turn …        `started` once it works
      ▲      │
      └ pause ◀── StoreUnavailable, TenantDamaged: an outage

A loop that meets an outage is run again, after pauses that grow, until it works. Until then its process is not ready,
and the log has what Redis said. What goes wrong over one tenant's keys stays with that tenant (`isolate_tenant`).
Any other fault of our own program ends the process.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
import trio
from attrs import define, field, frozen

from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.store.redis.backoff import Backoff

START_SECONDS: Final = 10.0
"""Deadline of a loop that the start of a process waits for."""
CALM_SECONDS: Final = 5.0
"""A loop that has worked for so long begins with a short pause when it fails again."""
_log = structlog.get_logger("orchestrator.background")

Run = Callable[..., Awaitable[None]]
"""Runs a loop for ever; says `task_status.started()` as soon as it works, after each beginning."""


@frozen
class Loop:
    """A background loop.

    Args:
        name: what it is called in logs, metrics and readiness.
        run: runs it.
        event: how the log names its outages.
    """

    name: str
    run: Run
    event: str = "background.store_unavailable"


@define(eq=False)
class BackgroundLoops:
    """Runs the background loops of a process.

    Args:
        failed: told of each failure, with the name of the loop.
    """

    failed: Callable[[str], None] = lambda _: None
    _outages: dict[str, str] = field(factory=dict, init=False)

    @property
    def outages(self) -> Mapping[str, str]:
        """The loops that do not work at present, and why: Redis' own words, or that it is away."""
        return self._outages

    async def keep(self, loop: Loop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run a loop, again after each outage, for ever; `started` when it works for the first time."""
        backoff, health = Backoff(), _Health(self, loop.name, task_status)
        while True:
            trouble: Exception | None = None
            try:
                await loop.run(task_status=health)
            except* (StoreUnavailable, TenantDamaged) as group:
                trouble = _first(group)
            if trouble is None:
                return
            if health.calm:
                backoff = Backoff()
            pause = backoff.next()
            self._note(loop, trouble, pause)
            await trio.sleep(pause)

    async def start(self, nursery: trio.Nursery, loop: Loop) -> None:
        """Keep a loop in a nursery, and wait until it works.

        Raises:
            StoreUnavailable: it did not within `START_SECONDS`.
        """
        with trio.move_on_after(START_SECONDS) as waiting:
            await nursery.start(self.keep, loop)
        if waiting.cancelled_caught:
            reason = self._outages.get(loop.name, "it does not answer")
            raise StoreUnavailable(f"'{loop.name}' did not start within {START_SECONDS:g} s: {reason}.")

    def well(self, name: str) -> None:
        """Note that a loop works."""
        if self._outages.pop(name, None) is not None:
            _log.warning("background.recovered", loop=name)

    def _note(self, loop: Loop, trouble: Exception, pause: float) -> None:
        if isinstance(trouble, StoreUnavailable):
            reason, told = trouble.reason, trouble.refusal or trouble.message
        else:
            reason = told = str(trouble)
        # What it says for the first time is an error; that it says so still is not news.
        log = _log.warning if self._outages.get(loop.name) == told else _log.error
        log(loop.event, loop=loop.name, reason=reason, retry_in_seconds=round(pause, 3))
        self._outages[loop.name] = told
        self.failed(loop.name)


@define(eq=False)
class _Health:
    """What a loop says of itself, and since when it has worked."""

    _loops: BackgroundLoops
    _name: str
    _task_status: trio.TaskStatus[None]
    _ever: bool = field(default=False, init=False)
    _since: float = field(default=float("inf"), init=False)

    @property
    def calm(self) -> bool:
        """Whether it had worked for a while, until now; begins anew."""
        since, self._since = self._since, float("inf")
        return trio.current_time() - since >= CALM_SECONDS

    def started(self, value: Any = None) -> None:
        """Take the loop's word that it works."""
        self._since = trio.current_time()
        self._loops.well(self._name)
        if not self._ever:
            self._ever = True
            self._task_status.started(value)


def _first(group: BaseExceptionGroup[Any]) -> Exception:
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, Exception)  # noqa: S101 - the group was caught by two types of exceptions
    return leaf
