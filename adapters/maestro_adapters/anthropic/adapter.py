"""Anthropic Messages, at Anthropic, at Vertex, and at every vendor that speaks it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import anthropic
import httpx2
import msgspec
from pydantic import SecretStr

from maestro.v1 import chat_pb2
from maestro_adapters.anthropic.answer import Reader
from maestro_adapters.anthropic.errors import DIALECT, complaint, measured
from maestro_adapters.anthropic.host import API_VERSION, Host, Options
from maestro_adapters.anthropic.models import facts, family, offered
from maestro_adapters.anthropic.question import Question, ask
from maestro_adapters.facts import read_facts
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import failure, request_id
from maestro_adapters.wire.sse import COMMENT, Event, EventSplitter
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.errors import MaestroError
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)  # no JSON, or not what it should say; no UTF-8


class Anthropic:
    """Speaks Messages with one key. Thinking, signed or withheld, goes back to it as it came, byte for byte."""

    version = f"anthropic 1 (anthropic {anthropic.__version__}, Messages {API_VERSION})"
    OPTIONS = understood(Options, http.HttpOptions, also=("models",))

    def __init__(self, settings: AdapterSettings) -> None:
        self._name = settings.name
        self._options = Options.model_validate(settings.options)
        self._models = _models(settings.options.get("models"))
        self._limits = {model.name: model.max_output_tokens for model in self._models}
        self._host = Host(settings, self._options)
        self._key = settings.api_key or SecretStr("")
        self._failures = http.Failures(
            DIALECT, settings.name, secret=self._key.get_secret_value(), sdk=(anthropic.AnthropicError, *UNREADABLE)
        )

    def models(self) -> Sequence[ModelFacts]:
        """Those of the settings; without any, those that every key may ask."""
        return self._models

    async def check(self) -> Checkup:
        """Ask for a list: it costs no tokens, and needs the key."""
        return await http.checkup(self._failures, self._host.look)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._host.aclose()

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask, and tell what each read brought."""
        answer = Answer(self._name, request)
        most = self._limits.get(request.model, 0)
        question = ask(request, self._name, stream=self._options.stream, most=most)
        call = _Call(request, answer, question)
        try:
            with self._failures.in_our_words(answer, request.model):
                async with http.closing(await self._host.ask(question.body, question.betas)) as response:
                    answer.metadata(request_id=request_id(response.headers), headers=http.kept(response.headers))
                    if http.media_type(response) == "text/html":
                        raise self._failures.unreadable("a page instead of an answer", request.model)
                    if http.media_type(response) == "application/json":
                        self._told(call, call.whole(await http.whole(response)), response)
                    else:
                        async with aclosing(self._stream(call, response)) as events:
                            async for event in events:
                                yield event
                    for event in call.end():
                        yield event
        except MaestroError as error:
            measured(error)
            raise

    async def _stream(self, call: "_Call", response: httpx2.Response) -> AsyncGenerator[chat_pb2.ChatEvent]:
        splitter = EventSplitter()
        async with aclosing(http.reads(response, patience=call.patience)) as reads:
            async for data in reads:
                failed = self._fed(call, splitter.feed(data), response)
                for told in call.answer.drain():  # what was said before a failure was said
                    yield told
                if failed is not None:
                    raise failed
        with suppress(*UNREADABLE):  # what a cut has torn is no event
            for name, event in splitter.close():
                self._told(call, call.event(name, event), response)

    def _fed(self, call: "_Call", events: Sequence[Event], response: httpx2.Response) -> MaestroError | None:
        """The failure among the events of one read, if there is one; what comes after it does not count."""
        try:
            for name, event in events:
                self._told(call, call.event(name, event), response)
        except MaestroError as error:
            return error
        except UNREADABLE as error:
            return self._failures.translate(error, call.model, call.answer)
        return None

    def _told(self, call: "_Call", error: bytes | None, response: httpx2.Response) -> None:
        """An error in the place of an event, or of a message."""
        if error is not None:
            raise failure(
                DIALECT,
                200,
                complaint(msgspec.json.decode(error)),
                provider=self._name,
                model=call.model,
                headers=response.headers,
                secret=self._key.get_secret_value(),
                spoken=call.answer.spoken,
                phase="stream",
            )


class _Call:
    """One conversation: what comes is read into its answer, and kept where the caller wants to see it."""

    def __init__(self, request: chat_pb2.ChatRequest, answer: Answer, question: Question) -> None:
        self.answer = answer
        self.model = request.model
        include = request.include
        outputs = chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT in include
        self._reader = Reader(answer, question, tool_outputs=outputs)
        self._warnings = list(question.warnings)
        self._events = chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS in include
        self._raw: list[str] | None = [] if chat_pb2.CHAT_INCLUDE_PROVIDER_RAW in include else None

    def patience(self) -> float | None:
        """How long the next read is waited for: as ever, or briefly once it has said why it ended."""
        if self._reader.closed:
            return http.CLOSING_GRACE
        return http.USAGE_GRACE if self._reader.finished else None

    def event(self, name: bytes, data: bytes) -> bytes | None:
        """An event of the stream; the event itself if it is an error."""
        if name == COMMENT:
            if self.answer.spoken:
                self.answer.heartbeat()
            return None
        kind = self._reader.event(data)
        if self._warnings and kind == "message_start":
            self._warn()
        if self._raw is not None:
            self._raw.append(str(data, "utf-8", "replace"))
        if self._events:
            self.answer.provider_event(kind, str(data, "utf-8", "replace"))
        return data if kind == "error" or name == b"error" else None

    def whole(self, data: bytes) -> bytes | None:
        """The whole message; itself if it is an error."""
        kind = self._reader.whole(data)
        if self._raw is not None:
            self.answer.metadata(raw_json=str(data, "utf-8", "replace"))
        if self._events:
            self.answer.provider_event(kind, str(data, "utf-8", "replace"))
        return data if kind == "error" else None

    def end(self) -> list[chat_pb2.ChatEvent]:
        """The last events."""
        self._warn()
        if self._raw:
            self.answer.metadata(raw_json=f"[{','.join(self._raw)}]")
        return self.answer.end()

    def _warn(self) -> None:
        """What the question had to leave out; not before the answer has begun, which says by itself who gives it."""
        for warning in self._warnings:
            self.answer.warning(warning.code, warning.message, warning.field)
        self._warnings = []


def _models(written: object) -> list[ModelFacts]:
    """Each as its family is, over which the settings have the last word."""
    names = [model.name for model in read_facts(written, ModelFacts(name=""))]
    return [read_facts(written, facts(family(name)))[place] for place, name in enumerate(names)] or offered()
