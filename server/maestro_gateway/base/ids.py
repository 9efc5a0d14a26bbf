"""New names for things, in order of birth."""

import secrets
from typing import Protocol

from maestro_gateway.base.clock import Clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case: no i, l, o, u
TIME_CHARACTERS, RANDOM_CHARACTERS = 10, 16  # 48 bits of milliseconds (and two zeros), 80 random ones
SHIFTS = range((TIME_CHARACTERS - 1) * 5, -1, -5)
LETTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))  # 256 is a multiple of 32: each is as likely
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
        self._last = (-1, "")  # the last millisecond, as text
        self._pool = ""

    def new(self) -> str:
        millis = self._clock.wall() // 1_000_000
        last, text = self._last
        if millis != last:
            text = "".join([ALPHABET[millis >> shift & 31] for shift in SHIFTS])
            self._last = millis, text
        return text + self._random()

    def _random(self) -> str:
        if not self._pool:
            self._pool = secrets.token_bytes(POOL * RANDOM_CHARACTERS).translate(LETTERS).decode()
        drawn, self._pool = self._pool[:RANDOM_CHARACTERS], self._pool[RANDOM_CHARACTERS:]
        return drawn
