"""The defaults of tenants' limits, as scripts take them."""

from collections.abc import Mapping
from typing import Self

import orjson
from attrs import field, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.config.tenant_limits import LIMITS, TenantLimit, Tier


@frozen
class LimitDefaults:
    """What bounds tenants that have no limit of their own; `limit_of` in `lib/common/limits.lua` reads it.

    Args:
        packed: by limit: a number; numbers by tier as JSON, that of tenants without a tier under `""`; or nothing where
            such tenants are unbounded. A tier's 0 is any number.
    """

    packed: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, settings: AgentOrchestratorSettings) -> Self:
        """Return the defaults that the settings name."""
        return cls({name: _pack(row, settings) for name, row in LIMITS.items()})

    def __getitem__(self, name: str) -> str:
        """Return the default of a limit.

        Raises:
            KeyError: there is no such limit, or the store was made without defaults.
        """
        return self.packed[name]


def _pack(row: TenantLimit, settings: AgentOrchestratorSettings) -> str:
    everywhere = "" if row.setting is None else repr(getattr(settings, row.setting))
    if row.by_tier is None:
        return everywhere
    by_tier = {tier.value: getattr(getattr(settings.tiers, tier), row.name) or float(everywhere or 0) for tier in Tier}
    return orjson.dumps({**by_tier, "": by_tier[settings.gateway.tier]}).decode()
