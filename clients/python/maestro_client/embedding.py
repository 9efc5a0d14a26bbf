"""client.embeddings: maestro.v1.EmbeddingService."""
# ruff: noqa: ASYNC109 - these timeouts are deadlines: they travel with the call.

import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from maestro.v1 import embedding_pb2
from maestro.v1 import embedding_pb2_grpc as rpc
from maestro_client.call import Calls, Metadata

SERVICE = "maestro.v1.EmbeddingService"

# What may be embedded: a request, one text, or several.
Embeddable = embedding_pb2.EmbedRequest | Sequence[str] | str


class Embeddings:
    """Vectors from text and media. `vector_of` reads the numbers of each, however they travelled."""

    RPCS: ClassVar[Mapping[str, str]] = {"Embed": "embed"}

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @cached_property
    def _stub(self) -> "rpc.EmbeddingServiceAsyncStub":
        return rpc.EmbeddingServiceStub(self._calls.channel.grpc)

    async def embed(
        self,
        what: Embeddable,
        *,
        model: str = "",
        dimensions: int = 0,
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> embedding_pb2.EmbedResponse:
        """One vector for each input, in their order."""
        request = _request_of(what, model, dimensions)
        return await self._calls.unary(f"{SERVICE}/Embed", self._stub.Embed, request, timeout, metadata)


def vectors_of(answer: embedding_pb2.EmbedResponse) -> "list[array[float]]":
    """The numbers of every vector of an answer; ValueError where an input has failed and has none."""
    return [vector_of(embedding, answer.encoding) for embedding in answer.embeddings]


def vector_of(
    embedding: embedding_pb2.Embedding,
    encoding: embedding_pb2.VectorEncoding.ValueType = embedding_pb2.VECTOR_ENCODING_FLOAT32_LE,
) -> "array[float]":
    """The numbers of a vector, in the answer's `encoding`; bytes and bits are numbers too: -127 to 127, 0 and 1."""
    if embedding.HasField("error"):
        raise ValueError(f"input {embedding.index} has no vector: {embedding.error.message}")
    if embedding.HasField("list"):
        return array("f", embedding.list.values)
    try:
        read = READERS[encoding]
    except KeyError:
        raise ValueError(f"vectors in the encoding {encoding} cannot be read by this version") from None
    return read(embedding.packed, embedding.dimensions)


def _request_of(what: Embeddable, model: str, dimensions: int) -> embedding_pb2.EmbedRequest:
    """A request is never changed: with a model or dimensions beside it, a copy goes out."""
    request = embedding_pb2.EmbedRequest()
    if isinstance(what, embedding_pb2.EmbedRequest):
        request.CopyFrom(what)
    else:
        texts = [what] if isinstance(what, str) else what
        request.inputs.extend(embedding_pb2.EmbedInput(text=text) for text in texts)
    if model:
        request.model = model
    if dimensions:
        request.dimensions = dimensions
    return request


def _float32(packed: bytes, dimensions: int) -> "array[float]":
    values = array("f", packed)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _float16(packed: bytes, dimensions: int) -> "array[float]":
    return array("f", struct.unpack(f"<{len(packed) // 2}e", packed))


def _int8(packed: bytes, dimensions: int) -> "array[float]":
    return array("f", array("b", packed))


def _binary(packed: bytes, dimensions: int) -> "array[float]":
    bits = f"{int.from_bytes(packed, 'big'):0{len(packed) * 8}b}"
    return array("f", map(int, bits[:dimensions]))


READERS: Mapping[int, Callable[[bytes, int], "array[float]"]] = {
    embedding_pb2.VECTOR_ENCODING_UNSPECIFIED: _float32,
    embedding_pb2.VECTOR_ENCODING_FLOAT32_LE: _float32,
    embedding_pb2.VECTOR_ENCODING_INT8: _int8,
    embedding_pb2.VECTOR_ENCODING_BINARY: _binary,
    embedding_pb2.VECTOR_ENCODING_FLOAT16_LE: _float16,
}
