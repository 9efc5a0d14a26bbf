"""The adapters alive now."""

from collections.abc import Mapping

from maestro_spi.chat import ChatAdapter
from maestro_spi.provider import ChatProvider


class Fleet:
    """One adapter for each provider, made once and shared by all calls; closed with the fleet."""

    def __init__(self, plugs: Mapping[str, ChatProvider], adapters: Mapping[str, str]) -> None:
        self.plugs = dict(plugs)
        self.adapters = dict(adapters)  # provider -> the name of its adapter

    def lend(self, provider: str) -> ChatAdapter:
        """The adapter that speaks to it."""
        return self.plugs[provider]

    async def aclose(self) -> None:
        """Close every one."""
        for plug in self.plugs.values():
            await plug.aclose()
