"""The faults of a message, each told by its path: what cattrs' tree of exceptions says."""

from heapq import nsmallest
from typing import Any, Final

from cattrs import AttributeValidationNote, ClassValidationError, IterableValidationNote
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault

MOST_FAULTS: Final = 50
"""So many faults are told of one message."""
_LONGEST_TOLD: Final = 200
"""Characters of a name or a sentence in a fault."""


class NotLookedAt(Exception):
    """Stands among the faults of a list or a map for its items behind the last one that was looked at."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


def invalid(error: BaseValidationError, path: str) -> InvalidBody:
    """Make one error of all faults: the first `MOST_FAULTS` with their paths, and how many there are.

    Args:
        error: what a converter has raised.
        path: where the value stands in what was sent, such as `$.data`.
    """
    faults = _Faults()
    faults.collect(error, path)
    first = faults.told[0]
    sentence = f"{first.path} {first.message}"
    if more := len(faults.told) - 1 + faults.untold:
        sentence += f"; and {more} more"
    if faults.unseen:
        sentence += f"; {faults.unseen} further values were not looked at"
    return InvalidBody(f"{sentence}.", details=faults.told)


class _Faults:
    """The faults of one message: those that are told, and the number of those that are not."""

    def __init__(self) -> None:
        self.told: list[FieldFault] = []
        self.untold = 0
        self.unseen = 0

    def collect(self, error: BaseException, path: str) -> None:
        """Walk cattrs' tree of exceptions; every leaf is a fault."""
        if isinstance(error, BaseValidationError):
            for inner in error.exceptions:
                self.collect(inner, path + _step(inner, error))
        elif isinstance(error, ForbiddenExtraKeysError):
            told = nsmallest(MOST_FAULTS, error.extra_fields)
            self.untold += len(error.extra_fields) - len(told)
            for name in told:
                self._add(f"{path}.{shortened(name)}", "is not a field of this message")
        elif isinstance(error, NotLookedAt):
            self.unseen += error.count
        elif isinstance(error, KeyError):
            self._add(path, "required field is missing")
        else:
            self._add(path, shortened(_plain(error)))

    def _add(self, path: str, message: str) -> None:
        if len(self.told) < MOST_FAULTS:
            self.told.append(FieldFault(path, message))
        else:
            self.untold += 1


def shortened(text: Any) -> Any:
    """Return a name or a sentence as it is told: what a client sent may be long."""
    return f"{text[:_LONGEST_TOLD]}…" if isinstance(text, str) and len(text) > _LONGEST_TOLD else text


def _step(inner: BaseException, outer: BaseValidationError) -> str:
    for note in getattr(inner, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
    if isinstance(outer, ClassValidationError) and isinstance(inner, KeyError):
        return f".{inner.args[0]}"
    return ""


def _plain(error: BaseException) -> str:
    return "has the wrong type" if isinstance(error, TypeError | AttributeError) else str(error)
