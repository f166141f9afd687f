"""Values on the command line: JSON, durations, moments."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw]?)", re.ASCII)
_LONGEST: Final = 100 * 366 * 86_400.0


def json_value(text: str) -> Any:
    """Read a JSON value.

    Raises:
        ValueError: the text is no JSON, or contains a number that JSON can not express (`NaN`, `1e999`).
    """
    value = json.loads(text)
    # Python also reads numbers that no request body can carry.
    json.dumps(value, allow_nan=False)
    return value


def assignment(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`; the value is JSON, or else a string.

    Raises:
        ValueError: there is no name.
    """
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ValueError(f"'{text}' is not NAME=VALUE.")
    try:
        return name, json_value(value)
    except ValueError:
        return name, value


def duration_seconds(text: str) -> float:
    """Read a duration: seconds, or a number with a unit, such as `90`, `15m`, `8h`, `30d` or `2w`.

    Raises:
        ValueError: it is none, or longer than a century.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else _LONGEST
    if seconds >= _LONGEST:
        raise ValueError(f"{text!r} is no duration such as 90, 15m, 8h or 30d.")
    return seconds


def moment(text: str) -> str:
    """Read a moment: a duration before now, `now`, or a timestamp or day (RFC 3339; without an offset in UTC).

    Returns:
        The moment as RFC 3339 in UTC, in milliseconds.

    Raises:
        ValueError: it is none.
    """
    if text.strip() == "now":
        at = datetime.now(UTC)
    elif _DURATION.fullmatch(text.strip()):
        at = datetime.now(UTC) - timedelta(seconds=duration_seconds(text))
    else:
        try:
            at = datetime.fromisoformat(text.strip())
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is no moment such as 1h (ago), 2026-01-31 or 2026-01-31T08:00:00Z.") from None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
