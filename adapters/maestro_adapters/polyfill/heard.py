"""What the adapter beneath has said: its text is kept, the rest goes on at once."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from maestro.v1 import chat_pb2, common_pb2
from maestro_spi.answer import Answer

TEXTS = frozenset({"text", "reasoning", "refusal"})
SUMS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)


@dataclass(slots=True)
class Heard:
    """One answer of the adapter beneath, less what was passed on."""

    fragments: list[str] = field(default_factory=list)
    end: chat_pb2.ChatCompleted = field(default_factory=chat_pb2.ChatCompleted)

    @property
    def text(self) -> str:
        """All its text."""
        return "".join(self.fragments)

    @property
    def whole(self) -> bool:
        """Did the model come to its own end?"""
        return self.end.finish_reason in {chat_pb2.FINISH_REASON_STOP, chat_pb2.FINISH_REASON_STOP_SEQUENCE}


async def listen(
    events: AsyncGenerator[chat_pb2.ChatEvent],
    answer: Answer,
    heard: Heard,
    tell: Callable[[], None] = lambda: None,
) -> AsyncGenerator[chat_pb2.ChatEvent]:
    """Read to the end: text into `heard`, from which `tell` may take, and everything else through `answer`."""
    async with aclosing(events):
        async for event in events:
            _pass_on(event, answer, heard)
            tell()
            for told in answer.drain():
                yield told


def _pass_on(event: chat_pb2.ChatEvent, answer: Answer, heard: Heard) -> None:
    match event.WhichOneof("event"):
        case "started":
            answer.start(event.started.model)
        case "text_delta":
            heard.fragments.append(event.text_delta)
        case "reasoning_delta":
            answer.reasoning(event.reasoning_delta)
        case "refusal_delta":
            answer.refusal(event.refusal_delta)
        case "warning":
            answer.warning(event.warning.code, event.warning.message, event.warning.field)
        case "provider_event":
            answer.provider_event(event.provider_event.type, event.provider_event.json)
        case "heartbeat":
            answer.heartbeat()
        case "completed":
            heard.end = event.completed
        case "part_started" | "arguments_delta" | "media_delta" | "part_completed":
            _pass_on_part(event, answer)
        case _:
            pass


def _pass_on_part(event: chat_pb2.ChatEvent, answer: Answer) -> None:
    """Tool calls, media and blocks as they are; texts begin and end anew in `answer`."""
    key = ("beneath", event.part_index)
    if event.HasField("part_started"):
        part = event.part_started.part
        if part.WhichOneof("kind") == "tool_call":
            answer.tool_call(key, id=part.tool_call.id, name=part.tool_call.name, executor=part.tool_call.executor)
        elif part.WhichOneof("kind") not in TEXTS:
            answer.open(key, part)
    elif event.HasField("arguments_delta"):
        answer.tool_call(key, arguments=event.arguments_delta)
    elif event.HasField("media_delta"):
        answer.media(event.media_delta, key=key)
    else:
        state = event.part_completed.remainder.provider_state
        if state.kind:
            answer.state(state.kind, state.data, key=key)
        answer.close(key)


def finish(answer: Answer, heard: Heard, spent: common_pb2.Usage) -> list[chat_pb2.ChatEvent]:
    """The last events, in the words of the adapter beneath."""
    said = heard.end.provider_metadata
    answer.metadata(
        response_id=said.response_id,
        request_id=said.request_id,
        system_fingerprint=said.system_fingerprint,
        service_tier=said.service_tier,
        headers=said.headers,
        raw_json=said.raw_json,
    )
    answer.usage(spent)
    answer.finish(heard.end.finish_reason, heard.end.provider_finish_reason, heard.end.stop_sequence)
    return answer.end()


def add(spent: common_pb2.Usage, usage: common_pb2.Usage) -> None:
    """Two model calls are paid for, not one."""
    for name in SUMS:
        setattr(spent, name, getattr(spent, name) + getattr(usage, name))
    spent.model_calls += max(1, usage.model_calls)
    same = spent.source in {common_pb2.USAGE_SOURCE_UNSPECIFIED, usage.source}
    spent.source = usage.source if same else common_pb2.USAGE_SOURCE_MIXED
