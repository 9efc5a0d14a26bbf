"""Name -> adapter; loads an SDK only when it is asked for."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from maestro_adapters.options import refuse_unknown
from maestro_spi.provider import ChatProvider
from maestro_spi.settings import AdapterSettings

# One line for each adapter of ours: where its class is.
ADAPTERS: Mapping[str, str] = {
    "anthropic": "maestro_adapters.anthropic.adapter:Anthropic",
    "azure": "maestro_adapters.azure:Azure",
    "bedrock": "maestro_adapters.bedrock.adapter:Bedrock",
    "cohere": "maestro_adapters.cohere.adapter:Cohere",
    "gemini": "maestro_adapters.gemini.adapter:Gemini",
    "local_embedding": "maestro_adapters.local_embedding:LocalEmbedding",
    "ollama": "maestro_adapters.ollama.adapter:Ollama",
    "openai_chat": "maestro_adapters.openai_chat.adapter:OpenAIChat",
    "openai_responses": "maestro_adapters.openai_responses.adapter:OpenAIResponses",
    "scripted": "maestro_adapters.scripted.adapter:Scripted",
    "vertex": "maestro_adapters.gemini.adapter:Gemini",
}

ENTRY_POINTS = "maestro.adapters"  # the group in which other packages offer theirs


class UnknownAdapter(ValueError):  # noqa: N818 - a fact about the settings, told as one
    """The settings name an adapter that is not here."""


def names() -> list[str]:
    """Every adapter there is, ours and those that are installed beside."""
    return sorted({*ADAPTERS, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def load(settings: AdapterSettings) -> ChatProvider:
    """The adapter that the settings name, made from them. Ours come first where names are the same."""
    target = ADAPTERS.get(settings.adapter)
    if target is not None:
        module, _, name = target.partition(":")
        return _made(getattr(import_module(module), name), settings)
    for point in entry_points(group=ENTRY_POINTS, name=settings.adapter):
        return _made(point.load(), settings)
    raise UnknownAdapter(
        f"provider {settings.name!r} wants the adapter {settings.adapter!r}, which is not here; "
        f"there are: {', '.join(names())}"
    )


def _made(adapter: Any, settings: AdapterSettings) -> ChatProvider:
    """An adapter that says which options it has is given no others."""
    if known := getattr(adapter, "OPTIONS", None):
        refuse_unknown(settings, known)
    return cast(ChatProvider, adapter(settings))
