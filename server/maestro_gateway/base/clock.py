"""What time it is, and waiting."""

import asyncio
import time
from typing import Protocol

from google.protobuf import duration_pb2, timestamp_pb2

NANOS = 1_000_000_000


class Clock(Protocol):
    """The one source of time. Timers run on `monotonic`; the wall clock is only for telling people."""

    def wall(self) -> int:
        """Nanoseconds since 1970, as the world counts them."""
        ...

    def monotonic(self) -> float:
        """Seconds on the clock of the event loop: never back, never a jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The real one."""

    def wall(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()  # what asyncio's loops count by, uvloop's within a millisecond

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def timestamp(wall: int) -> timestamp_pb2.Timestamp:
    """Wall nanoseconds, in the contract's words."""
    seconds, nanos = divmod(wall, NANOS)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)


def duration(seconds: float) -> duration_pb2.Duration:
    """Seconds, in the contract's words."""
    whole, nanos = divmod(round(seconds * NANOS), NANOS)
    return duration_pb2.Duration(seconds=whole, nanos=nanos)


def seconds(value: duration_pb2.Duration) -> float:
    """A duration of the contract, in seconds."""
    return value.seconds + value.nanos / NANOS
