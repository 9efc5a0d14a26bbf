"""OpenAI's embeddings call, for every adapter that speaks to OpenAI or to somebody compatible."""

import base64
import binascii
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import httpx2
import msgspec
import openai
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.wire import http
from maestro_adapters.wire.body import invalid, merge, parse
from maestro_adapters.wire.errors import request_id
from maestro_spi.answer import Answer
from maestro_spi.embedding import Inputs, Vector, Vectors, in_batches
from maestro_spi.estimate import text_tokens
from maestro_spi.settings import AdapterSettings

TOKENS = 250_000  # of one request; OpenAI takes 300,000, and ours are an estimate


class EmbeddingQuirks(BaseModel):
    """In what a vendor's embeddings differ from OpenAI's: the part of a provider's options that is about vectors."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    embedding_batch: int = Field(default=2048, ge=1, description="most inputs of one request")
    embedding_format: Literal["base64", "float", "base64_int8", ""] = Field(
        default="base64", description="in which form numbers are asked for; empty: not said"
    )
    embedding_dimensions_field: str = Field(default="dimensions", description="this vendor's name of that field")
    embedding_purposes: dict[str, str] = Field(
        default_factory=dict, description="QUERY, DOCUMENT, … -> this vendor's word, sent as input_type"
    )


class _Datum(Struct):
    embedding: str | list[float]
    index: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Embedded(Struct):
    data: list[_Datum] | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Embedded).decode


class OpenAIEmbedding:
    """The verb `embed` of an adapter that holds a client of OpenAI's SDK; it shares client and failures with it."""

    def __init__(self, settings: AdapterSettings, client: openai.AsyncOpenAI, failures: http.Failures) -> None:
        self._names = (settings.adapter, settings.name)
        self._quirks = EmbeddingQuirks.model_validate(settings.options)
        self._client = client
        self._failures = failures

    @property
    def parameters(self) -> frozenset[str]:
        """The request fields that it honours, by path."""
        return frozenset({"dimensions", "purpose"} if self._quirks.embedding_purposes else {"dimensions"})

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """The vectors of texts."""

        async def batch(inputs: Inputs) -> Vectors:
            with self._failures.in_our_words(Answer(self._names[1]), request.model):
                async with http.closing(await self._ask(self.question(request, inputs))) as response:
                    if http.media_type(response) == "text/html":
                        raise self._failures.unreadable("a page instead of vectors", request.model)
                    return self._answer(await http.whole(response), request, inputs, request_id(response.headers))

        return await in_batches(request.inputs, self._size(request.inputs), batch)

    def question(self, request: embedding_pb2.EmbedRequest, inputs: Inputs) -> dict[str, Any]:
        """The body of one request."""
        quirks = self._quirks
        body: dict[str, Any] = {"model": request.model, "input": [_text(each) for each in inputs]}
        if quirks.embedding_format:
            body["encoding_format"] = quirks.embedding_format
        if request.HasField("dimensions"):
            body[quirks.embedding_dimensions_field] = request.dimensions
        purpose = embedding_pb2.EmbeddingPurpose.Name(request.purpose).removeprefix("EMBEDDING_PURPOSE_")
        if purpose in quirks.embedding_purposes:
            body["input_type"] = quirks.embedding_purposes[purpose]
        for name in dict.fromkeys(self._names):
            if name in request.provider_options_json:
                field = f'provider_options_json["{name}"]'
                options = parse(request.provider_options_json[name], field)
                if not isinstance(options, dict):
                    raise invalid(field, "an object is needed")
                merge(body, options)
        return body

    async def _ask(self, body: dict[str, Any]) -> httpx2.Response:
        """The answer, its body not read: the SDK builds, signs and sends."""
        answer: Any = await self._client.post(
            "/embeddings", cast_to=httpx2.Response, body=body, stream=True, stream_cls=openai.AsyncStream[Any]
        )
        assert isinstance(answer, httpx2.Response)
        return answer

    def _answer(self, said: bytes, request: embedding_pb2.EmbedRequest, inputs: Inputs, id_: str) -> Vectors:
        embedded = _decode(said)
        if embedded.data is None:
            if bytes(embedded.error) not in (b"", b"null"):
                raise self._failures.of_event(said, request.model, spoken=False)
            raise self._failures.unreadable("an answer without vectors", request.model)
        try:
            vectors = [Vector(_numbers(datum.embedding, self._quirks)) for datum in _ordered(embedded.data)]
        except (binascii.Error, ValueError):
            raise self._failures.unreadable("numbers that are none", request.model) from None
        return Vectors(vectors, embedded.model or "", _usage(embedded.usage, inputs), request_id=id_)

    def _size(self, inputs: Inputs) -> int:
        """How many inputs go at once: as many as the vendor takes, fewer where they are long."""
        longest = max((len(each.text) for each in inputs), default=0) // 4 + 1
        return max(1, min(self._quirks.embedding_batch, TOKENS // longest))


def _text(item: embedding_pb2.EmbedInput) -> str:
    return f"{item.title}\n\n{item.text}" if item.title else item.text


def _ordered(data: Sequence[_Datum]) -> Sequence[_Datum]:
    """By their own index, where each has one: an answer need not keep the order of the question."""
    if sorted(datum.index if datum.index is not None else -1 for datum in data) != list(range(len(data))):
        return data  # some vendors leave the index out, or write 0 each time
    return sorted(data, key=lambda datum: datum.index or 0)


def _numbers(said: str | list[float], quirks: EmbeddingQuirks) -> "array[float]":
    if isinstance(said, list):
        return array("f", said)
    packed = base64.b64decode(said, validate=True)
    if quirks.embedding_format == "base64_int8":
        return array("f", array("b", packed))
    values = array("f", packed)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _usage(said: _Usage | None, inputs: Inputs) -> common_pb2.Usage:
    if said is None or said.prompt_tokens is None:
        tokens = sum(text_tokens(each.text) for each in inputs)
        return common_pb2.Usage(
            input_tokens=tokens, total_tokens=tokens, source=common_pb2.USAGE_SOURCE_ESTIMATED, model_calls=1
        )
    return common_pb2.Usage(
        input_tokens=said.prompt_tokens,
        total_tokens=said.prompt_tokens,
        source=common_pb2.USAGE_SOURCE_PROVIDER,
        model_calls=1,
    )
