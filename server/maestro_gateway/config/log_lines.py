"""Logs on standard error: text for people at a terminal, JSON for machines."""

import logging
import sys
import time

import msgspec
from opentelemetry import trace

from maestro_gateway.config.schema import LogSettings

OURS = "maestro"  # the logger above all of ours
# What a log record may carry beside its message; anything else is not written, whoever put it there.
FIELDS = (
    "request_id", "method", "tenant", "key", "chat", "provider", "model", "outcome",
    "input_tokens", "output_tokens", "elapsed_ms", "first_content_ms",
)  # fmt: skip


def write_logs(log: LogSettings) -> None:
    """One line a record: text for people at a terminal, JSON for machines."""
    as_text = log.format == "text" or (log.format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextLines() if as_text else JsonLines())
    logger = logging.getLogger(OURS)
    logger.handlers[:] = [handler]
    logger.setLevel(log.level.upper())
    logger.propagate = False
    # Nobody reads which thread and process it was, and each line would ask the kernel.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class JsonLines(logging.Formatter):
    """A JSON object a line. Control characters are escaped by JSON itself, so nobody writes lines in another's name."""

    converter = staticmethod(time.gmtime)  # machines read it, wherever they stand

    def __init__(self) -> None:
        super().__init__()
        self._second = (0, "")  # the last one, as text: many lines share it

    def format(self, record: logging.LogRecord) -> str:
        second, text = self._second
        if second != int(record.created):
            text = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
            self._second = int(record.created), text
        line: dict[str, object] = {
            "time": f"{text}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **told(record),
        }
        if record.exc_info:
            line["fault"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """The same for eyes."""

    def format(self, record: logging.LogRecord) -> str:
        told_of = " ".join(f"{name}={value}" for name, value in told(record).items() if value not in ("", None, 0))
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {told_of}"
        line = line.rstrip().translate(CONTROLS)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160))}


def told(record: logging.LogRecord) -> dict[str, object]:
    """What a record says beside its message, and the trace it belongs to."""
    said = record.__dict__
    fields: dict[str, object] = {name: said[name] for name in FIELDS if name in said}
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        fields["trace_id"] = trace.format_trace_id(span.trace_id)
    return fields
