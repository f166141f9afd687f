"""What the exporter is told: the settings `OTEL_…`, as far as they concern it."""

from collections.abc import Mapping
from typing import Protocol


class ExportSettings(Protocol):
    """Which traces are kept, what they say of the process, and where they are sent."""

    @property
    def service_name(self) -> str:
        """`service.name`; empty: that of the resource, or the service's own."""

    @property
    def resource(self) -> Mapping[str, str]:
        """What else is told of the process."""

    @property
    def traces_sampler(self) -> str:
        """Which traces are kept, by the name that OpenTelemetry has for it."""

    @property
    def traces_sampler_arg(self) -> float:
        """Share of the traces that `…traceidratio` keeps."""

    @property
    def endpoint(self) -> str:
        """Where batches are sent."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What they are sent with."""

    @property
    def exporter_otlp_timeout(self) -> int:
        """Deadline of a batch with its repetitions, in milliseconds."""

    @property
    def exporter_otlp_compression(self) -> str:
        """`none`, `gzip` or `deflate`."""

    @property
    def exporter_otlp_certificate(self) -> str:
        """Authorities of the collector's certificate, a file; empty: those of the machine."""

    @property
    def exporter_otlp_client_certificate(self) -> str:
        """Certificate that is presented, a file; empty: none."""

    @property
    def exporter_otlp_client_key(self) -> str:
        """Its private key, a file."""

    @property
    def bsp_schedule_delay(self) -> int:
        """Longest wait of a span for its batch, in milliseconds."""

    @property
    def bsp_max_queue_size(self) -> int:
        """Spans that wait to be sent; further ones are dropped."""

    @property
    def bsp_max_export_batch_size(self) -> int:
        """Spans of one batch, at most."""
