"""Whether this process is fit for work, and what is wrong if it isn't."""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Annotated, Final

import trio
from attrs import field, frozen
from msgspec import Meta

from orchestrator.errors import OrchestratorError

CHECK_SECONDS: Final = 0.8
"""Deadline of a check; all run at once, so that an answer takes less than a second."""

HealthCheck = Callable[[], Awaitable[str | None]]
"""Returns None if all is well, else what is wrong, in a few words without secrets."""


@frozen
class CheckResult:
    """What one check found."""

    ok: bool
    time_ms: Annotated[float, Meta(description="How long the check took, in ms.")]
    reason: Annotated[str | None, Meta(description="What is wrong.")] = None


@frozen
class HealthReport:
    """The state of this process."""

    status: Annotated[str, Meta(description="`ok`, `degraded` (a service downstream is away) or `unready`.")]
    checks: Annotated[dict[str, CheckResult], Meta(description="What must hold for readiness.")] = field(factory=dict)
    services: Annotated[dict[str, CheckResult], Meta(description="The services downstream.")] = field(factory=dict)

    @property
    def ready(self) -> bool:
        """Whether new work may come here."""
        return self.status != "unready"


@frozen
class Health:
    """Runs the checks.

    Args:
        checks: what must hold for readiness, by name.
        services: the services downstream, by name; one that is away only degrades.
    """

    checks: Mapping[str, HealthCheck]
    services: Mapping[str, HealthCheck] = field(factory=dict)

    async def readiness(self) -> HealthReport:
        """Check what readiness asks for."""
        checks = await _run(self.checks)
        return HealthReport(_verdict(checks, {}), checks)

    async def summary(self) -> HealthReport:
        """Check everything, the services downstream too."""
        everything = await _run({**self.services, **self.checks})
        checks = {name: everything[name] for name in self.checks}
        services = {name: everything[name] for name in self.services}
        return HealthReport(_verdict(checks, services), checks, services)


def _verdict(checks: Mapping[str, CheckResult], services: Mapping[str, CheckResult]) -> str:
    if not all(result.ok for result in checks.values()):
        return "unready"
    return "ok" if all(result.ok for result in services.values()) else "degraded"


async def _run(checks: Mapping[str, HealthCheck]) -> dict[str, CheckResult]:
    results: dict[str, CheckResult] = {}

    async def run(name: str, check: HealthCheck) -> None:
        results[name] = await _time(check)

    async with trio.open_nursery() as nursery:
        for name, check in checks.items():
            nursery.start_soon(run, name, check)
    return {name: results[name] for name in checks}


async def _time(check: HealthCheck) -> CheckResult:
    started = perf_counter()
    reason: str | None = f"no answer within {CHECK_SECONDS:g} s"
    with trio.move_on_after(CHECK_SECONDS):
        try:
            reason = await check()
        except OrchestratorError as error:
            reason = error.message
    return CheckResult(reason is None, round((perf_counter() - started) * 1000, 3), reason)
