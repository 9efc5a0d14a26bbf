"""The local embedder: the same everywhere, near for what is spelt alike, and honest about what it is."""

import asyncio
import math

import pytest

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.local_embedding import LENGTH, LocalEmbedding, embedded
from maestro_spi import AdapterSettings, EmbeddingAdapter, MaestroError, Reason

Input = embedding_pb2.EmbedInput


def request(*texts: str, **fields) -> embedding_pb2.EmbedRequest:
    return embedding_pb2.EmbedRequest(model="hash-256", inputs=[Input(text=text) for text in texts], **fields)


@pytest.fixture
def local() -> LocalEmbedding:
    return LocalEmbedding(AdapterSettings(name="local", adapter="local_embedding"))


def cosine(one, other) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_it_embeds_and_does_not_chat(local):
    assert isinstance(local, EmbeddingAdapter)
    assert not hasattr(local, "chat")
    (facts,) = local.models()
    assert facts.output_modalities == ()
    assert "no meaning" in facts.capabilities[common_pb2.CAPABILITY_EMBEDDINGS].note


def test_a_text_has_this_vector_on_every_machine():
    vector = embedded("Maestro", 8)
    assert [round(value, 4) for value in vector] == [-0.5774, 0.0, 0.0, -0.5774, 0.0, 0.0, 0.5774, 0.0]


def test_vectors_have_length_one_and_an_empty_text_has_none():
    assert math.hypot(*embedded("Grüße aus 東京", 256)) == pytest.approx(1.0, abs=1e-6)
    assert set(embedded("  ", 256)) == {0.0}


def test_what_is_spelt_alike_is_near():
    house, houses, river = (embedded(text, 256) for text in ("The house", "the HOUSES", "a river"))
    assert cosine(house, houses) > 0.5 > abs(cosine(house, river))


async def test_dimensions_are_those_that_were_asked_for(local):
    async with asyncio.timeout(5):
        vectors = await local.embed(request("a", "b", dimensions=64))
    assert [len(each.values) for each in vectors.vectors] == [64, 64]
    assert vectors.usage.source == common_pb2.USAGE_SOURCE_ESTIMATED
    assert vectors.usage.input_tokens == vectors.usage.total_tokens == 2


async def test_too_long_an_input_is_cut_only_where_that_is_allowed(local):
    text = "x" * (LENGTH + 1)
    with pytest.raises(MaestroError) as refused:
        await local.embed(request(text))
    assert refused.value.reason is Reason.CONTEXT_OVERFLOW
    async with asyncio.timeout(5):
        (vector,) = (await local.embed(request(text, truncate=True))).vectors
    assert vector.truncated


async def test_another_model_is_not_there(local):
    with pytest.raises(MaestroError, match="MODEL_NOT_FOUND"):
        await local.embed(embedding_pb2.EmbedRequest(model="hash-1", inputs=[Input(text="a")]))


def test_options_are_refused():
    with pytest.raises(ValueError, match="has none"):
        LocalEmbedding(AdapterSettings(name="local", adapter="local_embedding", options={"size": 3}))
