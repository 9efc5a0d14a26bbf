"""What the standard OTEL_* variables switch on: traces, metrics, logs."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from opentelemetry import metrics, trace

from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.config.log_lines import OURS, write_logs
from maestro_gateway.config.otlp_logs import OtlpLogs
from maestro_gateway.config.schema import LogSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

SERVICE = "maestro"
Signal = Literal["TRACES", "METRICS", "LOGS"]


@dataclass(slots=True)
class Observed:
    """Where telemetry goes, and how to flush it at the end."""

    telemetry: Telemetry
    tracer_provider: trace.TracerProvider | None = None
    closing: list[Callable[[], object]] = field(default_factory=list)

    def close(self) -> None:
        """Send what is still buffered."""
        for close in self.closing:
            close()


def observe(environ: Mapping[str, str], log: LogSettings) -> Observed:
    """Logs to standard error always; the rest only where a variable asks for it."""
    write_logs(log)
    observed = Observed(Telemetry())
    tracer = meter = None
    if on("TRACES", environ):
        tracer = _traces(observed)
    if on("METRICS", environ):
        meter = _metrics(observed)
    if on("LOGS", environ):
        _logs(observed)
    observed.telemetry = Telemetry(tracer, meter)
    return observed


def on(signal: Signal, environ: Mapping[str, str]) -> bool:
    """Is there somewhere to send it?"""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "")
    endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return exporter == "otlp" or (not exporter and bool(endpoint))


# The SDK and its exporters are loaded only where they are wanted: they cost a third of a second.


def _traces(observed: Observed) -> trace.Tracer:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    observed.tracer_provider = provider
    observed.closing.append(provider.shutdown)
    return provider.get_tracer(SERVICE)


def _metrics(observed: Observed) -> metrics.Meter:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=_resource())
    observed.closing.append(provider.shutdown)
    return provider.get_meter(SERVICE)


def _logs(observed: Observed) -> None:
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource=_resource())
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    logging.getLogger(OURS).addHandler(OtlpLogs(provider.get_logger(SERVICE)))
    observed.closing.append(provider.shutdown)


def _resource() -> "Resource":
    from opentelemetry.sdk.resources import Resource

    return Resource.create({"service.name": SERVICE})
