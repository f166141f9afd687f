"""Figures for Prometheus: one registry a process, and a hook for each thing that is counted.

Nothing is kept outside a `Metrics`; code that is given none counts into one that is not exported. Labels are bounded:
those of routes, services and errors by the code itself, those of tenants and agents by `tenant_labels`.
"""

from prometheus_client.exposition import choose_encoder

from orchestrator.telemetry.calls import CallMetrics
from orchestrator.telemetry.doors import UNMATCHED, DoorMetrics
from orchestrator.telemetry.figures import NAMESPACE, TENANTS
from orchestrator.telemetry.tenant_figures import TenantFigures
from orchestrator.telemetry.work import WorkMetrics

__all__ = ["NAMESPACE", "TENANTS", "UNMATCHED", "Metrics"]


class Metrics(DoorMetrics, WorkMetrics, CallMetrics):
    """Counts what one process does.

    Args:
        tenants: how many tenants have a label of their own.
        agents: how many agents, each of one tenant.
    """

    def render(self, accept: str, tenant_id: str | None = None) -> tuple[bytes, str]:
        """Write all figures, or those that a tenant may see, as `Accept` asks; returns them and their media type."""
        self.show_sockets()
        encode, media_type = choose_encoder(accept)
        return encode(TenantFigures(self.registry, tenant_id) if tenant_id else self.registry), media_type
