"""The defaults of tenants' limits, as scripts take them."""

from collections.abc import Mapping
from typing import Self

import orjson
from attrs import define, field

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.config.tenant_limits import LIMITS, TenantLimit, Tier


@define
class LimitDefaults:
    """What bounds tenants that have no limit of their own; `limit_of` in `lib/common/limits.lua` reads it.

    Args:
        packed: by limit: a number; numbers by tier as JSON, that of tenants without a tier under `""`; or nothing where
            such tenants are unbounded. A tier's 0 is any number.
    """

    packed: Mapping[str, str] = field(factory=dict)
    _capped: dict[str, str] = field(factory=dict, init=False)

    @classmethod
    def of(cls, settings: AgentOrchestratorSettings) -> Self:
        """Return the defaults that the settings name."""
        return cls({name: _pack(row, settings) for name, row in LIMITS.items()})

    def __getitem__(self, name: str) -> str:
        """Return the default of a limit.

        Raises:
            KeyError: there is no such limit, or the store was made without defaults.
        """
        return self._capped.get(name) or self.packed[name]

    def cap(self, name: str, most: int) -> None:
        """Let no default of a limit be more than `most`, whatever the settings say; 0: they hold as they are."""
        if most <= 0:
            self._capped.pop(name, None)
            return
        defaults = orjson.loads(self.packed[name] or b"0")
        by_tier = defaults if isinstance(defaults, dict) else {"": defaults}
        capped = {tier: min(number or most, most) for tier, number in by_tier.items()}
        self._capped[name] = orjson.dumps(capped).decode()


def _pack(row: TenantLimit, settings: AgentOrchestratorSettings) -> str:
    everywhere = "" if row.setting is None else repr(getattr(settings, row.setting))
    if row.by_tier is None:
        return everywhere
    by_tier = {tier.value: getattr(getattr(settings.tiers, tier), row.name) or float(everywhere or 0) for tier in Tier}
    return orjson.dumps({**by_tier, "": by_tier[settings.gateway.tier]}).decode()
