"""What exchanges prove: those that pass, by adapter and by what was asked and answered in them.

`python -m tests.conformance.features` plays our own and prints {adapter: {feature: exchanges}} as JSON, with features
named as capabilities are, or in lower case where the contract has no capability for them.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_stream.fold import fold
from tests.conformance.dialect import ChatDialect, dialects
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse
from tests.conformance.run import attempt

INPUT = {
    common_pb2.MODALITY_IMAGE: "VISION",
    common_pb2.MODALITY_AUDIO: "AUDIO_INPUT",
    common_pb2.MODALITY_VIDEO: "VIDEO_INPUT",
    common_pb2.MODALITY_DOCUMENT: "DOCUMENT_INPUT",
}
OUTPUT = {common_pb2.MODALITY_IMAGE: "IMAGE_OUTPUT", common_pb2.MODALITY_AUDIO: "AUDIO_OUTPUT"}
TYPES = {
    "image": common_pb2.MODALITY_IMAGE,
    "audio": common_pb2.MODALITY_AUDIO,
    "video": common_pb2.MODALITY_VIDEO,
    "application": common_pb2.MODALITY_DOCUMENT,
    "text": common_pb2.MODALITY_DOCUMENT,
}
PROVIDER_RUN = {"web_search": "WEB_SEARCH", "code_execution": "CODE_EXECUTION"}
FORMATS = {"json_object": "JSON_OBJECT", "json_schema": "JSON_SCHEMA"}
PROVIDER = content_pb2.TOOL_EXECUTOR_PROVIDER
INSTRUCTING = (content_pb2.ROLE_SYSTEM, content_pb2.ROLE_DEVELOPER)

ASKED: Mapping[str, Callable[[chat_pb2.ChatRequest], object]] = {
    "SYSTEM_PROMPT": lambda asked: asked.system or any(said.role in INSTRUCTING for said in asked.messages),
    "TOOLS": lambda asked: any(tool.HasField("function") for tool in asked.tools),
    "TOOL_CHOICE": lambda asked: asked.tool_choice.mode > chat_pb2.TOOL_MODE_AUTO,
    "SEED": lambda asked: asked.generation.HasField("seed"),
    "REASONING": lambda asked: asked.HasField("reasoning"),
    "stop sequences": lambda asked: asked.generation.stop_sequences,
    "service tier": lambda asked: asked.generation.service_tier,
    "tool results": lambda asked: any(part.HasField("tool_result") for part in _parts(asked.messages)),
    "state of the provider returned": lambda asked: any(
        part.HasField("provider_state") for part in _parts(asked.messages)
    ),
    "its own blocks returned": lambda asked: any(part.HasField("opaque") for part in _parts(asked.messages)),
    "PROMPT_CACHE": lambda asked: any(part.HasField("cache_breakpoint") for part in _parts(asked.messages)),
    "raw options": lambda asked: asked.provider_options_json,
}
TOLD: Mapping[str, Callable[[chat_pb2.ChatResponse], object]] = {
    "TOOLS": lambda told: _calls(told),
    "PARALLEL_TOOLS": lambda told: len(_calls(told)) > 1,
    "REASONING": lambda told: any(part.HasField("reasoning") for part in _parts(told.messages)),
    "CITATIONS": lambda told: any(part.citations for part in _parts(told.messages)),
    "PROMPT_CACHE": lambda told: told.usage.cache_read_input_tokens or told.usage.cache_write_input_tokens,
    "refusal": lambda told: any(part.refusal for part in _parts(told.messages)),
    "state of the provider": lambda told: any(part.HasField("provider_state") for part in _parts(told.messages)),
    "its own blocks": lambda told: any(part.HasField("opaque") for part in _parts(told.messages)),
    "service tier": lambda told: told.provider_metadata.service_tier,
}


def features(exchange: Exchange, asked: chat_pb2.ChatRequest, told: Told) -> Iterator[str]:
    """What an exchange is about."""
    yield from (name for name, holds in ASKED.items() if holds(asked))
    yield from (FORMATS[kind] for kind in [asked.response_format.WhichOneof("format")] if kind in FORMATS)
    yield from (INPUT[media] for media in _media(_parts(asked.messages)) if media in INPUT)
    for tool in asked.tools:
        yield from (PROVIDER_RUN[name] for name in [tool.provider.name] if name in PROVIDER_RUN)
    if told.error is not None:
        yield "failure in a stream" if told.events or exchange.status == 200 else "failure"
        return
    answer = fold(told.events)
    yield from ["STREAMING"] if exchange.streamed else ["whole answer"]
    yield from (name for name, holds in TOLD.items() if holds(answer))
    yield from (PROVIDER_RUN[name] for name in PROVIDER_RUN for ran in _provider_run(answer) if name in ran)
    yield from (OUTPUT[media] for media in _media(_parts(answer.messages)) if media in OUTPUT)
    yield from ["LOGPROBS"] if any(event.HasField("logprobs") for event in told.events) else []


async def proven() -> Mapping[str, Counter[str]]:
    """The features of all that pass."""
    found: dict[str, Counter[str]] = {}
    for exchange in own():
        dialect = dialects()[exchange.protocol]
        counts = found.setdefault(dialect.name, Counter())
        if await attempt(dialect, exchange):
            continue
        counts["exchanges"] += 1
        if isinstance(dialect, ChatDialect):
            asked = dialect.ours(exchange)
            async with dialect.replay(exchange) as replay:
                told = await converse(dialect.settings(exchange, replay.url), asked)
            counts.update(set(features(exchange, asked, told)))
        else:
            counts["EMBEDDINGS" if exchange.expected.get("kind") != "error" else "failure"] += 1
    return found


def _parts(messages: Iterable[content_pb2.Message]) -> Iterator[content_pb2.Part]:
    for message in messages:
        for part in message.parts:
            yield part
            yield from part.tool_result.content


def _media(parts: Iterable[content_pb2.Part]) -> Iterator[common_pb2.Modality.ValueType]:
    for part in parts:
        if part.HasField("media"):
            yield part.media.modality or TYPES.get(
                part.media.mime_type.partition("/")[0], common_pb2.MODALITY_UNSPECIFIED
            )


def _calls(told: chat_pb2.ChatResponse) -> list[content_pb2.Part]:
    return [
        part for part in _parts(told.messages) if part.HasField("tool_call") and part.tool_call.executor != PROVIDER
    ]


def _provider_run(told: chat_pb2.ChatResponse) -> list[str]:
    return [part.tool_call.name for part in _parts(told.messages) if part.tool_call.executor == PROVIDER]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(proven()), indent=1, sort_keys=True))  # noqa: T201 - this is what it is for
