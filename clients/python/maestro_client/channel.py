"""Address + key -> a channel: what the environment says, credentials, retries, keepalive, sizes."""

import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import grpc

from maestro_client.address import Address, ConnectionSettingsError, parse

DEFAULT_ADDRESS = "127.0.0.1:7070"
MIB = 1024 * 1024
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            # UNAVAILABLE alone: the gateway says by pushback when even that must not be sent again.
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = (
    ("grpc.service_config", json.dumps(RETRIES)),
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
    ("grpc.per_rpc_retry_buffer_size", 64 * MIB),  # else a request above 256 KiB would not be tried again
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Channel:
    """One connection to one gateway, opened by the first call on the event loop of that call.

    What is missing comes from the environment: `MAESTRO_ADDRESS`, `MAESTRO_KEY`, and, for a gateway on this machine,
    the file `key` in `MAESTRO_HOME` (`~/.maestro`). Files are read here and now, so a wrong path fails at once.
    Nothing goes to another machine in plaintext unless `insecure` says so. The key is never shown.
    """

    def __init__(
        self,
        address: str | None = None,
        key: str | None = None,
        *,
        insecure: bool = False,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        cert_key: str | Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.address = parse(address or environ.get("MAESTRO_ADDRESS") or DEFAULT_ADDRESS)
        self._credentials = _credentials(self.address, ca, cert, cert_key)
        if self._credentials is None and not self.address.local and not insecure:
            raise ConnectionSettingsError(
                f"{self.address.target} is another machine, and nothing says how to encrypt what is sent there: write "
                f"https:// before it, or give ca=…; insecure=True sends key and prompts readable by all in between"
            )
        key = _key(self.address, environ) if key is None else key.strip()
        if not key.isascii() or not key.isprintable():
            raise ConnectionSettingsError("the key holds characters that no header can carry; was it cut or joined?")
        self.metadata: Mapping[str, str] = {"authorization": f"Bearer {key}"} if key else {}
        self.tracing_configured = _tracing_configured(environ)
        self._channel: grpc.aio.Channel | None = None

    def __repr__(self) -> str:
        return f"Channel({self.address.target!r})"

    @property
    def grpc(self) -> grpc.aio.Channel:
        """The open channel, for stubs."""
        if self._channel is None:
            options = [*OPTIONS, ("grpc.primary_user_agent", f"maestro-python/{metadata.version('maestro-client')}")]
            if self.address.local:
                options.append(("grpc.enable_http_proxy", 0))  # what is meant for this machine stays on it
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self.address.target, options)
            else:
                self._channel = grpc.aio.secure_channel(self.address.target, self._credentials, options)
        return self._channel

    async def close(self) -> None:
        """Hang up."""
        if self._channel is not None:
            await self._channel.close()


def _credentials(
    address: Address, ca: str | Path | None, cert: str | Path | None, cert_key: str | Path | None
) -> grpc.ChannelCredentials | None:
    if (cert is None) != (cert_key is None):
        raise ConnectionSettingsError("a client certificate needs both cert=… and cert_key=…")
    if not (address.tls or ca or cert):
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_read(ca), private_key=_read(cert_key), certificate_chain=_read(cert)
    )


def _read(file: str | Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConnectionSettingsError(f"cannot read {file}: {error.strerror}") from error


def _key(address: Address, environ: Mapping[str, str]) -> str:
    key = environ.get("MAESTRO_KEY", "").strip()
    if key or not address.local:
        return key
    file = Path(environ.get("MAESTRO_HOME") or "~/.maestro").expanduser() / "key"
    try:
        return file.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""  # the gateway says what to do about it
    except (OSError, UnicodeDecodeError) as error:
        raise ConnectionSettingsError(f"cannot read the key in {file}: {error}") from None


def _tracing_configured(environ: Mapping[str, str]) -> bool:
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(environ.get(name) for name in EXPORTERS)
