"""OpenAI's Responses API, and every vendor that speaks it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, cast

import httpx2
import msgspec
import openai

from maestro.v1 import chat_pb2, common_pb2
from maestro_adapters.facts import capabilities, read_facts
from maestro_adapters.openai_client import connect
from maestro_adapters.openai_responses.answer import Reader
from maestro_adapters.openai_responses.errors import DIALECT
from maestro_adapters.openai_responses.events import Event
from maestro_adapters.openai_responses.question import Names, parameters, question
from maestro_adapters.openai_responses.quirks import Quirks
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import request_id
from maestro_adapters.wire.sse import COMMENT, EventSplitter
from maestro_adapters.wire.sse import Event as Heard
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.errors import MaestroError
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "PARALLEL_TOOLS", "TOOL_CHOICE", "JSON_OBJECT", "JSON_SCHEMA",
    "VISION", "DOCUMENT_INPUT", "IMAGE_OUTPUT", "REASONING", "LOGPROBS", "PROMPT_CACHE", "CITATIONS", "WEB_SEARCH",
    "CODE_EXECUTION",
)  # fmt: skip
SEEN = (common_pb2.MODALITY_TEXT, common_pb2.MODALITY_IMAGE, common_pb2.MODALITY_DOCUMENT)

_decode = msgspec.json.Decoder(Event).decode


UNSPOKEN = frozenset({common_pb2.CAPABILITY_SEED, common_pb2.CAPABILITY_EMBEDDINGS})


class OpenAIResponses:
    """Speaks the Responses API to whatever host its settings name; in what it differs from OpenAI's stands there too.

    The provider keeps nothing: each request sends the whole conversation, every item as it came.
    """

    version = f"openai_responses 1 (openai {openai.__version__}, Responses v1)"
    OPTIONS = understood(Quirks, http.HttpOptions, also=("models", "organization", "project"))

    def __init__(self, settings: AdapterSettings) -> None:
        self._name = settings.name
        self._adapter = settings.adapter
        self._quirks = Quirks.model_validate(settings.options)
        self._usual = ModelFacts(
            name="", capabilities=capabilities(*ABLE), input_modalities=SEEN, parameters=parameters(self._quirks)
        )
        self._models = [_spoken(facts) for facts in read_facts(settings.options.get("models"), self._usual)]
        self._client = self._connect(settings)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = http.Failures(DIALECT, settings.name, secret=key, sdk=(openai.APIError,))

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

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask, and tell what each read brought."""
        answer = Answer(self._name, request)
        names = Names()
        body = question(request, self._quirks, self._name, answer, names, adapter=self._adapter)
        call = _Call(self._failures, answer, request, names)
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
                for told in answer.end():
                    yield told

    async def _ask(self, body: dict[str, Any]) -> httpx2.Response:
        """The answer, its body not read: the SDK builds, signs and sends, and makes no object of what comes."""
        answer: Any = await self._client.post(
            "/responses",
            cast_to=httpx2.Response,
            body=body,
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast(httpx2.Response, answer)


def _spoken(facts: ModelFacts) -> ModelFacts:
    """The same less what the model can do and this API has no word for."""
    return replace(facts, capabilities={each: how for each, how in facts.capabilities.items() if each not in UNSPOKEN})


class _Call:
    """One conversation: what comes is decoded, and told as it came to who asks for that."""

    def __init__(self, failures: http.Failures, answer: Answer, request: chat_pb2.ChatRequest, names: Names) -> None:
        self._failures = failures
        self._answer = answer
        self._model = request.model
        self._events = chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS in request.include
        self._reader = Reader(answer, request, self._fail, names.ours)

    def patience(self) -> float | None:
        """How long the next read is waited for: as ever, or briefly after the last event."""
        return http.CLOSING_GRACE if self._reader.finished else None

    def take(self, events: Sequence[Heard]) -> Exception | None:
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
        if data == b"[DONE]" or self._reader.finished:
            return
        event = _decode(data)
        event.type = event.type or name.decode(errors="replace")
        if self._events:
            self._answer.provider_event(event.type, data.decode())
        self._reader.event(event, data)

    def whole(self, data: bytes) -> None:
        """A response that was not streamed."""
        if self._events:
            self._answer.provider_event("response", data.decode())
        self._reader.whole(data)

    def _fail(self, said: bytes) -> MaestroError:
        return self._failures.of_event(said, self._model, spoken=self._answer.spoken)
