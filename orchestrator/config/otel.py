"""Settings of tracing: the variables that OpenTelemetry has for it, under their standard names and with their meaning.

They count where `ORCH_TRACING` is on; elsewhere they may be set for other programs, and are not even checked.
"""

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from attrs import frozen

from orchestrator.config.checks import between, each, http_url, one_of, optional
from orchestrator.config.setting import setting

PROTOCOL: Final = "http/protobuf"
SAMPLERS: Final = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)


def pair(value: str) -> str | None:
    """Expect `name=value`."""
    name, equals, _ = value.partition("=")
    return None if name.strip() and equals else "name=value, or several of them with commas between"


def readable_file(value: str) -> str | None:
    """Expect a file."""
    return None if Path(value).is_file() else "a file that can be read"


@frozen
class OtelSettings:
    """What is told of the service in its traces, which ones are kept, and where they are sent."""

    sdk_disabled: bool = setting(default=False, says="Whether nothing is traced, `ORCH_TRACING` notwithstanding.")
    service_name: str = setting(
        "",
        says="`service.name` of the process. Empty: that of `OTEL_RESOURCE_ATTRIBUTES`, else `agent-orchestrator`.",
    )
    resource_attributes: tuple[str, ...] = setting(
        (), says="What else is told of the process, `name=value` each.", check=each(pair)
    )
    traces_sampler: str = setting(
        "parentbased_always_on",
        says="Which traces are kept; `parentbased_…`: where the caller has decided, what it has.",
        check=one_of(*SAMPLERS),
    )
    traces_sampler_arg: float = setting(
        1.0, says="Share of the traces that `…traceidratio` keeps.", check=between(0, 1)
    )
    exporter_otlp_endpoint: str = setting(
        "http://localhost:4318",
        says="The collector, OTLP over HTTP; `/v1/traces` is added.",
        check=http_url,
    )
    exporter_otlp_traces_endpoint: str = setting(
        "", says="The same, used as it is; it comes first.", check=optional(http_url)
    )
    exporter_otlp_protocol: str = setting(PROTOCOL, says="How it is spoken to.", check=one_of(PROTOCOL))
    exporter_otlp_traces_protocol: str = setting("", says="The same; it comes first.", check=optional(one_of(PROTOCOL)))
    exporter_otlp_headers: tuple[str, ...] = setting(
        (), says="Headers that the collector asks for, `name=value` each.", check=each(pair), secret=True
    )
    exporter_otlp_traces_headers: tuple[str, ...] = setting(
        (), says="More of them, which come first.", check=each(pair), secret=True
    )
    exporter_otlp_timeout: int = setting(
        10_000, says="Deadline of a batch with its repetitions, in milliseconds.", check=between(100, 60_000)
    )
    exporter_otlp_compression: str = setting(
        "none", says="How batches are packed.", check=one_of("none", "gzip", "deflate")
    )
    exporter_otlp_certificate: str = setting(
        "", says="Authorities of the collector's certificate, a file in PEM.", check=optional(readable_file)
    )
    exporter_otlp_client_certificate: str = setting(
        "", says="Certificate that is presented to the collector, a file in PEM.", check=optional(readable_file)
    )
    exporter_otlp_client_key: str = setting(
        "", says="Private key of that certificate, a file in PEM.", check=optional(readable_file)
    )
    bsp_schedule_delay: int = setting(
        5000, says="Longest wait of a span for its batch, in milliseconds.", check=between(10, 60_000)
    )
    bsp_max_queue_size: int = setting(
        2048, says="Spans that wait to be sent; further ones are dropped.", check=between(1, 1_000_000)
    )
    bsp_max_export_batch_size: int = setting(512, says="Spans of one batch, at most.", check=between(1, 65_536))

    @property
    def endpoint(self) -> str:
        """Where batches are sent."""
        return self.exporter_otlp_traces_endpoint or f"{self.exporter_otlp_endpoint.rstrip('/')}/v1/traces"

    @property
    def headers(self) -> dict[str, str]:
        """What a batch is sent with; values are percent-encoded in the variables (OTLP exporter specification)."""
        return read_pairs((*self.exporter_otlp_headers, *self.exporter_otlp_traces_headers))

    @property
    def resource(self) -> dict[str, str]:
        """What is told of the process, its name apart."""
        return read_pairs(self.resource_attributes)


def read_pairs(items: tuple[str, ...]) -> dict[str, str]:
    """Read `name=value` each; of the same name the last one counts."""
    pairs = (item.partition("=") for item in items)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
