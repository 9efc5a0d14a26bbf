"""Spans in OpenTelemetry's words. Imported only where tracing is on; needs the extra `otel`."""

from collections.abc import Mapping

import grpc
from opentelemetry import propagate, trace

from maestro_client.address import Address

# The conventions for RPC still move, so their names stand here alone.
SYSTEM, METHOD, STATUS = "rpc.system.name", "rpc.method", "rpc.response.status_code"
SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE = "server.address", "server.port", "error.type"


class CallSpan:
    """The client span of one call.

    It is never made the current one: a stream may be read and closed in other tasks than the one that opened it, and a
    context cannot be left where it was not entered.
    """

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        self.metadata: Mapping[str, str] = carrier

    def end(self, code: grpc.StatusCode, message: str = "") -> None:
        """Say how it ended."""
        self._span.set_attribute(STATUS, code.name)
        if code is not grpc.StatusCode.OK:
            self._span.set_attribute(ERROR_TYPE, code.name)
            self._span.set_status(trace.StatusCode.ERROR, message)
        self._span.end()


class OpenTelemetry:
    """Makes spans by the tracer provider that the application has set, unless it is given one."""

    def __init__(self, address: Address, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("maestro_client", tracer_provider=provider)
        self._attributes: dict[str, str | int] = {SYSTEM: "grpc", SERVER_ADDRESS: address.host}
        if address.port:
            self._attributes[SERVER_PORT] = address.port

    def start(self, rpc: str) -> CallSpan:
        """A call begins; its parent is the caller's current span."""
        attributes = {**self._attributes, METHOD: rpc}
        return CallSpan(self._tracer.start_span(rpc, kind=trace.SpanKind.CLIENT, attributes=attributes))
