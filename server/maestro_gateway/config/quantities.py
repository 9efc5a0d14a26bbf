"""Durations, sizes and addresses as people write them: 30s, 64 MiB, 127.0.0.1:7070."""

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator, Field

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
STEP = r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)"
BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SIZE = re.compile(r"([0-9]+)\s*(B|KB|MB|GB|KiB|MiB|GiB)?")
YEAR = 366 * 86400.0
SOCKET_PATH_BYTES = 107  # what Linux allows


def seconds(value: object) -> object:
    """`2s`, `500ms`, `1h30m`; a bare number means seconds. What is not text is left to the field's own type."""
    if isinstance(value, bool):
        raise ValueError("is not a duration")
    if not isinstance(value, str):
        return value
    text = value.strip()
    if re.fullmatch(rf"(?:{STEP}\s*)+", text):
        return sum(float(number) * UNITS[unit] for number, unit in re.findall(STEP, text))
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    raise ValueError("is not a duration")


def written(duration: float) -> str:
    """The shortest way to write a duration down."""
    for unit in ("d", "h", "m", "s"):
        if duration and duration % UNITS[unit] == 0:
            return f"{duration / UNITS[unit]:.0f}{unit}"
    return f"{duration:.3f}".rstrip("0").rstrip(".") + "s"


def size(value: object) -> object:
    """`64 MiB`, `10MB`; a bare number means bytes."""
    if isinstance(value, bool):
        raise ValueError("is not a size")
    if not isinstance(value, str):
        return value
    found = SIZE.fullmatch(value.strip())
    if not found:
        raise ValueError("is not a size")
    return int(found[1]) * BYTES[found[2] or ""]


def address(value: str) -> str:
    """`host:port`, `[::1]:port` or `unix:/path`."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path or path == "//":
            raise ValueError("names no socket")
        if len(path.encode()) > SOCKET_PATH_BYTES:
            raise ValueError(f"is a socket path of more than {SOCKET_PATH_BYTES} bytes")
        return value
    return host_and_port(value)


def host_and_port(value: str) -> str:
    """`host:port` or `[::1]:port`; port 0 asks the system for a free one."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9._-]+):([0-9]{1,5})", value)
    if not found or int(found[2]) > 65535:
        raise ValueError("is not an address")
    return value


def is_local(value: str) -> bool:
    """Only this machine can reach it: a loopback address or a socket in the file system."""
    if value.startswith("unix:"):
        return True
    host = value.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, which anybody may point anywhere


Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=YEAR, allow_inf_nan=False)]
Patience = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=YEAR, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(size), Field(ge=0)]
