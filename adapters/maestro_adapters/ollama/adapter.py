"""Ollama by its own API: local models and ollama.com, chat and vectors."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import httpx2
import msgspec

from maestro.v1 import chat_pb2, common_pb2, embedding_pb2
from maestro_adapters.facts import capabilities, read_facts
from maestro_adapters.ollama import embedding
from maestro_adapters.ollama.answer import Chunk, Reader, decode
from maestro_adapters.ollama.question import PARAMETERS, question
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import Dialect
from maestro_adapters.wire.ndjson import LineSplitter
from maestro_adapters.wire.telling import Record, ask, tell
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.embedding import Vectors, in_batches
from maestro_spi.errors import Reason
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

HERE = "http://127.0.0.1:11434"  # where it listens unless told otherwise
ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "PARALLEL_TOOLS", "JSON_OBJECT", "JSON_SCHEMA", "VISION", "REASONING",
    "LOGPROBS", "SEED", "EMBEDDINGS",
)  # fmt: skip
SEEN = (common_pb2.MODALITY_TEXT, common_pb2.MODALITY_IMAGE)

DIALECT = Dialect(
    phrases=(
        ("not found, try pulling it", Reason.MODEL_NOT_FOUND),
        ("does not support", Reason.PROVIDER_REJECTED_REQUEST),
        ("exceeds maximum context", Reason.CONTEXT_OVERFLOW),
        ("unauthorized", Reason.PROVIDER_AUTH_FAILED),
        ("invalid input type", Reason.PROVIDER_REJECTED_REQUEST),
    ),
    statuses={200: Reason.PROVIDER_UNAVAILABLE},  # in the middle of a stream: the model's runner has failed
)


class Ollama:
    """Speaks to one server. Its models are those of the settings; which are pulled, `check` says."""

    version = f"ollama 1 (httpx2 {httpx2.__version__}, /api/chat and /api/embed of Ollama 0.13)"
    OPTIONS = understood(http.HttpOptions, also=("models", "stream", "body"))

    def __init__(self, settings: AdapterSettings) -> None:
        options = settings.options
        self._name = settings.name
        self._stream = bool(options.get("stream", True))
        self._usual: dict[str, Any] = dict(options.get("body") or {})
        honoured = PARAMETERS | embedding.PARAMETERS
        usual = ModelFacts(name="", capabilities=capabilities(*ABLE), input_modalities=SEEN, parameters=honoured)
        self._models = read_facts(options.get("models"), usual)
        self._base = _address(settings.base_url or HERE)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._client = http.client(http.options_of(settings))
        if key:
            self._client.headers["authorization"] = f"Bearer {key}"
        self._failures = http.Failures(DIALECT, settings.name, secret=key)

    def models(self) -> Sequence[ModelFacts]:
        """Those of the settings."""
        return self._models

    async def check(self) -> Checkup:
        """Ask for the models that are pulled: it costs nothing."""
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
            response = await self._post("/api/chat", body, request.model)
        streamed = bool(body.get("stream"))
        async with aclosing(tell(response, call, self._failures, request.model, streamed=streamed)) as events:
            async for event in events:
                yield event

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """The vectors of texts."""

        async def batch(inputs: embedding.Batch) -> Vectors:
            with self._failures.in_our_words(Answer(self._name), request.model):
                body = embedding.question(request, inputs, self._name)
                async with http.closing(await self._post("/api/embed", body, request.model)) as response:
                    return embedding.vectors(await http.whole(response), inputs)

        return await in_batches(request.inputs, embedding.AT_ONCE, batch)

    async def _post(self, path: str, body: dict[str, Any], model: str) -> httpx2.Response:
        request = self._client.build_request("POST", self._base + path, json=body)
        return await ask(self._client, request, self._failures, model)

    async def _look(self) -> None:
        request = self._client.build_request("GET", f"{self._base}/api/tags")
        async with http.closing(await ask(self._client, request, self._failures, "")) as response:
            await http.whole(response)


class _Call:
    """One conversation: lines are decoded, and errors among them are found."""

    def __init__(self, failures: http.Failures, answer: Answer, request: chat_pb2.ChatRequest) -> None:
        self.answer = answer
        self._failures = failures
        self._model = request.model
        self._reader = Reader(answer, request)
        self._record = Record(answer, request)
        self._splitter = LineSplitter()

    def patience(self) -> float | None:
        """As ever; hardly for the end of the body, once the last line has come."""
        return http.CLOSING_GRACE if self._reader.finished else None

    def feed(self, data: bytes) -> None:
        """What one read brought."""
        for line in self._splitter.feed(data):
            self._line(line, decode(line))

    def close(self) -> None:
        """The stream has ended; what a cut has torn is no line."""
        for line in self._splitter.close():
            with suppress(msgspec.DecodeError):
                self._line(line, decode(line))
        self._record.end()

    def whole(self, data: bytes) -> None:
        """The whole answer."""
        chunk = decode(data)
        if chunk.message is None and bytes(chunk.error) == b"null":
            raise self._failures.unreadable("an answer without a message", self._model)
        chunk.done = True
        self._line(data, chunk)
        self._record.end()

    def _line(self, line: bytes, chunk: Chunk) -> None:
        self._record.note("chat", line)
        if bytes(chunk.error) != b"null":
            raise self._failures.of_event(line, self._model, spoken=self.answer.spoken)
        self._reader.chunk(chunk)


def _address(told: str) -> str:
    """An address as people write it, `OLLAMA_HOST` among them: its scheme and port may be missing."""
    if "://" not in told:
        host, _, port = told.rpartition(":") if told.rpartition(":")[2].isdigit() else (told, "", "11434")
        told = f"http://{host}:{port}"
    return told.rstrip("/").removesuffix("/api").replace("//0.0.0.0:", "//127.0.0.1:")
