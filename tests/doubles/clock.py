"""A clock that a test moves by hand."""

NANOS = 1_000_000_000


class HandClock:
    """Stands still until it is told otherwise."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def wall(self) -> int:
        return round(self.now * NANOS)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Counted:
    """Names in a row: 1, 2, 3."""

    def __init__(self) -> None:
        self.given = 0

    def new(self) -> str:
        self.given += 1
        return str(self.given)
