"""Amazon Bedrock: every model that speaks Converse, and the embedding models of Amazon and Cohere."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import aiobotocore  # type: ignore[import-untyped]
import botocore  # type: ignore[import-untyped]
import httpx2

from maestro.v1 import chat_pb2, common_pb2, embedding_pb2
from maestro_adapters.bedrock import said
from maestro_adapters.bedrock.answer import Reader
from maestro_adapters.bedrock.embedding import EMBEDS, Embedding, embedding_of
from maestro_adapters.bedrock.errors import DIALECT, complaint
from maestro_adapters.bedrock.question import PARAMETERS, question
from maestro_adapters.bedrock.signing import Signer
from maestro_adapters.facts import capabilities, read_facts
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.aws_events import Message, MessageSplitter
from maestro_adapters.wire.errors import failure
from maestro_adapters.wire.telling import Record, tell
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.embedding import Vectors, in_batches
from maestro_spi.errors import MaestroError
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

EVENTS = "application/vnd.amazon.eventstream"
ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "PARALLEL_TOOLS", "TOOL_CHOICE", "JSON_SCHEMA", "VISION", "VIDEO_INPUT",
    "DOCUMENT_INPUT", "REASONING", "PROMPT_CACHE", "CITATIONS", "EMBEDDINGS",
)  # fmt: skip
SEEN = (common_pb2.MODALITY_TEXT, common_pb2.MODALITY_IMAGE, common_pb2.MODALITY_VIDEO, common_pb2.MODALITY_DOCUMENT)


class Bedrock:
    """Speaks Converse, and embeds, in one region with one set of credentials.

    The SDK finds the credentials and signs; what is signed goes out over the connections that every adapter has, and
    the frames of the answer are read as they come.
    """

    version = f"bedrock 1 (aiobotocore {aiobotocore.__version__}, botocore {botocore.__version__}, 2023-09-30)"
    OPTIONS = understood(http.HttpOptions, also=("models", "stream", "body", "region", "profile"))

    def __init__(self, settings: AdapterSettings) -> None:
        options = settings.options
        self._name = settings.name
        self._stream = bool(options.get("stream", True))
        self._usual: dict[str, Any] = dict(options.get("body") or {})
        honoured = PARAMETERS | EMBEDS
        usual = ModelFacts(name="", capabilities=capabilities(*ABLE), input_modalities=SEEN, parameters=honoured)
        self._models = read_facts(options.get("models"), usual)
        self._signer = Signer(settings)
        self._base = (settings.base_url or self._signer.host("bedrock-runtime")).rstrip("/")
        self._control = (settings.base_url or self._signer.host("bedrock")).rstrip("/")
        self._client = http.client(http.options_of(settings))
        self._failures = _Failures(DIALECT, settings.name, secret=self._signer.secret)

    def models(self) -> Sequence[ModelFacts]:
        """Those of the settings."""
        return self._models

    async def check(self) -> Checkup:
        """Ask for the list of models: it costs no tokens, and needs the credentials."""
        return await http.checkup(self._failures, self._look)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask, and tell what each read brought."""
        answer = Answer(self._name, request)
        asked = question(request, self._name, answer, self._usual)
        call = _Call(self._failures, answer, request, asked.names)
        verb = "converse-stream" if self._stream else "converse"
        with self._failures.in_our_words(answer, request.model):
            response = await self._ask(request.model, verb, asked.body)
        streamed = http.media_type(response) != "application/json" and self._stream
        async with aclosing(tell(response, call, self._failures, request.model, streamed=streamed)) as events:
            async for event in events:
                yield event

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """Vectors, as many at once as the model takes."""
        kind = embedding_of(request.model)
        return await in_batches(request.inputs, kind.at_once, lambda batch: self._embed(request, kind, batch))

    async def _embed(
        self, request: embedding_pb2.EmbedRequest, kind: Embedding, batch: Sequence[embedding_pb2.EmbedInput]
    ) -> Vectors:
        with self._failures.in_our_words(Answer(self._name), request.model):
            response = await self._ask(request.model, "invoke", kind.question(request, batch, self._name))
            async with http.closing(response):
                return kind.vectors(await http.whole(response), response.headers, request)

    async def _ask(self, model: str, verb: str, body: dict[str, Any]) -> httpx2.Response:
        """The answer, its body not read."""
        url = f"{self._base}/model/{quote(model, safe='')}/{verb}"
        written = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        accept = EVENTS if verb == "converse-stream" else "application/json"
        headers = {"Content-Type": "application/json", "Accept": accept}
        return await self._send(await self._signer.sign(self._client, "POST", url, written, headers), model)

    async def _send(self, request: httpx2.Request, model: str) -> httpx2.Response:
        response = await self._client.send(request, stream=True)
        if response.is_success:
            return response
        async with http.closing(response):
            await response.aread()
            raise self._failures.of_response(response, model)

    async def _look(self) -> None:
        url = f"{self._control}/foundation-models"
        request = await self._signer.sign(self._client, "GET", url, b"", {"Accept": "application/json"})
        async with http.closing(await self._send(request, "")) as response:
            await http.whole(response)


class _Failures(http.Failures):
    """Theirs name the exception in a header, or as the type of an event."""

    def of_response(self, response: httpx2.Response, model: str) -> MaestroError:
        """The error of an answer that has been read whole."""
        name = response.headers.get("x-amzn-errortype", "")
        return failure(
            self.dialect,
            response.status_code,
            complaint(name, response.content),
            provider=self.provider,
            model=model,
            headers=response.headers,
            secret=self._secret,
            phase="connect",
        )

    def of_message(self, message: Message, model: str, *, spoken: bool) -> MaestroError:
        """The error that a message of a stream tells of."""
        name = message.type or str(message.headers.get(":error-code") or "")
        told = message.payload or json.dumps({"message": str(message.headers.get(":error-message") or "")}).encode()
        return failure(
            self.dialect,
            200,
            complaint(name, told),
            provider=self.provider,
            model=model,
            secret=self._secret,
            spoken=spoken,
            phase="stream",
        )


class _Call:
    """One conversation: frames are decoded, and exceptions among them are found."""

    def __init__(
        self, failures: _Failures, answer: Answer, request: chat_pb2.ChatRequest, names: dict[str, str]
    ) -> None:
        self.answer = answer
        self._failures = failures
        self._model = request.model
        outputs = chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT in request.include
        self._reader = Reader(answer, names, outputs=outputs)
        self._record = Record(answer, request)
        self._splitter = MessageSplitter()

    def patience(self) -> float | None:
        """As ever; briefly for the usage, once the model has said why it ended; hardly for the end of the body."""
        if self._reader.closed:
            return http.CLOSING_GRACE
        return http.USAGE_GRACE if self._reader.finished else None

    def feed(self, data: bytes) -> None:
        """What one read brought."""
        for message in self._splitter.feed(data):
            if message.failed:
                raise self._failures.of_message(message, self._model, spoken=self.answer.spoken)
            kind = message.type
            self._record.note(kind, message.payload)
            self._reader.event(kind, said.event(message.payload))

    def close(self) -> None:
        """The stream has ended."""
        self._record.end()

    def whole(self, data: bytes) -> None:
        """The whole answer."""
        self._record.note("converse", data)
        self._reader.whole(said.whole(data))
        self._record.end()
