"""Settings of the gateway to Query and Embedding: its cache and its prices."""

from attrs import frozen

from orchestrator.config.checks import at_least, between, each, model_price, one_of
from orchestrator.config.setting import setting
from orchestrator.config.tenant_limits import Tier


@frozen
class GatewaySettings:
    """How the gateway works."""

    tier: str = setting("enterprise", says="Tier of tenants that have none of their own.", check=one_of(*Tier))
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
