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


@frozen
class Spending:
    """What one call through the gateway has spent."""

    kind: UsageKind
    model: str
    agent_id: str = ""
    """Empty where no agent asked."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost: float = 0.0
    """In the currency that the Query service counts in; kept to a millionth."""


@frozen
class UsageItem:
    """What was spent on one thing."""

    key: Annotated[str, Meta(description="The model, agent or day; empty where no agent asked.")]
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost: float = 0.0


@frozen
class UsageTotals:
    """What was spent in all."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost: float = 0.0


@frozen
class UsageReport:
    """The answer of `usage.get`."""

    items: list[UsageItem]
    totals: UsageTotals
