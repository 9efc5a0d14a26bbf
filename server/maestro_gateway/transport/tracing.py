"""The OpenTelemetry interceptor, around our own services alone."""

from typing import Any

import grpc
from opentelemetry import trace


def interceptor(provider: trace.TracerProvider) -> grpc.aio.ServerInterceptor:
    """A server span for each call, child of the caller's.

    It takes only generators beneath it, which health's Watch is not, so it is kept to our own services; and it leaves
    open what it reads from, which Deliver therefore closes itself.
    """
    from opentelemetry.instrumentation.grpc import aio_server_interceptor  # only where tracing is on

    def ours(details: Any) -> bool:
        return str(details.method).startswith("/maestro.")

    made: grpc.aio.ServerInterceptor = aio_server_interceptor(tracer_provider=provider, filter_=ours)
    return made
