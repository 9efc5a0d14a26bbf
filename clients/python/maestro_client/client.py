"""Client: one channel, one attribute per service."""

from pathlib import Path
from types import TracebackType
from typing import Self

from maestro_client.call import Calls
from maestro_client.capability import Capabilities
from maestro_client.channel import Channel
from maestro_client.chat import Chat
from maestro_client.embedding import Embeddings
from maestro_client.tracing import tracing as choose


class Client:
    """Speaks to one gateway. Made anywhere, used on one event loop, shared by all its tasks, closed once.

    Address and key not given come from `MAESTRO_ADDRESS` and `MAESTRO_KEY`; for a gateway on this machine, the key may
    also be the one that its first start has made. `timeout`, in seconds, bounds every call that brings none of its own.
    `tracing` makes an OpenTelemetry span for each call; unset, it does so where an exporter is configured.
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
        timeout: float | None = None,
        tracing: bool | None = None,
    ) -> None:
        self._channel = Channel(address, key, insecure=insecure, ca=ca, cert=cert, cert_key=cert_key)
        spans = choose(self._channel.address, wanted=tracing, configured=self._channel.tracing_configured)
        self._calls = calls = Calls(self._channel, spans, timeout)
        self.chat = Chat(calls)
        self.embeddings = Embeddings(calls)
        self.capabilities = Capabilities(calls)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def address(self) -> str:
        """Where the gateway is."""
        return self._channel.address.target

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop what still runs, and hang up."""
        await self._calls.close()
