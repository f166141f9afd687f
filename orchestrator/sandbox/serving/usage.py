"""Usage of Query and Embedding, as a real service would account it."""

from collections import Counter

from attrs import field, frozen

FIELDS = ("requests", "prompt_tokens", "completion_tokens", "total_tokens")


@frozen
class Spent:
    """Counts work that was done: a repeated idempotency key counts once."""

    _counted: Counter[tuple[str, str, str]] = field(factory=Counter)

    def count(self, tenant_id: str, service: str, prompt_tokens: int, completion_tokens: int = 0) -> None:
        """Count one call."""
        amounts = (1, prompt_tokens, completion_tokens, prompt_tokens + completion_tokens)
        for name, amount in zip(FIELDS, amounts, strict=True):
            self._counted[tenant_id, service, name] += amount

    def of(self, tenant_id: str, service: str | None = None) -> dict[str, int]:
        """Return the usage of a tenant, in one service or in all."""
        sums = dict.fromkeys(FIELDS, 0)
        for (tenant, one, name), amount in self._counted.items():
            if tenant == tenant_id and service in {None, one}:
                sums[name] += amount
        return sums

    def all(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the usage by tenant and service."""
        told: dict[str, dict[str, dict[str, int]]] = {}
        for (tenant, service, name), amount in sorted(self._counted.items()):
            told.setdefault(tenant, {}).setdefault(service, {})[name] = amount
        return told

    def clear(self) -> None:
        """Reset the counters."""
        self._counted.clear()
