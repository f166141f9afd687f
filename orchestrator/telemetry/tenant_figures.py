"""The figures of one tenant: what Prometheus would be shown, without what is of others."""

from collections.abc import Iterator

from attrs import frozen
from prometheus_client import CollectorRegistry, Metric

TENANT_LABEL = "tenant_id"


@frozen
class TenantFigures:
    """A registry as one tenant sees it: its own figures, and those that are of no tenant.

    Args:
        registry: all figures.
        tenant_id: the tenant.
    """

    registry: CollectorRegistry
    tenant_id: str

    def collect(self) -> Iterator[Metric]:
        """Yield the figures, family by family."""
        for family in self.registry.collect():
            shown = Metric(family.name, family.documentation, family.type, family.unit)
            shown.samples = [
                sample for sample in family.samples if sample.labels.get(TENANT_LABEL, self.tenant_id) == self.tenant_id
            ]
            yield shown
