"""New names for things, in order of birth."""

import secrets
from typing import Protocol

from maestro_gateway.base.clock import Clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case: no i, l, o, u
TIME_BITS, RANDOM_BITS = 48, 80
LENGTH = -(-(TIME_BITS + RANDOM_BITS) // 5)
PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


class Ids(Protocol):
    """The one source of names."""

    def new(self) -> str:
        """A name nobody has; later ones sort after earlier ones, to the millisecond."""
        ...


class TimedIds:
    """Milliseconds, then eighty random bits: 26 characters that sort by time and cannot be guessed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self) -> str:
        millis = self._clock.wall() // 1_000_000
        value = (millis & ((1 << TIME_BITS) - 1)) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
        pairs = [PAIRS[value >> shift & 1023] for shift in range(0, LENGTH * 5, 10)]
        return "".join(reversed(pairs))
