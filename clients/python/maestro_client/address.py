"""Where the gateway is, and whether what is said to it stays on this machine."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORT = 7070
HTTPS_PORT = 443
SOCKETS = ("unix:", "unix-abstract:")
SCHEMES = ("http", "https")


class ConnectionSettingsError(ValueError):
    """The gateway cannot be spoken to as it was asked for; the text says what to change. It never holds a key."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address: `target` as gRPC takes it, and what it means.

    `local` is true for loopback and Unix sockets alone. `tls` is true where the address itself asks for it ("https://").
    """

    target: str
    local: bool
    tls: bool = False
    host: str = ""
    port: int = 0


def parse(text: str) -> Address:
    """Read "host:port", "[::1]:port", "unix:/path", "https://host", or any other target that gRPC knows."""
    if text.startswith(SOCKETS):
        return Address(text, local=True, host=text)
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in SCHEMES:
        return Address(text, local=False, host=text)  # gRPC's own: "dns:///gateway", "xds:///gateway"
    try:
        url = urlsplit(text if separator else f"//{text}")
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ConnectionSettingsError(f"{text!r} is no address: {error}") from None
    if not host or url.path.strip("/") or url.query or url.fragment or url.username is not None:
        shown = text.rpartition("@")[2]  # what stands before it may be a secret
        raise ConnectionSettingsError(f"{shown!r} is no address; write host:port, https://host:port or unix:/path")
    tls = url.scheme == "https"
    host, local = _dial(host)
    port = port or (HTTPS_PORT if tls else DEFAULT_PORT)
    return Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", local, tls, host, port)


def _dial(host: str) -> tuple[str, bool]:
    """The host to dial, and whether it is this machine. A server's "any address" is reached over loopback."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host, host == "localhost"
    if ip.is_unspecified:
        return "127.0.0.1" if ip.version == 4 else "::1", True
    return host, ip.is_loopback
