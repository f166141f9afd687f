"""Settings of the gateway to Query and Embedding: its cache, its prices, and what tenants of each tier may spend."""

from typing import Final

from attrs import frozen

from orchestrator.config.checks import at_least, between, each, model_price, one_of
from orchestrator.config.setting import setting

TIERS: Final = ("free", "advance", "professional", "enterprise")
_A_DAY: Final = "Tokens a day (UTC); 0: any number."
_A_MONTH: Final = "Tokens a month (UTC); 0: any number."
_REQUESTS: Final = "Calls of the gateway a minute; 0: any number."
_TOKENS: Final = "Tokens a minute, as they are reserved; 0: any number."


@frozen
class TierSettings:
    """What a tenant may spend through the gateway, where it has no limits of its own."""

    tokens_day: int = setting(0, says=_A_DAY, check=at_least(0))
    tokens_month: int = setting(0, says=_A_MONTH, check=at_least(0))
    requests_minute: float = setting(0.0, says=_REQUESTS, check=at_least(0))
    tokens_minute: float = setting(0.0, says=_TOKENS, check=at_least(0))


@frozen
class FreeTierSettings(TierSettings):
    """The tier `free`."""

    tokens_day: int = setting(100_000, says=_A_DAY, check=at_least(0))
    tokens_month: int = setting(2_000_000, says=_A_MONTH, check=at_least(0))
    requests_minute: float = setting(60.0, says=_REQUESTS, check=at_least(0))
    tokens_minute: float = setting(40_000.0, says=_TOKENS, check=at_least(0))


@frozen
class AdvanceTierSettings(TierSettings):
    """The tier `advance`."""

    tokens_day: int = setting(1_000_000, says=_A_DAY, check=at_least(0))
    tokens_month: int = setting(20_000_000, says=_A_MONTH, check=at_least(0))
    requests_minute: float = setting(600.0, says=_REQUESTS, check=at_least(0))
    tokens_minute: float = setting(200_000.0, says=_TOKENS, check=at_least(0))


@frozen
class ProfessionalTierSettings(TierSettings):
    """The tier `professional`."""

    tokens_day: int = setting(20_000_000, says=_A_DAY, check=at_least(0))
    tokens_month: int = setting(400_000_000, says=_A_MONTH, check=at_least(0))
    requests_minute: float = setting(6000.0, says=_REQUESTS, check=at_least(0))
    tokens_minute: float = setting(2_000_000.0, says=_TOKENS, check=at_least(0))


@frozen
class TiersSettings:
    """The four tiers."""

    free: FreeTierSettings = FreeTierSettings()
    advance: AdvanceTierSettings = AdvanceTierSettings()
    professional: ProfessionalTierSettings = ProfessionalTierSettings()
    enterprise: TierSettings = TierSettings()


@frozen
class GatewaySettings:
    """How the gateway works."""

    tier: str = setting("enterprise", says="Tier of tenants that have none of their own.", check=one_of(*TIERS))
    completion_tokens: int = setting(
        1024, says="Tokens reserved for an answer where the request has no `max_tokens`.", check=between(0, 10_000_000)
    )
    generate_ttl: float = setting(
        300.0, says="How long an answer of `query.generate` may be given again; 0: not at all.", check=at_least(0)
    )
    search_ttl: float = setting(
        60.0, says="How long an answer of `query.search` may be given again; 0: not at all.", check=at_least(0)
    )
    embedding_ttl: float = setting(
        604_800.0, says="How long the embedding of a text may be given again; 0: not at all.", check=at_least(0)
    )
    cache_answer_bytes: int = setting(
        262_144, says="Largest answer that is kept to be given again, in bytes.", check=between(0, 8 * 2**20)
    )
    cache_bytes: int = setting(
        64 * 2**20, says="What one tenant's answers of one kind may take in Redis, in bytes.", check=at_least(0)
    )
    give_up_after: float = setting(
        3600.0,
        says="How long a call is asked for again whose usage is not known, until its estimate is kept instead.",
        check=between(1, 604_800),
    )
    prices: tuple[str, ...] = setting(
        (),
        says="`model=prompt/completion` each: what a million tokens cost, where the service tells no cost.",
        check=each(model_price),
    )
