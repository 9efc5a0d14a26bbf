"""Cohere's answer in our words: the events of a stream, or the whole -> Answer."""

from collections.abc import Callable, Hashable, Mapping, Sequence

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.cohere import said
from maestro_spi.answer import Answer

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "COMPLETE": chat_pb2.FINISH_REASON_STOP,
    "STOP_SEQUENCE": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "MAX_TOKENS": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "TOOL_CALL": chat_pb2.FINISH_REASON_TOOL_CALLS,
}
FAILED = frozenset({"ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT"})  # these words end an answer that has failed
# Kinds of provider state on reasoning: a plan for tools, or thoughts; each has a place of its own to go back to.
PLAN, THINKING = "tool_plan", "thinking"


class Reader:
    """Feeds one call's Answer with what the provider says. Plan, blocks of content and calls are parts of their own."""

    def __init__(self, answer: Answer, request: chat_pb2.ChatRequest) -> None:
        self._answer = answer
        self._logprobs = chat_pb2.CHAT_INCLUDE_LOGPROBS in request.include or request.generation.HasField(
            "top_logprobs"
        )
        self._stops = request.generation.stop_sequences
        self._planning = False
        self._thinking: set[Hashable] = set()
        self.finished = False
        self.failure = said.Delta()  # why it failed, if it did
        self._verbs: Mapping[str, Callable[[said.Event, said.Delta, said.Message], None]] = {
            "content-start": self._grow,
            "content-delta": self._grow,
            "content-end": lambda event, _, __: self._close(("content", event.index)),
            "tool-call-start": self._grow_call,
            "tool-call-delta": self._grow_call,
            "tool-call-end": lambda event, _, __: self._close(("call", event.index)),
            "tool-plan-delta": lambda _, __, message: self._plan(message.tool_plan),
            "citation-start": lambda _, __, message: self._cite(bytes(message.citations)),
            "message-start": lambda event, _, __: self._answer.start(response_id=event.id or ""),
            "message-end": lambda _, delta, __: self._end(delta),
        }

    def event(self, event: said.Event) -> None:
        """One event of a stream. What is not known here, a caller who asks for it sees as it came."""
        take = self._verbs.get(event.type)
        if take is not None:
            delta = event.delta or said.Delta()
            take(event, delta, delta.message or said.Message())

    def whole(self, whole: said.Event, message: said.Message) -> None:
        """The whole answer."""
        self._answer.start(response_id=whole.id or "")
        self._plan(message.tool_plan)
        blocks = message.content if isinstance(message.content, list) else []
        for index, block in enumerate(blocks):
            self._content(index, block)
        if isinstance(whole.logprobs, list):
            self._likely(len(blocks) - 1, whole.logprobs)
        if bytes(message.citations) != b"null":
            for raw in said.raws(message.citations):
                self._cite(bytes(raw))
        for index in range(len(blocks)):
            self._close(("content", index))
        for index, call in enumerate(message.tool_calls if isinstance(message.tool_calls, list) else []):
            self._call(index, call)
            self._close(("call", index))
        self._end(said.Delta(finish_reason=whole.finish_reason or "COMPLETE", usage=whole.usage))

    def _grow(self, event: said.Event, _: said.Delta, message: said.Message) -> None:
        if isinstance(message.content, said.Content):
            self._content(event.index, message.content)
        if isinstance(event.logprobs, said.Logprobs):
            self._likely(event.index, [event.logprobs])

    def _grow_call(self, event: said.Event, _: said.Delta, message: said.Message) -> None:
        if isinstance(message.tool_calls, said.ToolCall):
            self._call(event.index, message.tool_calls)

    def _content(self, index: int, content: said.Content) -> None:
        self._planned()
        key = ("content", index)
        if content.thinking:
            self._thinking.add(key)
            self._answer.reasoning(content.thinking, key=key)
        self._answer.text(content.text, key=key)

    def _plan(self, plan: str | None) -> None:
        if plan:
            self._planning = True
            self._answer.reasoning(plan, key=PLAN)

    def _planned(self) -> None:
        """Something else is said now."""
        if self._planning:
            self._planning = False
            self._answer.state(PLAN, PLAN, key=PLAN)
            self._answer.close(PLAN)

    def _call(self, index: int, call: said.ToolCall) -> None:
        self._planned()
        function = call.function or said.Function()
        self._answer.tool_call(("call", index), id=call.id, name=function.name, arguments=function.arguments)

    def _close(self, key: Hashable) -> None:
        if key in self._thinking:
            self._thinking.discard(key)
            self._answer.state(THINKING, THINKING, key=key)
        self._answer.close(key)

    def _cite(self, raw: bytes) -> None:
        told = said.citation(raw)
        found = [source.document for source in told.sources if source.document]
        document = found[0] if found else {}
        citation = content_pb2.Citation(
            start_index=told.start,
            end_index=told.end,
            title=str(document.get("title") or ""),
            uri=str(document.get("url") or ""),
            cited_text=told.text,
            provider_json=raw.decode(),
        )
        key: Hashable = PLAN if told.type == "PLAN" else None
        if told.type != "PLAN" and told.content_index is not None:
            key = ("content", told.content_index)
        self._answer.citation(citation, key=key)

    def _likely(self, index: int, runs: Sequence[said.Logprobs]) -> None:
        if self._logprobs:
            self._answer.logprobs([token for run in runs for token in _tokens(run)], key=("content", index))

    def _end(self, delta: said.Delta) -> None:
        self._planned()
        for key in [*self._thinking]:
            self._close(key)
        if delta.usage is not None:
            self._answer.usage(usage_of(delta.usage))
        word = delta.finish_reason or ""
        self.finished = True
        if word in FAILED:
            self.failure = delta
        else:
            stop = self._stops[0] if word == "STOP_SEQUENCE" and len(self._stops) == 1 else ""
            self._answer.finish(FINISH.get(word), word, stop)


def usage_of(told: said.Usage) -> common_pb2.Usage | None:
    """Their counts in ours: tokens as they were; as they are billed only where nothing else is told."""
    tokens = told.tokens or told.billed_units
    if tokens is None:
        return None
    usage = common_pb2.Usage(
        input_tokens=int(tokens.input_tokens or 0),
        output_tokens=int(tokens.output_tokens or 0),
        cache_read_input_tokens=int(told.cached_tokens or 0),
    )
    if tokens.image_tokens:
        usage.input_by_modality.add(modality=common_pb2.MODALITY_IMAGE, tokens=int(tokens.image_tokens))
    return usage


def _tokens(run: said.Logprobs) -> list[chat_pb2.TokenLogprob]:
    """A run is one token, nearly always; of several only the first has the text."""
    values = run.logprobs or []
    return [
        chat_pb2.TokenLogprob(token=(run.text or "") if number == 0 else "", logprob=value)
        for number, value in enumerate(values)
    ]
