"""OpenAI Chat Completions, and every vendor that speaks it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

import httpx2
import msgspec
import openai

from maestro.v1 import chat_pb2, common_pb2, embedding_pb2
from maestro_adapters.facts import capabilities, read_facts
from maestro_adapters.openai_chat import said
from maestro_adapters.openai_chat.answer import Reader
from maestro_adapters.openai_chat.errors import DIALECT
from maestro_adapters.openai_chat.question import parameters, question
from maestro_adapters.openai_chat.quirks import Quirks
from maestro_adapters.openai_client import connect
from maestro_adapters.openai_embedding import EmbeddingQuirks, OpenAIEmbedding
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import request_id
from maestro_adapters.wire.sse import COMMENT, Event, EventSplitter
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.embedding import Vectors
from maestro_spi.errors import MaestroError
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "PARALLEL_TOOLS", "TOOL_CHOICE", "JSON_OBJECT", "JSON_SCHEMA",
    "VISION", "AUDIO_INPUT", "AUDIO_OUTPUT", "DOCUMENT_INPUT", "REASONING", "LOGPROBS", "SEED", "PROMPT_CACHE",
)  # fmt: skip
SEEN = (common_pb2.MODALITY_TEXT, common_pb2.MODALITY_IMAGE, common_pb2.MODALITY_AUDIO, common_pb2.MODALITY_DOCUMENT)


class OpenAIChat:
    """Speaks Chat Completions to whatever host its settings name; in what it differs from OpenAI's stands there too."""

    version = f"openai_chat 1 (openai {openai.__version__}, Chat Completions v1)"
    OPTIONS = understood(Quirks, EmbeddingQuirks, http.HttpOptions, also=("models", "organization", "project"))

    def __init__(self, settings: AdapterSettings) -> None:
        self._name = settings.name
        self._adapter = settings.adapter
        self._quirks = Quirks.model_validate(settings.options)
        self._client = self._connect(settings)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = http.Failures(DIALECT, settings.name, secret=key, sdk=(openai.APIError,))
        self._embedding = OpenAIEmbedding(settings, self._client, self._failures)
        self._usual = ModelFacts(
            name="",
            capabilities=capabilities(*ABLE),
            input_modalities=SEEN,
            parameters=parameters(self._quirks) | self._embedding.parameters,
        )
        self._models = read_facts(settings.options.get("models"), self._usual)

    def _connect(self, settings: AdapterSettings) -> openai.AsyncOpenAI:
        """The SDK's client; Azure has its own."""
        return connect(settings)

    def models(self) -> Sequence[ModelFacts]:
        """Those of the settings."""
        return self._models

    async def check(self) -> Checkup:
        """Ask for the list of models: it costs no tokens, and needs the key."""
        return await http.checkup(self._failures, lambda: self._client.get("/models", cast_to=httpx2.Response))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """Vectors of texts, from the models that make them."""
        return await self._embedding.embed(request)

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask, and tell what each read brought."""
        answer = Answer(self._name, request)
        body = question(request, self._quirks, self._name, answer, adapter=self._adapter)
        call = _Call(self._failures, answer, request, Reader(answer, request, self._quirks))
        with self._failures.in_our_words(answer, request.model):
            async with http.closing(await self._ask(body)) as response:
                answer.metadata(request_id=request_id(response.headers), headers=http.kept(response.headers))
                kind = http.media_type(response)
                if not body.get("stream") or kind == "application/json":
                    call.whole(await http.whole(response))
                elif kind == "text/html":
                    raise self._failures.unreadable("a page instead of a stream", request.model)
                else:
                    splitter = EventSplitter()
                    async with aclosing(http.reads(response, patience=call.patience)) as reads:
                        async for data in reads:
                            failed = call.take(splitter.feed(data))
                            for told in answer.drain():
                                yield told
                            if failed is not None:
                                raise failed
                    with suppress(msgspec.DecodeError):  # what a cut has torn is no event
                        for name, event in splitter.close():
                            call.event(name, event)
                call.end()
                for told in answer.end():
                    yield told

    async def _ask(self, body: dict[str, Any]) -> httpx2.Response:
        """The answer, its body not read: the SDK builds, signs and sends, and makes no object of what comes."""
        answer: Any = await self._client.post(
            self._quirks.path,
            cast_to=httpx2.Response,
            body=body,
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast(httpx2.Response, answer)


class _Call:
    """One conversation: what comes is decoded, and errors in it are found."""

    def __init__(self, failures: http.Failures, answer: Answer, request: chat_pb2.ChatRequest, reader: Reader) -> None:
        self._failures = failures
        self._answer = answer
        self._model = request.model
        self._reader = reader
        self._events = chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS in request.include
        self._raw: list[str] | None = [] if chat_pb2.CHAT_INCLUDE_PROVIDER_RAW in request.include else None
        self._done = False

    def patience(self) -> float | None:
        """How long the next read is waited for: as ever, or briefly once the provider has said why it ended."""
        if self._done:
            return http.CLOSING_GRACE
        return http.USAGE_GRACE if self._reader.finished else None

    def take(self, events: Sequence[Event]) -> Exception | None:
        """The events of one read. What went wrong comes after what was said before it."""
        try:
            for name, data in events:
                self.event(name, data)
        except (MaestroError, msgspec.MsgspecError) as error:
            return error
        return None

    def event(self, name: bytes, data: bytes) -> None:
        """One event of the stream."""
        if name == COMMENT:
            if self._answer.spoken:
                self._answer.heartbeat()
            return
        if data == b"[DONE]":
            self._done = True
            return
        chunk = said.decode(data)
        if self._raw is not None:
            self._raw.append(data.decode())
        if self._events:
            self._answer.provider_event(chunk.object or name.decode(), data.decode())
        if chunk.error is not said.NULL or name or chunk.object == "error":
            self._fail(chunk, name, data)
        self._reader.chunk(chunk)
        if self._reader.failure:
            self._failed(data)

    def whole(self, data: bytes) -> None:
        """The whole answer."""
        chunk = said.decode(data)
        if self._raw is not None:
            self._answer.metadata(raw_json=data.decode())
        if self._events:
            self._answer.provider_event(chunk.object or "", data.decode())
        self._fail(chunk, b"", data)
        if not chunk.choices:
            raise self._failures.unreadable("an answer without a choice", self._model)
        self._reader.whole(chunk)
        self._failed(data)

    def end(self) -> None:
        """Nothing more comes."""
        if self._raw:
            self._answer.metadata(raw_json=f"[{','.join(self._raw)}]")
        self._reader.end()

    def _fail(self, chunk: said.Chunk, name: bytes, data: bytes) -> None:
        """An error where a chunk should be."""
        told = bytes(chunk.error) != b"null"
        if told or name == b"error" or chunk.object == "error":
            raise self._failures.of_event(data, self._model, spoken=self._answer.spoken)

    def _failed(self, data: bytes) -> None:
        """A finish word that means a failure."""
        if self._reader.failure:
            said_so = msgspec.json.encode({"error": {"code": self._reader.failure, "status": 503}})
            raise self._failures.of_event(said_so, self._model, spoken=self._answer.spoken)
