"""What Anthropic says -> Answer: the events of a stream, or a message that came whole."""

from collections.abc import Callable, Mapping

from maestro.v1 import chat_pb2, common_pb2
from maestro_adapters.anthropic import said
from maestro_adapters.anthropic.blocks import Blocks
from maestro_adapters.anthropic.question import Question
from maestro_spi.answer import Answer

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "max_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "pause_turn": chat_pb2.FINISH_REASON_PAUSED,
    "compaction": chat_pb2.FINISH_REASON_PAUSED,
    "refusal": chat_pb2.FINISH_REASON_REFUSAL,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
}

BILLED: Mapping[str, str] = {"web_search_requests": "web_search", "web_fetch_requests": "web_fetch"}


class Reader:
    """Feeds an Answer. `finished`: it has said why it ended; `closed`: it has nothing more to say.

    Both ways of reading give the type of what was read; "error" is for the caller to raise, and nothing was fed.
    """

    def __init__(self, answer: Answer, question: Question, *, tool_outputs: bool = False) -> None:
        self._answer = answer
        self._blocks = Blocks(answer, question.names, question.answer_tool, outputs=tool_outputs)
        self._usage = said.Usage()
        self.finished = False
        self.closed = False
        self._events: Mapping[str, Callable[[said.Event], None]] = {
            "message_start": self._start,
            "content_block_start": self._open,
            "content_block_stop": lambda event: self._blocks.close(event.index),
            "message_delta": self._end,
            "message_stop": self._stop,
            "ping": lambda _: answer.heartbeat(),
        }

    def event(self, data: bytes) -> str:
        """An event of a stream. Types that are not known are newer than this, and skipped."""
        event = said.event(data)
        if event.type == "content_block_delta":
            if event.delta is not None:
                self._blocks.grow(event.index, event.delta, data)
        elif (known := self._events.get(event.type)) is not None:
            known(event)
        return event.type

    def whole(self, body: bytes) -> str:
        """A message that came whole."""
        message = said.message(body)
        if message.type != "error":
            self._head(message)
            for index, block in enumerate(message.content or ()):
                self._blocks.open(index, bytes(block))
                self._blocks.close(index)
            self._tail(message)
            self._count(message.usage)
            self.closed = True
        return message.type

    def _start(self, event: said.Event) -> None:
        if event.message is not None:
            self._head(event.message)
            self._count(event.message.usage)

    def _open(self, event: said.Event) -> None:
        if event.content_block is not said.NOTHING:
            self._blocks.open(event.index, bytes(event.content_block))

    def _end(self, event: said.Event) -> None:
        if event.delta is not None:
            self._tail(event.delta)
        self._count(event.usage)

    def _stop(self, _: said.Event) -> None:
        self.closed = True

    def _head(self, message: said.Message) -> None:
        self._answer.start(message.model, message.id)

    def _tail(self, end: said.Delta | said.Message) -> None:
        if end.container is not None:
            self._answer.metadata(headers={"container": end.container.id})
        if end.stop_reason is None:
            return
        self.finished = True
        reason = FINISH.get(end.stop_reason)
        if self._blocks.answered and end.stop_reason == "tool_use":
            reason = chat_pb2.FINISH_REASON_STOP  # a call of the caller's beside it makes it TOOL_CALLS again
        self._answer.finish(reason, end.stop_reason, end.stop_sequence)
        details = end.stop_details
        if details is not None and (why := ": ".join(filter(None, (details.category, details.explanation)))):
            self._answer.warning("REFUSAL_EXPLAINED", why)

    def _count(self, usage: said.Usage | None) -> None:
        """Later counts replace earlier ones; what they leave out stays."""
        if usage is None:
            return
        for name in said.Usage.__struct_fields__:
            if (value := getattr(usage, name)) is not None:
                setattr(self._usage, name, value)
        if self._usage.service_tier:
            self._answer.metadata(service_tier=self._usage.service_tier)
        self._answer.usage(counted(self._usage))


def counted(usage: said.Usage) -> common_pb2.Usage:
    """Tokens in our classes: what was read from the cache or written to it is input too."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    return common_pb2.Usage(
        input_tokens=(usage.input_tokens or 0) + read + written,
        output_tokens=usage.output_tokens or 0,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        reasoning_output_tokens=(details.thinking_tokens or 0) if details else 0,
        billed_tools=[
            common_pb2.BilledTool(tool=BILLED.get(name, name), count=count)
            for name, count in (usage.server_tool_use or {}).items()
            if count
        ],
    )
