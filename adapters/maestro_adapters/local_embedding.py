"""Vectors from the letters of a text, without a model and without a key: for trying things out, and for tests."""

import asyncio
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from unicodedata import normalize

from maestro.v1 import capability_pb2, common_pb2, embedding_pb2
from maestro_spi.capability import ModelFacts, Support
from maestro_spi.embedding import Vector, Vectors
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.estimate import text_tokens
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

GRAMS = (3, 4)  # lengths of the pieces that are counted: words alike in spelling share many
LENGTH = 16_384  # characters of an input that are looked at
BREATH = 4_096  # characters after which others get a turn
NOTE = "counts letters, knows no meaning: for trying things out"
HASH = ModelFacts(
    name="hash-256",
    title="Hashed letters",
    capabilities={common_pb2.CAPABILITY_EMBEDDINGS: Support(note=NOTE)},
    output_modalities=(),
    embedding_dimensions=(256, 64, 128, 512, 1024),
    parameters=frozenset({"dimensions", "truncate", "inputs.title"}),
)


class LocalEmbedding:
    """Embeds without a model: each run of three or four letters adds to one place of the vector, found by a hash.

    The same text has the same vector, here and anywhere, of length one. Texts that share spelling are near; texts that
    share only meaning are not. Counts of tokens are estimates.
    """

    version = "local_embedding 1"

    def __init__(self, settings: AdapterSettings) -> None:
        if settings.options:
            raise ValueError(f"options of provider {settings.name!r}: the local embedder has none")

    def models(self) -> Sequence[ModelFacts]:
        """The one there is."""
        return [HASH]

    async def check(self) -> Checkup:
        """There is nothing to reach."""
        return Checkup(capability_pb2.PROVIDER_HEALTH_SERVING, NOTE)

    async def aclose(self) -> None:
        """Nothing is open."""

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """The vectors of texts; it cannot see media."""
        if request.model != HASH.name:
            raise MaestroError(
                Reason.MODEL_NOT_FOUND,
                f"there is no {request.model!r} here, only {HASH.name}",
                metadata={"model": request.model},
            )
        size = request.dimensions or HASH.embedding_dimensions[0]
        vectors = []
        since_breath = 0
        for item in request.inputs:
            vectors.append(_vector(item, size, request.truncate))
            since_breath += len(item.text)
            if since_breath > BREATH:
                since_breath = 0
                await asyncio.sleep(0)
        usage = common_pb2.Usage(
            input_tokens=sum(each.input_tokens for each in vectors), source=common_pb2.USAGE_SOURCE_ESTIMATED
        )
        usage.total_tokens = usage.input_tokens
        return Vectors(vectors, HASH.name, usage)


def embedded(text: str, size: int) -> "array[float]":
    """The vector of a text: of length one, or all zeros for a text without anything to count."""
    counts = [0.0] * size
    for word, times in Counter(normalize("NFKC", text).casefold().split()).items():
        word = f"^{word}$"
        for length in GRAMS:
            for start in range(max(1, len(word) - length + 1)):
                digest = int.from_bytes(
                    blake2b(word[start : start + length].encode(), digest_size=8).digest(), "little"
                )
                counts[(digest >> 1) % size] += times if digest & 1 else -times
    norm = math.hypot(*counts)
    return array("f", [count / norm for count in counts] if norm else counts)


def _vector(item: embedding_pb2.EmbedInput, size: int, truncate: bool) -> Vector:
    text = f"{item.title} {item.text}" if item.title else item.text
    cut = len(text) > LENGTH
    if cut and not truncate:
        raise MaestroError(
            Reason.CONTEXT_OVERFLOW,
            f"an input has {len(text)} characters, at most {LENGTH} are looked at; cut it, or allow `truncate`",
            metadata={"characters": str(len(text)), "most": str(LENGTH)},
        )
    text = text[:LENGTH]
    return Vector(embedded(text, size), input_tokens=text_tokens(text), truncated=cut)
