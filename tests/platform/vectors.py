"""The documented shapes: ids and moments of the run put into them, and what came compared with them."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from attrs import fields, frozen

FILE: Final = Path(__file__).parents[2] / "fixtures" / "platform" / "vectors.json"
EPOCH: Final = datetime(2026, 1, 15, 9, tzinfo=UTC)
"""The moment of the examples that stands for the run's present."""
_MOMENT: Final = "2026-01-15T"


@frozen
class Vector:
    """One documented shape."""

    id: str
    kind: str
    priority: str
    """`must`, `should` or `may`."""
    expect: str
    """What the product does with it."""
    example: Any
    route: str | None = None
    status: int | None = None
    event: str | None = None
    dialect: str | None = None

    @property
    def data(self) -> Any:
        """The `data` of the example."""
        return self.example["data"]

    def filled(self, ids: Mapping[str, str], now: datetime | None = None) -> Any:
        """Return the example with the run's ids and moments.

        Args:
            ids: the run's by their place holders, such as `5e551000-0000-4000-8000-000000000001`.
            now: the present; None: the clock's.
        """
        return _filled(self.example, ids, (now or datetime.now(UTC)) - EPOCH)


@cache
def vectors() -> dict[str, Vector]:
    """Return all documented shapes by their ids."""
    known = {attribute.name for attribute in fields(Vector)}
    entries = json.loads(FILE.read_text())
    return {entry["id"]: Vector(**{name: entry[name] for name in known & entry.keys()}) for entry in entries}


def vector(name: str) -> Vector:
    """Return one documented shape."""
    return vectors()[name]


def missing(example: Any, came: Any, path: str = "$", *, nullable: frozenset[str] = frozenset()) -> list[str]:
    """Say what a documented shape has and what came has not: fields at their places, with their types.

    Args:
        example: the documented shape; values do not count.
        came: what the service sent; more fields are fine.
        path: of both.
        nullable: names of fields that may be null.

    Returns:
        A sentence for every field that is missing or of another type.
    """
    return list(_missing(example, came, path, nullable))


def _missing(example: Any, came: Any, path: str, nullable: frozenset[str]) -> Iterator[str]:
    if isinstance(example, dict) and isinstance(came, dict):
        for name, value in example.items():
            if name not in came:
                yield f"{path}.{name} is missing"
            elif came[name] is None and value is not None and name in nullable:
                continue
            else:
                yield from _missing(value, came[name], f"{path}.{name}", nullable)
    elif isinstance(example, list) and isinstance(came, list):
        if example and came:
            yield from _missing(example[0], came[0], f"{path}[0]", nullable)
    elif _kind(example) != _kind(came):
        yield f"{path} is {_kind(came)}, not {_kind(example)}"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth"
    if isinstance(value, int | float):
        return "a number"
    return {str: "a string", dict: "an object", list: "a list", type(None): "null"}[type(value)]


def _filled(value: Any, ids: Mapping[str, str], shift: timedelta) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, ids, shift) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, ids, shift) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith(_MOMENT) and value.endswith("Z"):
        moment = datetime.fromisoformat(value) + shift
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for placeholder, own in ids.items():
        value = value.replace(placeholder, own)
    return value
