"""The adapters alive now."""

from collections.abc import Callable, Collection, Mapping, Sequence

from maestro.v1 import common_pb2
from maestro_spi.capability import ModelFacts
from maestro_spi.chat import ChatAdapter
from maestro_spi.embedding import EmbeddingAdapter
from maestro_spi.provider import ChatProvider

Polyfill = Callable[[ChatAdapter, str, Collection[common_pb2.Capability.ValueType]], ChatAdapter]


class Fleet:
    """One adapter for each provider, made once and shared by all calls; closed with the fleet."""

    def __init__(self, plugs: Mapping[str, ChatProvider], adapters: Mapping[str, str], polyfill: Polyfill) -> None:
        self.plugs = dict(plugs)
        self.adapters = dict(adapters)  # provider -> the name of its adapter
        self._polyfill = polyfill

    def lend(self, provider: str, emulated: Collection[common_pb2.Capability.ValueType] = ()) -> ChatAdapter:
        """The adapter that speaks to it, with what the model lacks lent by polyfills around it."""
        plug = self.plugs[provider]
        return self._polyfill(plug, provider, emulated) if emulated else plug

    def embedder(self, provider: str) -> EmbeddingAdapter | None:
        """The same for vectors; None where it makes none."""
        plug = self.plugs[provider]
        return plug if isinstance(plug, EmbeddingAdapter) else None

    def models(self) -> dict[str, Sequence[ModelFacts]]:
        """The models of each, less those that only make vectors where the adapter cannot ask for any."""
        return {
            name: [
                facts
                for facts in plug.models()
                if facts.output_modalities
                or common_pb2.CAPABILITY_EMBEDDINGS not in facts.capabilities
                or self.embedder(name)
            ]
            for name, plug in self.plugs.items()
        }

    async def aclose(self) -> None:
        """Close every one."""
        for plug in self.plugs.values():
            await plug.aclose()
