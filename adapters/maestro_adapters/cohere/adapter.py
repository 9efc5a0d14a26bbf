"""Cohere by its second API: chat that plans and cites, and vectors."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx2
import msgspec

from maestro.v1 import chat_pb2, common_pb2, embedding_pb2
from maestro_adapters.cohere import embedding, said
from maestro_adapters.cohere.answer import Reader
from maestro_adapters.cohere.errors import DIALECT
from maestro_adapters.cohere.question import PARAMETERS, question
from maestro_adapters.facts import capabilities, read_facts
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import request_id
from maestro_adapters.wire.sse import COMMENT, EventSplitter
from maestro_adapters.wire.telling import Record, ask, tell
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.embedding import Vectors, in_batches
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

THERE = "https://api.cohere.com"
ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "PARALLEL_TOOLS", "TOOL_CHOICE", "JSON_OBJECT", "JSON_SCHEMA", "VISION",
    "REASONING", "LOGPROBS", "SEED", "CITATIONS", "EMBEDDINGS",
)  # fmt: skip
SEEN = (common_pb2.MODALITY_TEXT, common_pb2.MODALITY_IMAGE, common_pb2.MODALITY_DOCUMENT)


class Cohere:
    """Speaks the second API with one key. Plans and thoughts go back to it each to its own place."""

    version = f"cohere 1 (httpx2 {httpx2.__version__}, Chat and Embed v2)"
    OPTIONS = understood(http.HttpOptions, also=("models", "stream", "body"))

    def __init__(self, settings: AdapterSettings) -> None:
        options = settings.options
        self._name = settings.name
        self._stream = bool(options.get("stream", True))
        self._usual: dict[str, Any] = dict(options.get("body") or {})
        honoured = PARAMETERS | embedding.PARAMETERS
        usual = ModelFacts(name="", capabilities=capabilities(*ABLE), input_modalities=SEEN, parameters=honoured)
        self._models = read_facts(options.get("models"), usual)
        self._base = (settings.base_url or THERE).rstrip("/").removesuffix("/v2")
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._client = http.client(http.options_of(settings))
        self._client.headers["authorization"] = f"Bearer {key}"
        self._failures = http.Failures(DIALECT, settings.name, secret=key)

    def models(self) -> Sequence[ModelFacts]:
        """Those of the settings."""
        return self._models

    async def check(self) -> Checkup:
        """Ask for a model: it costs no tokens, and needs the key."""
        return await http.checkup(self._failures, self._look)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask, and tell what each read brought."""
        answer = Answer(self._name, request)
        body = question(request, self._name, answer, stream=self._stream, usual=self._usual)
        call = _Call(self._failures, answer, request)
        with self._failures.in_our_words(answer, request.model):
            response = await self._post("/v2/chat", body, request.model)
        streamed = bool(body.get("stream")) and http.media_type(response) != "application/json"
        async with aclosing(tell(response, call, self._failures, request.model, streamed=streamed)) as events:
            async for event in events:
                yield event

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """The vectors of texts and images."""

        async def batch(inputs: embedding.Batch) -> Vectors:
            with self._failures.in_our_words(Answer(self._name), request.model):
                body = embedding.question(request, inputs, self._name)
                async with http.closing(await self._post("/v2/embed", body, request.model)) as response:
                    return embedding.vectors(await http.whole(response), inputs, request_id(response.headers))

        return await in_batches(request.inputs, embedding.AT_ONCE, batch)

    async def _post(self, path: str, body: dict[str, Any], model: str) -> httpx2.Response:
        request = self._client.build_request("POST", self._base + path, json=body)
        return await ask(self._client, request, self._failures, model)

    async def _look(self) -> None:
        request = self._client.build_request("GET", f"{self._base}/v1/models", params={"page_size": 1})
        async with http.closing(await ask(self._client, request, self._failures, "")) as response:
            await http.whole(response)


class _Call:
    """One conversation: events are decoded, and errors among them are found."""

    def __init__(self, failures: http.Failures, answer: Answer, request: chat_pb2.ChatRequest) -> None:
        self.answer = answer
        self._failures = failures
        self._model = request.model
        self._reader = Reader(answer, request)
        self._record = Record(answer, request)
        self._splitter = EventSplitter()
        self._done = False

    def patience(self) -> float | None:
        """As ever; hardly for what closes the stream, once the message has ended."""
        return http.CLOSING_GRACE if self._reader.finished or self._done else None

    def feed(self, data: bytes) -> None:
        """What one read brought."""
        for name, event in self._splitter.feed(data):
            self._event(name, event)

    def close(self) -> None:
        """The stream has ended; what a cut has torn is no event."""
        with suppress(msgspec.DecodeError):
            for name, event in self._splitter.close():
                self._event(name, event)
        self._record.end()

    def whole(self, data: bytes) -> None:
        """The whole answer."""
        self._record.note("chat", data)
        told = said.event(data)
        if told.message is None:
            raise self._failures.unreadable("an answer without a message", self._model)
        if isinstance(told.message, str):
            raise self._failures.of_event(data, self._model, spoken=False)
        self._reader.whole(told, told.message)
        self._failed()
        self._record.end()

    def _event(self, name: bytes, data: bytes) -> None:
        if name == COMMENT:
            if self.answer.spoken:
                self.answer.heartbeat()
            return
        if data == b"[DONE]":
            self._done = True
            return
        event = said.event(data)
        self._record.note(event.type or name.decode(), data)
        if not event.type and isinstance(event.message, str):
            raise self._failures.of_event(data, self._model, spoken=self.answer.spoken)
        self._reader.event(event)
        self._failed()

    def _failed(self) -> None:
        """A finish word that means a failure."""
        failure = self._reader.failure
        if failure.finish_reason is not None:
            code = failure.error_type or failure.finish_reason
            complaint = {"code": code, "message": failure.error or ""}
            raise self._failures.of_event(msgspec.json.encode(complaint), self._model, spoken=self.answer.spoken)
