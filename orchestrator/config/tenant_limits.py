"""The limits of tenants: one table.

A row is a field of `TenantLimits` or `SpendingLimits`. Made of it are:

- the field of the tenant's record in Redis, and what scripts take for tenants that have no limit of their own
  (`store.limit_defaults`);
- the settings by tier (`config.tiers`) and the service's own one (`service_setting`);
- the body of `tenant.configure` and its schema (`models.operations.tenant`), and the names on the command line;
- the table of `docs/reference/tenant-limits.md`.

What a new limit needs beside its row is the script that enforces it, and the store's method that passes the default.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

from attrs import evolve, frozen
from msgspec import Meta

from orchestrator.config.checks import at_least
from orchestrator.config.setting import setting

T = TypeVar("T")

MIB: Final = 2**20


class Tier(StrEnum):
    """What a tenant may spend where it has no limits of its own; the settings say how much that is."""

    FREE = "free"
    ADVANCE = "advance"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


@frozen
class ByTier:
    """Defaults of a limit by tier; 0: the service's setting where there is one, else any number."""

    free: float = 0
    advance: float = 0
    professional: float = 0
    enterprise: float = 0


@frozen
class TenantLimit:
    """A row of the table.

    Args:
        says: what is bounded.
        unit: what is counted.
        least: the smallest limit that a tenant may have of its own.
        most: the largest one.
        setting: the service's setting that bounds tenants without a limit of their own; None: there is none.
        default: of that setting.
        by_tier: defaults of the settings by tier; None: there are none.
        name: of the field, in Redis as in JSON and on the command line.
        number: `int` or `float`.
    """

    says: str
    unit: str
    least: float
    most: float
    setting: str | None = None
    default: float = 0
    by_tier: ByTier | None = None
    name: str = ""
    number: type[int | float] = int

    @property
    def otherwise(self) -> str:
        """Whose limit applies to a tenant that has none of its own, in words."""
        if self.by_tier is not None:
            return "the tier's"
        return "unbounded" if self.setting is None else "the service's"

    def bounds(self) -> Meta:
        """Return what the limit may be in the body of `tenant.configure`."""
        return Meta(ge=self.least, le=self.most, description=f"{self.says}; null: {self.otherwise}.")

    def tier_setting(self, tier: Tier) -> Any:
        """Declare the limit's setting of a tier."""
        none = "any number" if self.setting is None else "the service's"
        return setting(self.number(getattr(self.by_tier, tier)), says=f"{self.says}; 0: {none}.", check=at_least(0))


def _limit(says: str, unit: str, least: float, most: float, **defaults: Any) -> Meta:
    """Write a row: the schema of its field, and the row itself."""
    return Meta(description=f"{says}.", extra={"limit": TenantLimit(says, unit, least, most, **defaults)})


def _model_limit(says: str, unit: str, least: float, most: float, **defaults: Any) -> Meta:
    """Write a row that also stands in the body of `tenant.configure`, for single models."""
    row = TenantLimit(says, unit, least, most, **defaults)
    return Meta(ge=least, description=f"{says}.", extra={"limit": row})


@frozen
class TenantLimits:
    """Bounds of a tenant's own; null: the service's."""

    concurrency: Annotated[int | None, _limit("Tasks that run at once", "tasks", 1, 1_000_000)] = None
    start_rate: Annotated[float | None, _limit("Tasks that start a second", "tasks/s", 0.001, 1_000_000)] = None
    rate: Annotated[
        float | None, _limit("Requests a second", "requests/s", 0.01, 1_000_000, setting="rate_tenant", default=1000.0)
    ] = None
    rate_user: Annotated[
        float | None,
        _limit("Requests a second of one user", "requests/s", 0.01, 1_000_000, setting="rate_user", default=200.0),
    ] = None
    rate_read: Annotated[
        float | None,
        _limit(
            "Requests a second that read",
            "requests/s",
            0.01,
            1_000_000,
            by_tier=ByTier(free=100, advance=300, professional=800),
        ),
    ] = None
    rate_write: Annotated[
        float | None,
        _limit(
            "Requests a second that write",
            "requests/s",
            0.01,
            1_000_000,
            by_tier=ByTier(free=50, advance=200, professional=500),
        ),
    ] = None
    rate_stream: Annotated[
        float | None,
        _limit(
            "Sockets and streams that are opened a second",
            "requests/s",
            0.01,
            1_000_000,
            by_tier=ByTier(free=20, advance=50, professional=200),
        ),
    ] = None
    queue_length: Annotated[
        int | None, _limit("Tasks that may wait", "tasks", 1, 100_000_000, setting="queue_length", default=100_000)
    ] = None
    sessions: Annotated[
        int | None,
        _limit(
            "Open sessions",
            "sessions",
            1,
            100_000_000,
            by_tier=ByTier(free=1000, advance=20_000, professional=200_000, enterprise=2_000_000),
        ),
    ] = None
    batches: Annotated[
        int | None,
        _limit(
            "Batches that have not ended",
            "batches",
            1,
            100_000,
            by_tier=ByTier(free=5, advance=50, professional=500, enterprise=1000),
        ),
    ] = None
    schedules: Annotated[
        int | None,
        _limit(
            "Schedules",
            "schedules",
            1,
            100_000,
            setting="schedules",
            default=1000,
            by_tier=ByTier(free=10, advance=100),
        ),
    ] = None
    bytes: Annotated[
        int | None,
        _limit(
            "Bytes kept of sessions, tasks, batches and schedules, as they came in",
            "bytes",
            1,
            10**15,
            by_tier=ByTier(free=64 * MIB, advance=512 * MIB, professional=4096 * MIB, enterprise=16_384 * MIB),
        ),
    ] = None


@frozen
class SpendingLimits:
    """Bounds of what is spent through the gateway; null: the tier's, or none where it is a model's."""

    tokens_day: Annotated[
        int | None,
        _model_limit(
            "Tokens a day (UTC) through the gateway",
            "tokens",
            1,
            10**15,
            by_tier=ByTier(free=100_000, advance=1_000_000, professional=20_000_000),
        ),
    ] = None
    tokens_month: Annotated[
        int | None,
        _model_limit(
            "Tokens a month (UTC) through the gateway",
            "tokens",
            1,
            10**15,
            by_tier=ByTier(free=2_000_000, advance=20_000_000, professional=400_000_000),
        ),
    ] = None
    requests_minute: Annotated[
        float | None,
        _model_limit(
            "Calls of the gateway a minute",
            "calls/min",
            0.01,
            10**9,
            by_tier=ByTier(free=60, advance=600, professional=6000),
        ),
    ] = None
    tokens_minute: Annotated[
        float | None,
        _model_limit(
            "Tokens a minute through the gateway, as they are reserved",
            "tokens/min",
            0.01,
            10**12,
            by_tier=ByTier(free=40_000, advance=200_000, professional=2_000_000),
        ),
    ] = None


def limits_of(section: type) -> tuple[TenantLimit, ...]:
    """Return the rows of a section of the table."""
    hints = get_type_hints(section, include_extras=True)
    return tuple(_named(name, *get_args(kind)) for name, kind in hints.items())


def _named(name: str, kind: UnionType, meta: Any) -> TenantLimit:
    row: TenantLimit = meta.extra["limit"]
    return evolve(row, name=name, number=get_args(kind)[0])


LIMITS: Final = {row.name: row for row in (*limits_of(TenantLimits), *limits_of(SpendingLimits))}
"""The table, by name."""


def service_setting(name: str) -> Any:
    """Declare the service's setting that bounds tenants without this limit of their own."""
    row = LIMITS[name]
    return setting(row.number(row.default), says=f"{row.says}, for each tenant.", check=at_least(row.least))


def with_fields(further: Mapping[str, tuple[Any, Any]], *, before: str | None = None) -> Callable[[type[T]], type[T]]:
    """Give an attrs class further fields; stands below its `@frozen`.

    Args:
        further: type and `attrs.field`, by name.
        before: the field of the class that they stand before; None: they are the last ones.
    """

    def extend(kind: type[T]) -> type[T]:
        annotations: dict[str, Any] = {}
        for name, own in kind.__annotations__.items():
            if name == before:
                annotations.update((more, made[0]) for more, made in further.items())
            annotations[name] = own
        annotations |= {name: made[0] for name, made in further.items()}
        kind.__annotations__ = annotations
        for name, (_, made) in further.items():
            setattr(kind, name, made)
        return kind

    return extend
