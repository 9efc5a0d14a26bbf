"""Gemini, by API key or by Vertex."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpx2
import msgspec
from google import genai
from google.auth.credentials import Credentials

from maestro.v1 import chat_pb2, common_pb2, embedding_pb2
from maestro_adapters.facts import capabilities, read_facts
from maestro_adapters.gemini import embedding
from maestro_adapters.gemini.answer import Reader
from maestro_adapters.gemini.errors import DIALECT
from maestro_adapters.gemini.frames import Frames, is_json
from maestro_adapters.gemini.question import PARAMETERS, ask
from maestro_adapters.gemini.sender import VERTEX, Options, Sender
from maestro_adapters.options import understood
from maestro_adapters.wire import http
from maestro_adapters.wire.errors import request_id
from maestro_spi.answer import Answer
from maestro_spi.capability import ModelFacts
from maestro_spi.embedding import Inputs, Vectors, in_batches
from maestro_spi.errors import MaestroError
from maestro_spi.provider import Checkup
from maestro_spi.settings import AdapterSettings

ABLE = (
    "STREAMING", "SYSTEM_PROMPT", "TOOLS", "PARALLEL_TOOLS", "TOOL_CHOICE", "JSON_OBJECT", "JSON_SCHEMA", "VISION",
    "AUDIO_INPUT", "VIDEO_INPUT", "DOCUMENT_INPUT", "REASONING", "LOGPROBS", "SEED", "PROMPT_CACHE", "CITATIONS",
    "WEB_SEARCH", "CODE_EXECUTION",
)  # fmt: skip
SEEN = (
    common_pb2.MODALITY_TEXT, common_pb2.MODALITY_IMAGE, common_pb2.MODALITY_AUDIO, common_pb2.MODALITY_VIDEO,
    common_pb2.MODALITY_DOCUMENT,
)  # fmt: skip


class Gemini:
    """Chats, and makes vectors, with Google's models. Settings with the adapter `vertex` go to Vertex AI.

    Signatures of thoughts come back on the part that they came with, and so do the blocks of tools that Google runs.
    """

    version = f"gemini 1 (google-genai {genai.__version__}, Gemini API v1beta, Vertex AI v1beta1)"
    OPTIONS = understood(Options, http.HttpOptions, also=("models",))

    def __init__(self, settings: AdapterSettings, *, credentials: Credentials | None = None) -> None:
        self._name = settings.name
        self._adapter = settings.adapter
        self._options = Options.model_validate(settings.options)
        embeds = embedding.VERTEX_PARAMETERS if settings.adapter == VERTEX else embedding.PARAMETERS
        usual = ModelFacts(
            name="", capabilities=capabilities(*ABLE), input_modalities=SEEN, parameters=PARAMETERS | embeds
        )
        self._models = read_facts(settings.options.get("models"), usual)
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._failures = http.Failures(DIALECT, settings.name, secret=key)
        self._sender = Sender(settings, self._options, credentials)

    def models(self) -> Sequence[ModelFacts]:
        """Those of the settings."""
        return self._models

    async def check(self) -> Checkup:
        """Ask for the first of the models: it costs no tokens, and needs the key."""
        return await http.checkup(self._failures, self._sender.look)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._sender.aclose()

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Ask, and tell what each read brought."""
        answer = Answer(self._name, request)
        question = ask(request, self._name, self._adapter, self._options.thinking)
        for warning in question.warnings:
            answer.warning(warning.code, warning.message, warning.field)

        def complain(said: bytes) -> MaestroError:
            return self._failures.of_event(said, request.model, spoken=answer.spoken)

        reader = Reader(answer, request, provider=self._name, complain=complain)
        verb = "streamGenerateContent?alt=sse" if self._options.stream else "generateContent"
        with self._failures.in_our_words(answer, request.model):
            async with http.closing(await self._sender.post(request.model, verb, question.body)) as response:
                answer.metadata(request_id=request_id(response.headers), headers=http.kept(response.headers))
                try:
                    async with aclosing(self._responses(response, reader, request.model)) as reads:
                        async for responses in reads:
                            for payload in responses:
                                reader.read(payload)
                            for told in answer.drain():
                                yield told
                except (MaestroError, msgspec.MsgspecError):
                    for told in answer.drain() if answer.spoken else ():  # what came before it has been said
                        yield told
                    raise
                finally:
                    reader.account()  # what was spent is spent, however it ended
                reader.close()
                for told in answer.end():
                    yield told

    async def _responses(self, response: httpx2.Response, reader: Reader, model: str) -> AsyncGenerator[list[bytes]]:
        """What each read brought."""
        kind = http.media_type(response)
        if kind == "text/html":
            raise self._failures.unreadable("a page instead of an answer", model)
        if kind == "application/json":
            whole = await http.whole(response)
            if is_json(whole) or not self._options.stream:
                reader.read(whole, whole=True)
            yield []
            return
        frames = Frames()

        def patience() -> float | None:
            return http.USAGE_GRACE if reader.finished else None

        async with aclosing(http.reads(response, patience=patience)) as reads:
            async for data in reads:
                yield frames.feed(data)
        yield [payload for payload in frames.close() if is_json(payload)]  # what a cut has torn is no response

    async def embed(self, request: embedding_pb2.EmbedRequest) -> Vectors:
        """Vectors of texts, and of media where the model takes them."""
        vertex = self._sender.vertex

        async def batch(inputs: Inputs) -> Vectors:
            verb, body = embedding.ask(request, inputs, vertex, (self._adapter, self._name))
            with self._failures.in_our_words(Answer(self._name), request.model):
                async with http.closing(await self._sender.post(request.model, verb, body)) as response:
                    return embedding.read(await http.whole(response), inputs)

        return await in_batches(request.inputs, embedding.batch_size(vertex, request.model), batch)
