"""Keys: made, hashed, identified."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from maestro_gateway.base.call import Caller
from maestro_gateway.tenants.settings import KeySettings

PREFIX = "mk_"
RANDOM_BYTES = 32
OTHERS = 0o077  # what the group and the rest of the world may do with a file
OTHERS_WRITE = 0o022


class KeyFileError(Exception):
    """The key file cannot be used; the text says what to do, and never holds the key."""


class Keys:
    """The live keys. Secrets are not kept: only their digests under a pepper that dies with the process.

    A lookup by digest takes the same time for every secret that is not here, so it tells nothing about those that are.
    """

    def __init__(self, rows: Iterable[KeySettings], pepper: bytes) -> None:
        self._peppered = hmac.new(pepper, digestmod=hashlib.sha256)  # set up once, copied for each key
        self._callers = {
            self._digest(row.secret.get_secret_value()): Caller(
                tenant=row.tenant, key=row.name, scopes=frozenset(row.scopes), suspended=row.disabled
            )
            for row in rows
        }

    async def identify(self, secret: str) -> Caller | None:
        """Whose it is; None where no live key matches."""
        return self._callers.get(self._digest(secret))

    def _digest(self, secret: str) -> bytes:
        # A header may hold what is no text at all; that must miss, not fail.
        mac = self._peppered.copy()
        mac.update(secret.encode("utf-8", "surrogatepass"))
        return mac.digest()


def new_pepper() -> bytes:
    """Makes the digests of one process useless to any other."""
    return secrets.token_bytes(RANDOM_BYTES)


def local_key(home: Path) -> tuple[str, bool]:
    """The key kept in `home`, made where there is none yet; and whether it was made now."""
    path = home / "key"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.stat().st_mode & OTHERS_WRITE:
            raise KeyFileError(f"others can write to {home}; run: chmod 700 {home}")
        made = not path.exists() and _make(path)
        return _read(path), made
    except OSError as error:
        raise KeyFileError(
            f"no key can be kept in {home} ({error.strerror}); set MAESTRO_HOME to a folder of yours, or MAESTRO_KEY"
        ) from error


def _make(path: Path) -> bool:
    """Appears whole or not at all; of two gateways that start at once, one makes it and both read it."""
    draft = path.with_name(f".key.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(PREFIX + secrets.token_urlsafe(RANDOM_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        if os.fstat(file.fileno()).st_mode & OTHERS:  # of the file that is open: no time to swap it
            raise KeyFileError(f"others can read {path}; run: chmod 600 {path}")
        key = file.read().strip()
    if not key or not key.isascii() or not key.isprintable():
        raise KeyFileError(f"{path} holds no key; delete it, and the next start makes one")
    return key
