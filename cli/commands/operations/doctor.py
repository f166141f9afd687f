"""`doctor`: checks of a stack, as seen from this machine."""

import os
import sys
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final

import click
import redis
from attrs import asdict, frozen

from cli.core.client import AdminApi
from cli.core.context import Target, find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import Column, note, show_list
from cli.core.selection import current_options
from cli.http.answer import Answer
from cli.http.client import HttpClient
from cli.http.errors import HttpError
from orchestrator.codec import structure
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings
from orchestrator.config.masking import mask_credentials
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import StoreUnavailable
from orchestrator.frameworks.versions import untried
from orchestrator.models.operations.consistency import TenantCheck
from orchestrator.store.keys import Keys

TIMEOUT: Final = 3.0
_AFAR_TIMEOUT: Final = 60.0
"""A check of a large tenant takes its time."""
CLOCK_SECONDS: Final = 1.0
OWN_CLOCK_SECONDS: Final = 2.0
_CODES: Final[dict[type[Exception], str]] = {
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
}
_COLUMNS: Final = (Column("CHECK", "check", whole=True), Column("", "verdict", whole=True), Column("WHAT", "says"))


@frozen
class Check:
    """The result of one check."""

    check: str
    verdict: str
    """`ok`, `warning`, `mended` or `failed`."""
    says: str
    hint: str = ""
    unreachable: bool = False


@click.command()
@click.option("--repair", is_flag=True, help="Repair inconsistencies of tenants, where that is safe.")
@listing_options
def doctor(*, repair: bool) -> None:
    """Check settings, Redis, libraries, the service, the services behind it, and the consistency of tenants.

    With --tenant only that tenant's consistency is checked.

    Of Redis the version, persistence, eviction policy and clock are checked. A tenant is consistent when every accepted
    task is in exactly one place, when lanes, delays, sessions and event logs agree with that, and when its budgets hold
    the reservations of its open gateway calls. The service may run meanwhile. Where its address is known and that of
    its Redis is not, the service is asked, with an API key: so it works from any machine.

    \b
    Example:
      nooble-orch doctor --redis-url redis://10.0.0.5:6379/0 --repair
    """
    target = find_target()
    checks = _from_afar(target, repair=repair) if _is_elsewhere(target) else _from_here(target, repair=repair)
    show_list([_record(check) for check in checks], _COLUMNS)
    if sys.stdout.isatty():
        for check in checks:
            if check.hint:
                note(f"{check.check}: {check.hint}")
    failed = [check for check in checks if check.verdict == "failed"]
    if failed:
        code = Exit.UNREACHABLE if any(check.unreachable for check in failed) else Exit.FAILED
        names = ", ".join(dict.fromkeys(check.check for check in failed))
        raise CliFailure(f"Of {len(checks)} checks {len(failed)} failed: {names}.", "", code)


def _is_elsewhere(target: Target) -> bool:
    """Tell whether the service runs on another machine: its address is known, and that of its Redis is not."""
    named = target.redis_url or any(name in os.environ for name in ("ORCH_REDIS_URL", "ORCH_REDIS_URL_FILE"))
    return bool(target.api_url) and not named


def _from_afar(target: Target, *, repair: bool) -> list[Check]:
    """Ask the service for what only it knows."""
    checks = [*_libraries(), *_service(target)]
    if any(check.unreachable for check in checks):
        return checks
    checks += [*_own_clock(target), *_services_of(target)]
    if not target.api_key:
        hint = "Set ORCH_API_KEY: the service then checks Redis and its tenants."
        return [*checks, Check("redis", "warning", "not checked: that needs an API key", hint)]
    with AdminApi(target, timeout=_AFAR_TIMEOUT) as api:
        overview = api.get("orchestrator.check")
        store = overview["store"]
        checks += [check(store) for check in (_version, _persistence, _eviction)]
        ahead = store["clock_ahead_ms"] / 1000
        checks.append(_clock(ahead, "the process that answered"))
        only = current_options().tenant
        if only is not None and only not in overview["tenants"]:
            return [*checks, _no_tenant(only)]
        for tenant_id in overview["tenants"] if only is None else [only]:
            found = api.post(f"tenant.repair/{tenant_id}") if repair else api.get(f"tenant.check/{tenant_id}")
            checks += _told(found)
    return checks


def _own_clock(target: Target) -> Iterator[Check]:
    """Compare the clock of this machine with that of the service, as its answers tell it, in whole seconds."""
    try:
        answer = _fetch(f"{target.api_url}/health/live", target, timeout=TIMEOUT)
        ahead = time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (HttpError, KeyError, ValueError):
        return  # a proxy may leave the date out
    if -OWN_CLOCK_SECONDS <= ahead <= OWN_CLOCK_SECONDS + 1:
        yield Check("clock", "ok", "that of this machine agrees with that of the service")
        return
    hint = "Ages, --since 1h and the like, and tokens that are created here go by the clock of this machine."
    yield Check("clock", "warning", f"that of this machine is {ahead:+.0f} s off that of the service", hint)


def _told(found: dict[str, Any]) -> list[Check]:
    from cli.commands.operations.consistency import findings  # noqa: PLC0415 - trio and the stores are needed here alone

    return [Check(one.subject, one.verdict, one.says) for one in findings(structure(found, TenantCheck))]


def _no_tenant(tenant_id: str) -> Check:
    from cli.commands.operations.consistency import no_tenant  # noqa: PLC0415 - trio and the stores are needed here alone

    found = no_tenant(tenant_id)
    return Check(found.subject, found.verdict, found.says)


def _services_of(target: Target) -> Iterator[Check]:
    """Return the checks of the services behind the service, as it makes them."""
    try:
        services = _fetch(f"{target.api_url}/health", target, timeout=_AFAR_TIMEOUT).json()["services"]
    except (HttpError, ValueError, KeyError, TypeError):
        yield Check("services", "warning", "the service does not tell how the services behind it are")
        return
    for name, result in services.items():
        verdict = "ok" if result["ok"] else "failed"
        says = f"answers the service in {result['time_ms']:.0f} ms" if result["ok"] else str(result["reason"])
        yield Check(name, verdict, says)


def _from_here(target: Target, *, repair: bool) -> list[Check]:
    """Check what this machine reaches."""
    settings, checks = _settings(target)
    url = target.redis_url or (settings.redis_url if settings else "")
    redis_checks = list(_redis(url))
    checks += redis_checks
    if not any(check.unreachable for check in redis_checks):
        checks += _books(url, settings or DEFAULTS, repair=repair)
    return [*checks, *_libraries(), *_service(target), *_downstream(target, settings)]


def _record(check: Check) -> dict[str, Any]:
    told = asdict(check, filter=lambda field, _: field.name != "unreachable")
    return {name: mask_credentials(text) for name, text in told.items()}


def _settings(target: Target) -> tuple[AgentOrchestratorSettings | None, list[Check]]:
    try:
        return load_settings(DEFAULTS, os.environ), [Check("settings", "ok", "valid")]
    except SettingsFault as fault:
        if target.stack is not None:
            # A `dev` stack has settings of its own; faults of the environment here do not concern it.
            return None, [Check("settings", "ok", "settings of the running dev stack")]
        hint = "'nooble-orch config' shows what is in force."
        return None, [Check("settings", "failed", line, hint) for line in fault.faults]


def _redis(url: str) -> Iterator[Check]:
    if not url:
        yield Check("redis", "failed", "its URL is unknown", "Set ORCH_REDIS_URL.", unreachable=True)
        return
    try:
        with redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, decode_responses=True
        ) as client:
            started = time()
            seconds, microseconds = client.time()
            middle = (started + time()) / 2
            info: dict[str, Any] = client.info()
            writes = _write(client)
    except redis.ResponseError as error:
        yield Check("redis", "failed", f"refuses: {_words(error)}", "May the user of ORCH_REDIS_URL do everything?")
        return
    except ValueError:
        # Its text may have a part of the password.
        hint = "Expected redis://, rediss:// or unix://, with credentials encoded as in all URLs."
        yield Check("redis", "failed", "its URL can't be read", hint, unreachable=True)
        return
    except redis.RedisError as error:
        hint = "Is ORCH_REDIS_URL right, and Redis running?"
        yield Check("redis", "failed", f"can't be reached: {_words(error)}", hint, unreachable=True)
        return
    yield Check("redis", "ok", "answers")
    yield writes
    yield from (check(info) for check in (_version, _persistence, _eviction))
    yield _clock(seconds + microseconds / 1e6 - middle)


def _words(error: Exception) -> str:
    """Return what Redis has said with its code, which redis-py makes a type of exception and leaves out."""
    code = _CODES.get(type(error))
    return f"{code} {error}" if code else str(error)


def _write(client: redis.Redis) -> Check:
    try:
        client.set(Keys().probe("doctor"), "1", px=round(TIMEOUT * 1000))
    except redis.ResponseError as error:
        hint = "The service refuses new work until Redis takes writes: what it says is the reason."
        return Check("redis writes", "failed", _words(error), hint)
    return Check("redis writes", "ok", "taken")


def _version(info: dict[str, Any]) -> Check:
    version = str(info["redis_version"])
    if int(version.split(".", maxsplit=1)[0]) >= 7:
        return Check("redis version", "ok", version)
    return Check("redis version", "failed", f"{version}; 7.0 or newer is required", "Upgrade Redis.")


def _persistence(info: dict[str, Any]) -> Check:
    if info.get("aof_enabled"):
        broken = info.get("aof_last_write_status", "ok") != "ok"
        if broken:
            return Check("redis persistence", "failed", "the last write of the append-only file failed", "Disk full?")
        return Check("redis persistence", "ok", "append-only file")
    hint = "Set 'appendonly yes': without it a restart of Redis loses accepted tasks."
    return Check("redis persistence", "warning", "no append-only file", hint)


def _eviction(info: dict[str, Any]) -> Check:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check("redis eviction", "ok", policy)
    hint = "Set 'maxmemory-policy noeviction': other policies delete queues and sessions when memory is short."
    return Check("redis eviction", "failed", policy, hint)


def _clock(difference: float, machine: str = "this machine") -> Check:
    says = f"{difference * 1000:+.0f} ms off the clock of {machine}"
    if abs(difference) <= CLOCK_SECONDS:
        return Check("redis clock", "ok", says)
    return Check("redis clock", "failed", says, "Synchronise the clocks with NTP: deadlines depend on them.")


def _books(url: str, settings: AgentOrchestratorSettings, *, repair: bool) -> Iterator[Check]:
    from cli.commands.operations.consistency import check_contents, check_tenants  # noqa: PLC0415 - trio and the stores are needed here alone

    try:
        for found in check_tenants(url, settings, repair=repair, only=current_options().tenant):
            yield Check(found.subject, found.verdict, found.says)
        contents = check_contents(url, settings, repair=repair)
        hint = "ORCH_ENCRYPTION_KEYS must hold here what it holds for the service."
        yield Check(contents.subject, contents.verdict, contents.says, hint if contents.verdict == "failed" else "")
    except StoreUnavailable as error:
        yield Check("books", "failed", error.reason, "Is Redis loading its data?", unreachable=True)


def _libraries() -> Iterator[Check]:
    found = untried()
    for library in found:
        hint = "It may work; if something fails, try a version of this range first."
        says = f"{library.name} {library.version} is untried; versions {library.lowest} to {library.newest} are tried"
        yield Check("libraries", "warning", says, hint)
    if not found:
        yield Check("libraries", "ok", "tried versions")


def _service(target: Target) -> Iterator[Check]:
    if not target.api_url:
        yield Check("service", "warning", "its URL is unknown; not checked", "Set --api-url.")
        return
    yield _get("service", f"{target.api_url}/health/ready", target, _readiness)


def _downstream(target: Target, settings: AgentOrchestratorSettings | None) -> Iterator[Check]:
    sandbox = target.stack.sandbox_url if target.stack else ""
    for name, service in (settings or DEFAULTS).services.items():
        if service.transport == "queue":
            yield Check(name, "ok", "called through its queue, so not checked from here; see the check of the service")
            continue
        url = service.url
        if not url and sandbox:
            url = f"{sandbox}/{name}"
        if url:
            yield _get(name, f"{url.rstrip('/')}/health", target, _health)
        else:
            yield Check(name, "warning", "no URL is set", f"Set ORCH_SERVICES__{name.upper()}__URL.")


def _get(name: str, url: str, target: Target, fault_of: Callable[[Answer], str | None]) -> Check:
    try:
        answer = _fetch(url, target, timeout=TIMEOUT)
    except HttpError as error:
        return Check(name, "failed", f"{url} can't be reached: {error}", "Is it running?", unreachable=True)
    fault = fault_of(answer)
    elapsed = f"{answer.seconds * 1000:.0f} ms"
    return Check(name, "failed", f"{url}: {fault}") if fault else Check(name, "ok", f"{url} in {elapsed}")


def _fetch(url: str, target: Target, *, timeout: float) -> Answer:
    with HttpClient(url, timeout=timeout, tls=target.tls) as client:
        return client.request("GET", "")


def _health(answer: Answer) -> str | None:
    return None if answer.is_success else f"answered {answer.status}"


def _readiness(answer: Answer) -> str | None:
    return None if answer.is_success else f"is not ready ({answer.status}): {answer.text[:200]}"
