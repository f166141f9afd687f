"""Failures as services tell them: one shape of the many that the platform's documents have.

A code stands in `error`, in `metadata.error`, in `metadata.error_code`, in the payload of a message of type `*.error`,
or in the body itself; whether a later try may succeed is told in five ways.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from orchestrator.dialects import service_codes

LONGEST_WAIT_MS: Final = 3_600_000
"""Upper bound of the wait that a service asks for."""
_FAILED: Final = ("error", "failed")
"""They are compared with whatever was sent, which a set would take only where it is hashable."""
_SAYS_RETRYABLE: Final = ("retryable", "retry_suggested", "retry_allowed")
_LEAST_STATUS: Final = 400
_MOST_STATUS: Final = 599


@frozen
class ToldFailure:
    """What a service has said of a failure; None: nothing of that."""

    code: str | None = None
    words: str | None = None
    retryable: bool | None = None
    """Whether a later try may succeed."""
    retry_after_ms: int | None = None
    status: int | None = None
    """HTTP status by which the service itself, or the list of its codes, names it."""

    @property
    def documented(self) -> bool:
        """Whether its code is one of the documents."""
        return self.code in service_codes.CODES

    @property
    def sentence(self) -> str:
        """The code and the words, as they are passed on; empty where there are none."""
        return ": ".join(part for part in (self.code, self.words) if part)


def failure_in(message: Mapping[str, Any]) -> ToldFailure | None:
    """Return the failure that a message tells, whatever its payload; None: it tells none."""
    error = message.get("error")
    if isinstance(error, dict):
        return read_failure(message)
    metadata = message.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    kind = message.get("type")
    is_error = isinstance(kind, dict) and kind.get("action") == "error"
    coded = isinstance(metadata.get("error_code"), str) and message.get("status") in _FAILED
    if is_error or coded or isinstance(metadata.get("error"), dict):
        return read_failure(message)
    return None


def read_failure(body: Mapping[str, Any]) -> ToldFailure:
    """Return what a body says of a failure that is known to be one: an answer of status 4xx, `agent.error`."""
    places = list(_places(body))
    code = _first(places, ("code", "error_code"), str)
    category = _first(places, ("error_category", "category"), str)
    return ToldFailure(
        code=code,
        words=_first(places, ("message", "error_message", "detail"), str),
        retryable=_retryable(places, code, category),
        retry_after_ms=_wait_ms(places),
        status=_status(body, places, code),
    )


def _places(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in which a failure is told, the most telling first."""
    metadata, payload = body.get("metadata"), body["payload"] if "payload" in body else body.get("data")
    named = [place.get("error") for place in (body, metadata, payload) if isinstance(place, dict)]
    found = [place for place in (*named, metadata, payload) if isinstance(place, dict)]
    yield from found
    for place in found:
        for inner in ("context", "details", "error_details"):
            if isinstance(place.get(inner), dict):
                yield place[inner]
    if not any(isinstance(place, dict) for place in named):
        yield body


def _first(places: list[Mapping[str, Any]], names: tuple[str, ...], kind: type) -> Any:
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, kind) and value:
                return value
    return None


def _retryable(places: list[Mapping[str, Any]], code: str | None, category: str | None) -> bool | None:
    if category in service_codes.NEVER:
        return False
    for place in places:
        for name in _SAYS_RETRYABLE:
            if isinstance(place.get(name), bool):
                return bool(place[name])
    recovery = _first(places, ("recovery_action",), str)
    if recovery in service_codes.RECOVERIES or category in service_codes.LATER:
        return True
    if code in service_codes.CODES:
        return service_codes.CODES[code][1]
    return None if recovery is None else False


def _wait_ms(places: list[Mapping[str, Any]]) -> int | None:
    for place in places:
        for name, factor in (("retry_after_ms", 1), ("retry_after", 1000)):
            value = place.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return min(round(min(value, LONGEST_WAIT_MS) * factor), LONGEST_WAIT_MS)
    return None


def _status(body: Mapping[str, Any], places: list[Mapping[str, Any]], code: str | None) -> int | None:
    told = [place.get("http_status") for place in places]
    for value in (*told, body.get("status")):
        if isinstance(value, int) and not isinstance(value, bool) and _LEAST_STATUS <= value <= _MOST_STATUS:
            return value
    return documented_status(code)


def documented_status(code: str | None) -> int | None:
    """Return the HTTP status that the list of codes gives one; None: it gives none, or does not know the code."""
    return service_codes.CODES.get(code or "", (None, False))[0]
