"""Reading figures as Prometheus would."""

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.telemetry.metrics import NAMESPACE, Metrics


def figure(metrics: Metrics | bytes, name: str, **labels: str) -> float | None:
    """Return the value of a series; None: there is none."""
    text = metrics if isinstance(metrics, bytes) else metrics.render("")[0]
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if (sample.name, sample.labels) == (f"{NAMESPACE}_{name}", labels):
                return float(sample.value)
    return None
