"""Acme's lines: the conversation goes up as JSON, each word of the answer comes down as a line of it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress

import httpx2
import msgspec

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import Dialect
from maestro_adapters.wire.ndjson import LineSplitter
from maestro_adapters.wire.telling import ask, tell
from maestro_spi import AdapterSettings, Answer, Checkup, ModelFacts, Reason, Support

# Their words for ours.
FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "done": chat_pb2.FINISH_REASON_STOP,
    "long": chat_pb2.FINISH_REASON_MAX_TOKENS,
}
FAILURES = Dialect(
    codes={"too_much": Reason.CONTEXT_OVERFLOW},
    statuses={200: Reason.PROVIDER_UNAVAILABLE},  # an error among the lines
)
SPEAKER = {content_pb2.ROLE_USER: "you", content_pb2.ROLE_ASSISTANT: "me"}


class Line(msgspec.Struct):
    """What Acme may say in one line."""

    word: str = ""
    end: str = ""
    error: msgspec.Raw = msgspec.Raw()
    tokens_in: int = 0
    tokens_out: int = 0


class Acme:
    """Speaks Acme's lines to the host of its settings."""

    version = f"acme 1 (httpx2 {httpx2.__version__}, Lines v1)"

    def __init__(self, settings: AdapterSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._name = settings.name
        self._base = settings.base_url or "http://127.0.0.1:9000"
        self._client = http.client(http.options_of(settings))  # one for all calls
        self._client.headers["authorization"] = f"Bearer {key}"
        self._failures = http.Failures(FAILURES, settings.name, secret=key)

    def models(self) -> Sequence[ModelFacts]:
        able = {common_pb2.CAPABILITY_STREAMING: Support(), common_pb2.CAPABILITY_SYSTEM_PROMPT: Support()}
        return [ModelFacts("parrot", title="Acme Parrot", capabilities=able, context_tokens=8192)]

    async def check(self) -> Checkup:
        return await http.checkup(self._failures, self._look)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        answer = Answer(self._name, request)
        post = self._client.build_request("POST", f"{self._base}/v1/lines", json=question(request))
        with self._failures.in_our_words(answer, request.model):
            response = await ask(self._client, post, self._failures, request.model)
        lines = Lines(answer, self._failures, request.model)
        async with aclosing(tell(response, lines, self._failures, request.model, streamed=True)) as events:
            async for event in events:
                yield event

    async def _look(self) -> None:
        get = self._client.build_request("GET", f"{self._base}/v1/health")
        async with http.closing(await ask(self._client, get, self._failures, "")) as response:
            await http.whole(response)


class Lines:
    """Reads one answer."""

    def __init__(self, answer: Answer, failures: http.Failures, model: str) -> None:
        self.answer = answer
        self._failures = failures
        self._model = model
        self._splitter = LineSplitter()

    def feed(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self._read(line)

    def close(self) -> None:
        for line in self._splitter.close():
            with suppress(msgspec.MsgspecError):  # half a line: the stream was cut, and `answer.end` says so
                self._read(line)

    def whole(self, data: bytes) -> None:
        self.feed(data + b"\n")

    def patience(self) -> float | None:
        return None  # the last line is the end: there is no closing frame behind it

    def _read(self, data: bytes) -> None:
        line = msgspec.json.decode(data, type=Line)
        if bytes(line.error):
            raise self._failures.of_event(data, self._model, spoken=self.answer.spoken)
        self.answer.start(self._model)
        self.answer.text(line.word)
        self.answer.usage(usage(line))
        self.answer.finish(FINISH.get(line.end), line.end)


def question(request: chat_pb2.ChatRequest) -> Mapping[str, object]:
    """The conversation in Acme's words."""
    said = [("rule", part.text) for part in request.system]
    said += [(SPEAKER.get(message.role, "rule"), part.text) for message in request.messages for part in message.parts]
    return {"model": request.model, "said": said}


def usage(line: Line) -> common_pb2.Usage | None:
    """What Acme has counted, where a line says so."""
    if not line.tokens_out:
        return None
    return common_pb2.Usage(input_tokens=line.tokens_in, output_tokens=line.tokens_out)
