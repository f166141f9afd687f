"""What is configured of a tenant: a field that can't be read counts as absent, and is told."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, TypeVar

from attrs import field, frozen

from orchestrator.codec import parse_json
from orchestrator.config.tenant_limits import SpendingLimits, TenantLimits, Tier, limits_of
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.operations.tenant import DrainMode, TenantState
from orchestrator.store.contents import is_sealed
from orchestrator.store.redis.unreadable import FAULTS

L = TypeVar("L")
T = TypeVar("T")

_RESUMING: Final = "resuming"
"""Stands for the mode of a drain while a resume puts parked tasks back."""
_SHOWN: Final = 40
_MODEL: Final = "model"


@frozen
class ConfigFault:
    """A field of a tenant's configuration that can't be read."""

    name: str
    says: str


@frozen
class TenantConfig:
    """What is configured of a tenant; what is missing, or can't be read, has its default."""

    state: TenantState = TenantState.ACTIVE
    weight: float = 1.0
    limits: TenantLimits = TenantLimits()  # noqa: RUF009 - frozen
    fair_users: bool = False
    tier: Tier | None = None
    spending: SpendingLimits = SpendingLimits()  # noqa: RUF009 - frozen
    models: dict[str, SpendingLimits] = field(factory=dict)
    drain: DrainMode | None = None
    drain_deadline: str | None = None
    faults: tuple[ConfigFault, ...] = ()


def read_config(record: Mapping[bytes, bytes]) -> TenantConfig:
    """Read the hash of a tenant's configuration. Fields that no version knows are passed over."""
    found: dict[str, Any] = {}
    faults = []
    for raw in sorted(record):
        name = raw.decode(errors="replace")
        reader = _reader_of(name)
        if reader is not None:
            try:
                found[name] = reader(record[raw])
            except FAULTS as fault:
                shown = record[raw][:_SHOWN].decode(errors="replace")
                faults.append(ConfigFault(name, f"is {shown!r}, and {_expected(fault)}"))
    return TenantConfig(
        state=found.get("state", TenantState.ACTIVE),
        weight=found.get("weight", 1.0),
        limits=_section(TenantLimits, found),
        fair_users=found.get("fair_users", False),
        tier=found.get("tier"),
        spending=_section(SpendingLimits, found),
        models=_models(found),
        drain=found.get("drain"),
        drain_deadline=found.get("drain_deadline"),
        faults=tuple(faults),
    )


def state_of(text: str) -> TenantState:
    """Return a tenant's state; what is none counts as active, as it does in the scripts."""
    return TenantState(text) if text in set(TenantState) else TenantState.ACTIVE


def _one_of(kind: Callable[[str], T], names: str) -> Callable[[bytes], T]:
    def read(value: bytes) -> T:
        try:
            return kind(value.decode())
        except ValueError:
            raise ValueError(f"should be one of {names}") from None

    return read


def _number(value: bytes) -> float:
    number = parse_json(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
        raise ValueError
    return number


def _positive(number: Callable[[float], T]) -> Callable[[bytes], T]:
    def read(value: bytes) -> T:
        if (found := _number(value)) <= 0:
            raise ValueError
        return number(found)

    return read


def _flag(value: bytes) -> bool:
    if value not in {b"0", b"1"}:
        raise ValueError("should be 0 or 1")
    return value == b"1"


def _drain(value: bytes) -> DrainMode | None:
    return None if value == _RESUMING.encode() else _one_of(DrainMode, ", ".join(DrainMode))(value)


def _secret(value: bytes) -> str:
    return "" if is_sealed(value) else value.decode()


_READERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "state": _one_of(TenantState, ", ".join(TenantState)),
    "weight": _positive(float),
    "fair_users": _flag,
    "tier": _one_of(Tier, ", ".join(Tier)),
    "drain": _drain,
    "drain_deadline": lambda value: to_timestamp(int(_number(value))),
    "callback_secret": _secret,
    "callback_secret_before": _secret,
    "callback_secret_until": _number,
    **{row.name: _positive(row.number) for section in (TenantLimits, SpendingLimits) for row in limits_of(section)},
}


def _reader_of(name: str) -> Callable[[bytes], Any] | None:
    kind, _, rest = name.partition(":")
    return _READERS.get(rest.partition(":")[0] if kind == _MODEL else name)


def _expected(fault: Exception) -> str:
    return str(fault) if isinstance(fault, ValueError) and str(fault).startswith("should") else "should be a number"


def _section(section: type[L], found: Mapping[str, Any]) -> L:
    """Return a section of the table of limits."""
    return section(**{row.name: found[row.name] for row in limits_of(section) if row.name in found})


def _models(found: Mapping[str, Any]) -> dict[str, SpendingLimits]:
    """Return the limits of single models, whose fields are `model:tokens_day:name`."""
    figures: dict[str, dict[str, Any]] = {}
    for name in sorted(found):
        kind, _, rest = name.partition(":")
        if kind == _MODEL:
            limit, _, model = rest.partition(":")
            figures.setdefault(model, {})[limit] = found[name]
    return {model: _section(SpendingLimits, limits) for model, limits in figures.items()}
