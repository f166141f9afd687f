"""Settings by tier: what bounds tenants that have no limits of their own."""

from typing import Any

from attrs import frozen

from orchestrator.config.tenant_limits import LIMITS, Tier, with_fields


def _limits(tier: Tier) -> dict[str, tuple[Any, Any]]:
    return {name: (row.number, row.tier_setting(tier)) for name, row in LIMITS.items() if row.by_tier is not None}


@frozen
@with_fields(_limits(Tier.FREE))
class FreeTierSettings:
    """The tier `free`."""


@frozen
@with_fields(_limits(Tier.ADVANCE))
class AdvanceTierSettings:
    """The tier `advance`."""


@frozen
@with_fields(_limits(Tier.PROFESSIONAL))
class ProfessionalTierSettings:
    """The tier `professional`."""


@frozen
@with_fields(_limits(Tier.ENTERPRISE))
class EnterpriseTierSettings:
    """The tier `enterprise`."""


@frozen
class TiersSettings:
    """The four tiers."""

    free: FreeTierSettings = FreeTierSettings()
    advance: AdvanceTierSettings = AdvanceTierSettings()
    professional: ProfessionalTierSettings = ProfessionalTierSettings()
    enterprise: EnterpriseTierSettings = EnterpriseTierSettings()
