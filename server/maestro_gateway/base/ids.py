"""New names for things, in order of birth."""

import secrets
from typing import Protocol

from maestro_gateway.base.clock import Clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case: no i, l, o, u
TIME_BITS, RANDOM_BITS = 48, 80
LENGTH = -(-(TIME_BITS + RANDOM_BITS) // 5)
PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
SHIFTS = range((LENGTH - 2) * 5, -1, -10)
POOL = 256  # names for which randomness is fetched at once: asking the kernel costs more than all the rest


class Ids(Protocol):
    """The one source of names."""

    def new(self) -> str:
        """A name nobody has; later ones sort after earlier ones, to the millisecond."""
        ...


class TimedIds:
    """Milliseconds, then eighty random bits: 26 characters that sort by time and cannot be guessed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool: list[int] = []

    def new(self) -> str:
        millis = self._clock.wall() // 1_000_000
        value = (millis & ((1 << TIME_BITS) - 1)) << RANDOM_BITS | self._random()
        return "".join([PAIRS[value >> shift & 1023] for shift in SHIFTS])

    def _random(self) -> int:
        if not self._pool:
            size = RANDOM_BITS // 8
            drawn = secrets.token_bytes(POOL * size)
            self._pool = [int.from_bytes(drawn[at : at + size], "big") for at in range(0, len(drawn), size)]
        return self._pool.pop()
