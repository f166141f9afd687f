"""The registry of a process's figures, and how figures and their labels are made.

A label that the platform's documents call by another name than this service carries both names, with one value: written
`tenant|tenant_id` where a figure is made, and given once where it is counted.
"""

from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from orchestrator.telemetry.tenant_labels import OTHER, TenantLabels

NAMESPACE: Final = "nooble_orchestrator"
TENANTS: Final = 50
"""Tenants with a label of their own."""
CALL_TENANTS: Final = 10
"""The same, in figures that are kept for each of many operations or kinds of tasks."""
AGENTS: Final = 100
"""Agents, each of one tenant, with a label of their own."""
TENANT: Final = "tenant|tenant_id"
QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0)

M = TypeVar("M", Counter, Gauge, Histogram)


class Family(Generic[M]):
    """A figure with its labels.

    Args:
        metric: the figure, with a label for every name.
        names: the labels as they are given where it is counted; `|` parts the names of one.
    """

    __slots__ = ("_places", "_series", "metric")

    def __init__(self, metric: M, names: tuple[str, ...]) -> None:
        self.metric: M = metric
        self._places = [place for place, name in enumerate(names) for _ in name.split("|")]
        self._series: dict[tuple[str | int, ...], M] = {}
        """Those that were asked for, as many as the figure has at most."""

    def labels(self, *values: str | int) -> M:
        """Return the series of these labels."""
        if not self._places:
            return self.metric
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = self.metric.labels(*[values[place] for place in self._places])
        return series

    def retire(self, **labels: str) -> None:
        """End every series that has these labels."""
        self._series.clear()
        self.metric.remove_by_labels(labels)

    def clear(self) -> None:
        """End every series."""
        self._series.clear()
        self.metric.clear()


class Figures:
    """A registry, and the bounded labels of tenants and agents.

    Args:
        tenants: how many tenants have a label of their own.
        agents: how many agents.
    """

    def __init__(self, *, tenants: int = TENANTS, agents: int = AGENTS) -> None:
        self.registry = CollectorRegistry()
        self.by_tenant: list[Family[Counter] | Family[Histogram]] = []
        """Those whose series of a tenant end when it loses its label."""
        self.by_call: list[Family[Counter] | Family[Histogram]] = []
        """The same, for the labels of `call_tenant`."""
        self.by_agent: list[Family[Counter] | Family[Histogram]] = []
        self._tenants = tenants
        self._tenant_labels = TenantLabels(tenants, self._retire_tenant)
        self._call_labels = TenantLabels(min(tenants, CALL_TENANTS), self._retire_call_tenant)
        self._agent_labels = TenantLabels(agents, self._retire_agent)
        ProcessCollector(registry=self.registry)

    def tenant(self, tenant_id: str) -> str:
        """Count a use of a tenant; returns its label."""
        return self._tenant_labels.of(tenant_id)

    def call_tenant(self, tenant_id: str) -> str:
        """Do the same for figures that are kept for each operation or kind of task."""
        return self._call_labels.of(tenant_id)

    def tenant_and_agent(self, tenant_id: str, agent_id: str) -> tuple[str, str]:
        """Count a use of an agent; returns the labels of its tenant and of the agent."""
        tenant = self.tenant(tenant_id)
        if tenant == OTHER or self._agent_labels.of(f"{tenant_id}\n{agent_id}") == OTHER:
            return tenant, OTHER
        return tenant, agent_id

    def show(
        self,
        gauge: Family[Gauge],
        figures: Mapping[str, float],
        rest: Callable[[list[float]], float],
        *labels: str,
    ) -> None:
        """Set the largest figures under their tenants' names.

        Args:
            gauge: whose first label is the tenant's.
            figures: by tenant.
            rest: makes one figure of those of the other tenants.
            labels: the further labels.
        """
        shown = nlargest(self._tenants, (tenant for tenant in figures if figures[tenant]), key=figures.__getitem__)
        gauge.clear()
        for tenant_id in shown:
            gauge.labels(tenant_id, *labels).set(figures[tenant_id])
        others = [figure for tenant_id, figure in figures.items() if tenant_id not in {*shown}]
        gauge.labels(OTHER, *labels).set(rest(others))

    def counter(self, name: str, says: str, *names: str) -> Family[Counter]:
        """Make a counter."""
        return Family(Counter(name, says, _labels(names), namespace=NAMESPACE, registry=self.registry), names)

    def gauge(self, name: str, says: str, *names: str) -> Family[Gauge]:
        """Make a gauge."""
        return Family(Gauge(name, says, _labels(names), namespace=NAMESPACE, registry=self.registry), names)

    def histogram(self, name: str, says: str, buckets: tuple[float, ...], *names: str) -> Family[Histogram]:
        """Make a histogram; `buckets` in seconds."""
        labels, registry = _labels(names), self.registry
        return Family(Histogram(name, says, labels, namespace=NAMESPACE, registry=registry, buckets=buckets), names)

    def _retire_tenant(self, tenant_id: str) -> None:
        for family in self.by_tenant:
            family.retire(tenant=tenant_id)

    def _retire_call_tenant(self, tenant_id: str) -> None:
        for family in self.by_call:
            family.retire(tenant=tenant_id)

    def _retire_agent(self, agent: str) -> None:
        tenant_id, _, agent_id = agent.partition("\n")
        for family in self.by_agent:
            family.retire(tenant_id=tenant_id, agent_id=agent_id)


def _labels(names: tuple[str, ...]) -> list[str]:
    return [name for names_of_one in names for name in names_of_one.split("|")]
