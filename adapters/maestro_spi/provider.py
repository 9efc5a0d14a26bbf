"""What the gateway asks of every plug beside its verbs: which models, is it well, let go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from maestro.v1 import capability_pb2
from maestro_spi.capability import ModelFacts
from maestro_spi.chat import ChatAdapter


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a look at the provider found."""

    health: capability_pb2.ProviderHealth.ValueType
    note: str = ""


class Provider(Protocol):
    """A provider, configured: made once, closed once."""

    version: str  # of the adapter, with the SDK and API it is pinned to

    def models(self) -> Sequence[ModelFacts]:
        """The models it knows of itself; the operator's file may say more."""
        ...

    async def check(self) -> Checkup:
        """Is it reachable, and does it take our key? Costs no tokens."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class ChatProvider(ChatAdapter, Provider, Protocol):
    """A provider that chats: what an adapter's class makes of its settings."""
