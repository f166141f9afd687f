"""Cron expressions: whether they make sense, and when they come next.

Five fields (minute, hour, day of month, month, day of week) as Debian's cron reads them, with `L` and `MON#2`. A run at
a fixed hour that a change to summer time leaves out comes right after the change, and one that a change back repeats
comes once; runs at every hour or minute go by elapsed time.
"""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

FIELDS: Final = 5
_REFERENCE: Final = datetime(2024, 1, 1, tzinfo=UTC)


def cron_fault(expression: str) -> str | None:
    """Say what is wrong with a cron expression; None if it is fine."""
    if len(expression.split()) != FIELDS:
        return f"must have {FIELDS} fields: minute, hour, day of month, month, day of week"
    try:
        next(CronSim(expression, _REFERENCE))
    except CronSimError as error:
        return f"is no cron expression: {error}"
    except StopIteration:
        return "names a moment that never comes"
    return None


def timezone_fault(name: str) -> str | None:
    """Say what is wrong with the name of a timezone; None if there is one."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "is no timezone of the IANA database, such as 'Europe/Madrid'"
    return None


def next_moment(expression: str, timezone: str, after_ms: int) -> int | None:
    """Return the first moment after `after_ms` that a cron expression names; None where none is left.

    Args:
        expression: one without a fault.
        timezone: by whose clocks it is read; one without a fault.
        after_ms: milliseconds since the Unix epoch.

    Raises:
        ValueError: the expression or the timezone has a fault.
    """
    try:
        moments = CronSim(expression, datetime.fromtimestamp(after_ms // 1000, ZoneInfo(timezone)))
    except (CronSimError, ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"'{expression}' in '{timezone}' names no moments: {error}") from error
    for moment in moments:
        found = round(moment.timestamp() * 1000)
        if found > after_ms:
            return found
    return None
