"""`doctor`: what is wrong with a stack, seen from this machine."""

import os
import sys
from collections.abc import Callable, Iterator
from time import time
from typing import Any, Final

import click
import httpx
import redis
from attrs import asdict, frozen

from cli.core.context import Target, find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import Column, note, show_list
from orchestrator.config.loading import SERVICE_NAMES, SettingsFault, load_settings
from orchestrator.config.settings import AgentOrchestratorSettings, ServiceSettings
from orchestrator.errors import StoreUnavailable
from orchestrator.frameworks.versions import untried

TIMEOUT: Final = 3.0
CLOCK_SECONDS: Final = 1.0
_COLUMNS: Final = (Column("CHECK", "check", whole=True), Column("", "verdict", whole=True), Column("WHAT", "says"))


@frozen
class Check:
    """One thing that was looked at."""

    check: str
    verdict: str
    """`ok`, `warning`, `mended` or `failed`."""
    says: str
    hint: str = ""
    unreachable: bool = False


@click.command()
@click.option("--repair", is_flag=True, help="Mend what the books of tenants have wrong, where that is safe.")
@listing_options
def doctor(*, repair: bool) -> None:
    """Check settings, Redis (version, persistence, eviction, clock), libraries, services, and the books.

    The books of a tenant balance when every task that was accepted is in exactly one place, and lanes, delays, sessions
    and event logs agree with that; and when budgets hold as reserved what the open calls of the gateway add up to. They
    may be looked at while the service runs.

    \b
    Example:
      nooble-orch doctor --redis-url redis://10.0.0.5:6379/0 --repair
    """
    target = find_target()
    settings, checks = _settings(target)
    url = target.redis_url or (settings.redis_url if settings else "")
    redis_checks = list(_redis(url))
    checks += redis_checks
    if not any(check.unreachable for check in redis_checks):
        checks += _books(url, settings or AgentOrchestratorSettings(), repair=repair)
    checks += [*_libraries(), *_service(target), *_downstream(target, settings)]
    show_list([_shown(check) for check in checks], _COLUMNS, "")
    if sys.stdout.isatty():
        for check in checks:
            if check.hint:
                note(f"{check.check}: {check.hint}")
    failed = [check for check in checks if check.verdict == "failed"]
    if failed:
        code = Exit.UNREACHABLE if any(check.unreachable for check in failed) else Exit.FAILED
        names = ", ".join(dict.fromkeys(check.check for check in failed))
        raise CliFailure(f"Of {len(checks)} checks {len(failed)} failed: {names}.", "", code)


def _shown(check: Check) -> dict[str, Any]:
    record = asdict(check)
    del record["unreachable"]
    return record


def _settings(target: Target) -> tuple[AgentOrchestratorSettings | None, list[Check]]:
    try:
        return load_settings(os.environ), [Check("settings", "ok", "all right")]
    except SettingsFault as fault:
        if target.stack is not None:
            # A stack of `dev` has its settings from its own parent; what this shell lacks is no fault of it.
            return None, [Check("settings", "ok", "those of the running dev stack")]
        hint = "'nooble-orch config' shows what is in force."
        return None, [Check("settings", "failed", line, hint) for line in fault.faults]


def _redis(url: str) -> Iterator[Check]:
    if not url:
        yield Check("redis", "failed", "no address is known", "Set ORCH_REDIS_URL.", unreachable=True)
        return
    try:
        with redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, decode_responses=True
        ) as client:
            started = time()
            seconds, microseconds = client.time()
            middle = (started + time()) / 2
            info: dict[str, Any] = client.info()
    except (redis.RedisError, ValueError) as error:
        hint = "Is ORCH_REDIS_URL right, and Redis running?"
        yield Check("redis", "failed", f"can't be reached: {error}", hint, unreachable=True)
        return
    yield Check("redis", "ok", "answers")
    yield from (check(info) for check in (_version, _persistence, _eviction))
    yield _clock(seconds + microseconds / 1e6 - middle)


def _version(info: dict[str, Any]) -> Check:
    version = str(info["redis_version"])
    if int(version.split(".", maxsplit=1)[0]) >= 7:
        return Check("redis version", "ok", version)
    return Check("redis version", "failed", f"{version}, and 7.0 is needed", "Upgrade Redis.")


def _persistence(info: dict[str, Any]) -> Check:
    if info.get("aof_enabled"):
        broken = info.get("aof_last_write_status", "ok") != "ok"
        if broken:
            return Check("redis persistence", "failed", "the last write of the append-only file failed", "Disk full?")
        return Check("redis persistence", "ok", "append-only file")
    hint = "Set 'appendonly yes': without it a restart of Redis loses accepted work."
    return Check("redis persistence", "warning", "no append-only file", hint)


def _eviction(info: dict[str, Any]) -> Check:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check("redis eviction", "ok", policy)
    hint = "Set 'maxmemory-policy noeviction': any other throws queues and sessions away when memory runs short."
    return Check("redis eviction", "failed", policy, hint)


def _clock(difference: float) -> Check:
    says = f"{difference * 1000:+.0f} ms from this machine's"
    if abs(difference) <= CLOCK_SECONDS:
        return Check("redis clock", "ok", says)
    return Check("redis clock", "failed", says, "Synchronise the clocks (NTP): deadlines depend on them.")


def _books(url: str, settings: AgentOrchestratorSettings, *, repair: bool) -> Iterator[Check]:
    from cli.commands.consistency import audit_all  # noqa: PLC0415 - trio and the stores are needed here alone

    try:
        for found in audit_all(url, log_length=settings.event_log_length, repair=repair):
            yield Check(found.subject, found.verdict, found.says)
    except StoreUnavailable as error:
        yield Check("books", "failed", error.message, "Is Redis loading its data?", unreachable=True)


def _libraries() -> Iterator[Check]:
    found = untried()
    for library in found:
        hint = "It may well work; where something fails, try a version of the range first."
        says = f"{library.name} {library.version} was never tried, {library.lowest} to {library.newest} were"
        yield Check("libraries", "warning", says, hint)
    if not found:
        yield Check("libraries", "ok", "of tried versions")


def _service(target: Target) -> Iterator[Check]:
    if not target.api_url:
        yield Check("service", "warning", "no address is known, not checked", "Name it with --api-url.")
        return
    yield _asked("service", f"{target.api_url}/health/ready", _readiness)


def _downstream(target: Target, settings: AgentOrchestratorSettings | None) -> Iterator[Check]:
    sandbox = target.stack.sandbox_url if target.stack else ""
    for name in SERVICE_NAMES:
        service: ServiceSettings = getattr(settings.services, name) if settings else ServiceSettings()
        if service.transport == "queue":
            yield Check(name, "ok", "is asked through its queue; the service's own check tells how it is")
            continue
        url = service.url
        if not url and sandbox:
            url = f"{sandbox}/{name}"
        if url:
            yield _asked(name, f"{url.rstrip('/')}/health", _health)
        else:
            yield Check(name, "warning", "no URL is set", f"Set ORCH_SERVICES__{name.upper()}__URL.")


def _asked(name: str, url: str, judge: Callable[[httpx.Response], str | None]) -> Check:
    try:
        response = httpx.get(url, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Check(name, "failed", f"{url} can't be reached: {error}", "Is it running?", unreachable=True)
    fault = judge(response)
    took = f"{response.elapsed.total_seconds() * 1000:.0f} ms"
    return Check(name, "failed", f"{url}: {fault}") if fault else Check(name, "ok", f"{url} in {took}")


def _health(response: httpx.Response) -> str | None:
    return None if response.is_success else f"answered {response.status_code}"


def _readiness(response: httpx.Response) -> str | None:
    return None if response.is_success else f"is not ready ({response.status_code}): {response.text[:200]}"
