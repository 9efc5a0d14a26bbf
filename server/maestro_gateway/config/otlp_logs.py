"""Log records as OpenTelemetry has them, for any OTLP store."""

import logging
from typing import Any

from opentelemetry._logs import Logger, SeverityNumber

from maestro_gateway.config.log_lines import told

SEVERITIES = (
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
)


class OtlpLogs(logging.Handler):
    """Hands each record on; the exporter behind it batches, off the hot path. The trace comes from the current span."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        severity = next((number for level, number in SEVERITIES if record.levelno >= level), SeverityNumber.DEBUG)
        attributes: dict[str, Any] = {
            name: value for name, value in told(record).items() if value is not None and name != "trace_id"
        }
        self._logger.emit(
            timestamp=round(record.created * 1e9),
            severity_number=severity,
            severity_text=record.levelname,
            body=record.getMessage(),
            attributes=attributes,
            event_name=record.name,
        )
