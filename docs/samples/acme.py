"""Acme's lines: the conversation goes up as one line of JSON, each word of the answer comes down as another."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2
from maestro_spi import AdapterSettings, Answer, Checkup, MaestroError, ModelFacts, ProviderWord, Reason, Support

# Their words for ours.
FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "done": chat_pb2.FINISH_REASON_STOP,
    "long": chat_pb2.FINISH_REASON_MAX_TOKENS,
}
LINE_BYTES = 64 * 1024
SPEAKER = {content_pb2.ROLE_USER: "you", content_pb2.ROLE_ASSISTANT: "me"}


class Line(msgspec.Struct):
    """What Acme may say in one line."""

    word: str = ""
    end: str = ""
    error: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


class Acme:
    """Speaks Acme's lines to the `address` among its options."""

    version = "acme 1"

    def __init__(self, settings: AdapterSettings) -> None:
        self._name = settings.name
        self._host, _, self._port = str(settings.options["address"]).rpartition(":")

    def models(self) -> Sequence[ModelFacts]:
        able = {common_pb2.CAPABILITY_STREAMING: Support(), common_pb2.CAPABILITY_SYSTEM_PROMPT: Support()}
        return [ModelFacts("parrot", title="Acme Parrot", capabilities=able, context_tokens=8192)]

    async def check(self) -> Checkup:
        try:
            async with self._connected():
                return Checkup(capability_pb2.PROVIDER_HEALTH_SERVING)
        except MaestroError as error:
            return Checkup(capability_pb2.PROVIDER_HEALTH_UNREACHABLE, error.message)

    async def aclose(self) -> None:
        """A connection lives as long as its answer; there is nothing else to close."""

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        answer = Answer(self._name, request)
        async with self._connected() as (reader, writer):
            writer.write(question(request))
            while data := await read_line(reader):
                line = self._read(data)
                answer.start(request.model)
                answer.text(line.word)
                answer.usage(usage(line))
                answer.finish(FINISH.get(line.end), line.end)
                for event in answer.drain():
                    yield event
        for event in answer.end():  # no line said why it ended: an error, never an answer
            yield event

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_connection(self._host, int(self._port), limit=LINE_BYTES)
        except OSError as error:
            raise MaestroError(Reason.PROVIDER_UNAVAILABLE, f"{self._name} cannot be reached") from error
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _read(self, data: bytes) -> Line:
        try:
            line = msgspec.json.decode(data, type=Line)
        except msgspec.MsgspecError as error:
            raise MaestroError(
                Reason.PROVIDER_PROTOCOL_ERROR, f"{self._name} said a line that nobody can read"
            ) from error
        if line.error:
            said = ProviderWord(message=line.error)
            raise MaestroError(Reason.PROVIDER_REJECTED_REQUEST, f"{self._name} refused the request", word=said)
        return line


async def read_line(reader: asyncio.StreamReader) -> bytes:
    """The next line; nothing at the end, and where the connection breaks, with half a line or without."""
    try:
        data = await reader.readline()
    except ConnectionError:
        return b""
    except ValueError as error:
        raise MaestroError(Reason.PROVIDER_PROTOCOL_ERROR, "a line without an end") from error
    return data if data.endswith(b"\n") else b""


def question(request: chat_pb2.ChatRequest) -> bytes:
    """The conversation in Acme's words."""
    said = [("rule", part.text) for part in request.system]
    said += [(SPEAKER.get(message.role, "rule"), part.text) for message in request.messages for part in message.parts]
    return msgspec.json.encode({"model": request.model, "said": said}) + b"\n"


def usage(line: Line) -> common_pb2.Usage | None:
    """What Acme has counted, where a line says so."""
    if not line.tokens_out:
        return None
    return common_pb2.Usage(input_tokens=line.tokens_in, output_tokens=line.tokens_out)
