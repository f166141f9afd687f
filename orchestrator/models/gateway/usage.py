"""Usage: what was spent on language models, retrieval and embeddings."""

from enum import StrEnum
from typing import Annotated

from attrs import frozen
from msgspec import Meta


class UsageKind(StrEnum):
    """What was bought."""

    GENERATE = "generate"
    SEARCH = "search"
    EMBED = "embed"


class UsageGroup(StrEnum):
    """By what `usage.get` adds up."""

    MODEL = "model"
    AGENT = "agent"
    DAY = "day"
    USER = "user"
    SESSION = "session"


@frozen
class Payer:
    """On whose behalf something was spent; each is empty where it is unknown."""

    agent_id: str = ""
    user_id: str = ""
    session_id: str = ""


@frozen
class Spending:
    """What one call through the gateway has spent."""

    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_nano: int = 0
    """In billionths of the currency that services or the price table count in: whole numbers add up exactly."""


_Requests = Annotated[int, Meta(description="Calls, those answered from the cache included.")]
_Cached = Annotated[int, Meta(description="Calls that were answered from the cache, and spent nothing.")]
_Unsettled = Annotated[
    int, Meta(description="Tokens that were reserved for calls whose usage is unknown; in no other sum.")
]


@frozen
class UsageItem:
    """What was spent on one thing."""

    key: Annotated[str, Meta(description="The model, agent, day, user or session; empty where it is unknown.")]
    requests: _Requests = 0
    cached: _Cached = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    unsettled_tokens: _Unsettled = 0
    cost: float = 0.0


@frozen
class UsageTotals:
    """What was spent in all."""

    requests: _Requests = 0
    cached: _Cached = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    unsettled_tokens: _Unsettled = 0
    cost: float = 0.0


@frozen
class UsageReport:
    """The answer of `usage.get`."""

    items: list[UsageItem]
    totals: UsageTotals
