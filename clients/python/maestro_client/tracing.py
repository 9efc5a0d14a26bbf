"""A span about each call, and its context in the call's metadata; only where OpenTelemetry is installed."""

from collections.abc import Mapping
from typing import Protocol

import grpc

from maestro_client.address import Address


class Span(Protocol):
    """One call, as its trace sees it."""

    metadata: Mapping[str, str]  # to be sent with the call

    def end(self, code: grpc.StatusCode, message: str = "") -> None:
        """The call is over; the first word counts."""
        ...


class Tracing(Protocol):
    """Whoever makes the spans."""

    def start(self, rpc: str) -> Span:
        """A call of "maestro.v1.ChatService/StreamChat" begins."""
        ...


class Unseen:
    """The span of a call that nobody traces."""

    metadata: Mapping[str, str] = {}

    def end(self, code: grpc.StatusCode, message: str = "") -> None:
        """Nobody asked."""


class NoTracing:
    """Traces nothing."""

    def start(self, rpc: str) -> Span:
        return Unseen()


def tracing(address: Address, *, wanted: bool | None, configured: bool) -> Tracing:
    """Spans where they are wanted, or, where nobody said, where an exporter is configured and the packages are here."""
    if wanted is False or (wanted is None and not configured):
        return NoTracing()
    try:
        from maestro_client.opentelemetry import OpenTelemetry
    except ImportError:
        if wanted:
            raise
        return NoTracing()
    return OpenTelemetry(address)
