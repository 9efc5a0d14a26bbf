"""The socket: what an adapter implements, is given, raises and builds its answers with."""

from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts, Support, unmet
from maestro_spi.chat import ChatAdapter
from maestro_spi.embedding import EmbeddingAdapter, Vector, Vectors, in_batches
from maestro_spi.errors import (
    RETRYABLE,
    MaestroError,
    Precondition,
    ProviderWord,
    Reason,
    Resource,
    Violation,
)
from maestro_spi.provider import ChatProvider, Checkup, Provider
from maestro_spi.settings import AdapterSettings

__all__ = [
    "RETRYABLE",
    "AdapterSettings",
    "Answer",
    "ChatAdapter",
    "ChatProvider",
    "Checkup",
    "EmbeddingAdapter",
    "MaestroError",
    "ModelFacts",
    "Precondition",
    "Provider",
    "ProviderWord",
    "Reason",
    "Resource",
    "Support",
    "Vector",
    "Vectors",
    "Violation",
    "in_batches",
    "unmet",
]
