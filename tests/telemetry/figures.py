"""Reading figures as Prometheus would."""

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.telemetry.metrics import NAMESPACE, Metrics


def figure(metrics: Metrics | bytes, name: str, **labels: str) -> float | None:
    """Return the sum of the series that have these labels, whatever further ones; None: there is none."""
    text = metrics if isinstance(metrics, bytes) else metrics.render("")[0]
    found = [
        float(sample.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == f"{NAMESPACE}_{name}" and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None
