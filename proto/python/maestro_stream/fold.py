"""Events -> ChatResponse: the answer that a stream of them tells."""

from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_stream.grammar import text_of

State = chat_pb2.ChatResponse

_CANCELLED = 1  # google.rpc.Code
_STATES = {
    chat_pb2.FINISH_REASON_TOOL_CALLS: State.STATE_AWAITING_TOOLS,
    chat_pb2.FINISH_REASON_AWAITING_APPROVAL: State.STATE_AWAITING_APPROVAL,
}


class _Piece:
    """A part and what has come of it; its text is kept in fragments, so that its cost grows with its length alone."""

    __slots__ = ("fragments", "media", "message", "part", "role", "tokens")

    def __init__(self, started: chat_pb2.PartStarted) -> None:
        self.message = started.message_index
        self.role = started.role
        self.part = content_pb2.Part()
        self.part.CopyFrom(started.part)
        self.fragments: list[str] = []
        self.media: list[bytes] = []
        self.tokens: list[chat_pb2.TokenLogprob] = []
        first = text_of(self.part)
        if first:
            self.fragments.append(first)

    def settle(self) -> content_pb2.Part:
        """The part as it is now."""
        part = self.part
        if self.fragments:
            text = "".join(self.fragments)
            self.fragments = [text]
            match part.WhichOneof("kind"):
                case "text":
                    part.text = text
                case "reasoning":
                    part.reasoning.text = text
                case "tool_call":
                    part.tool_call.arguments_json = text
                case "refusal":
                    part.refusal = text
                case _:
                    pass  # a kind newer than this reader: where its text belongs is not known here
        if self.media and part.WhichOneof("kind") == "media":
            self.media = [b"".join(self.media)]
            part.media.data = self.media[0]
        return part


class Fold:
    """Takes the events of one stream in order; `response` is the answer so far, at any time.

    Merged or not, the events of a stream fold to the same answer. The fold trusts the stream: whether it keeps the
    rules is for `maestro_stream.grammar` to say. What is newer than this reader is skipped, but its number counts.
    """

    def __init__(self) -> None:
        self._answer = chat_pb2.ChatResponse(state=State.STATE_RUNNING)
        self._pieces: dict[int, _Piece] = {}
        self._approvals: list[chat_pb2.ApprovalRequested] = []
        self._sequence = 0

    def add(self, event: chat_pb2.ChatEvent) -> None:
        """Take the next event."""
        self._sequence = event.sequence
        arm = event.WhichOneof("event")
        match arm:
            case "text_delta" | "reasoning_delta" | "arguments_delta" | "refusal_delta":
                piece = self._pieces.get(event.part_index)
                if piece is not None:
                    piece.fragments.append(getattr(event, arm))
            case None:
                pass
            case _:
                take = _TAKES.get(arm)
                if take is not None:  # the others say nothing about the answer itself
                    take(self, event)

    def response(self) -> chat_pb2.ChatResponse:
        """The answer so far, in a message of its own; its state is RUNNING until the end event."""
        answer = chat_pb2.ChatResponse()
        answer.CopyFrom(self._answer)
        answer.last_sequence = self._sequence
        answer.approvals.extend(asked.approval for asked in self._approvals)
        messages: dict[int, content_pb2.Message] = {}
        for number in sorted({piece.message for piece in self._pieces.values()}):
            messages[number] = answer.messages.add()
        for index, piece in sorted(self._pieces.items()):
            message = messages[piece.message]
            message.role = message.role or piece.role
            message.parts.append(piece.settle())
            if piece.tokens:
                answer.logprobs.add(part_index=index, tokens=piece.tokens)
        return answer

    def _started(self, event: chat_pb2.ChatEvent) -> None:
        started = event.started
        self._answer.chat = started.chat
        self._answer.provider = started.provider
        self._answer.model = started.model
        _take(self._answer, "create_time", started)

    def _part_started(self, event: chat_pb2.ChatEvent) -> None:
        self._pieces[event.part_index] = _Piece(event.part_started)

    def _part_completed(self, event: chat_pb2.ChatEvent) -> None:
        piece = self._pieces.get(event.part_index)
        if piece is not None:
            piece.part.MergeFrom(event.part_completed.remainder)

    def _media(self, event: chat_pb2.ChatEvent) -> None:
        piece = self._pieces.get(event.part_index)
        if piece is not None:
            piece.media.append(event.media_delta)

    def _citation(self, event: chat_pb2.ChatEvent) -> None:
        piece = self._pieces.get(event.part_index)
        if piece is not None:
            piece.part.citations.append(event.citation)

    def _logprobs(self, event: chat_pb2.ChatEvent) -> None:
        piece = self._pieces.get(event.part_index)
        if piece is not None:
            piece.tokens.extend(event.logprobs.tokens)

    def _tool_call_update(self, event: chat_pb2.ChatEvent) -> None:
        update = event.tool_call_update
        if update.state == content_pb2.TOOL_CALL_STATE_UNSPECIFIED:
            return
        for piece in self._pieces.values():
            if piece.part.tool_call.id == update.tool_call_id and piece.part.WhichOneof("kind") == "tool_call":
                piece.part.tool_call.state = update.state
        if update.state != content_pb2.TOOL_CALL_STATE_AWAITING_APPROVAL:
            self._approvals = [asked for asked in self._approvals if asked.tool_call_id != update.tool_call_id]

    def _approval_requested(self, event: chat_pb2.ChatEvent) -> None:
        self._approvals.append(event.approval_requested)

    def _usage(self, event: chat_pb2.ChatEvent) -> None:
        self._answer.usage.CopyFrom(event.usage)

    def _warning(self, event: chat_pb2.ChatEvent) -> None:
        self._answer.warnings.append(event.warning)

    def _attempt_changed(self, event: chat_pb2.ChatEvent) -> None:
        changed = event.attempt_changed
        self._answer.provider = changed.provider or self._answer.provider
        self._answer.model = changed.model or self._answer.model
        if changed.HasField("failed"):
            self._answer.attempts.append(changed.failed)
        if not changed.discard:
            return
        for index in [index for index in self._pieces if index >= changed.discard_from_part]:
            call = self._pieces.pop(index).part.tool_call.id
            self._approvals = [asked for asked in self._approvals if not call or asked.tool_call_id != call]

    def _completed(self, event: chat_pb2.ChatEvent) -> None:
        completed = event.completed
        answer = self._answer
        answer.finish_reason = completed.finish_reason
        answer.provider_finish_reason = completed.provider_finish_reason
        answer.stop_sequence = completed.stop_sequence
        answer.state = completed.state or _STATES.get(completed.finish_reason, State.STATE_SUCCEEDED)
        for field in ("usage", "timing", "provider_metadata"):
            _take(answer, field, completed)
        self._trail(completed.attempts)

    def _interrupted(self, event: chat_pb2.ChatEvent) -> None:
        interrupted = event.interrupted
        answer = self._answer
        stopped = interrupted.error.code == _CANCELLED
        answer.finish_reason = chat_pb2.FINISH_REASON_CANCELLED if stopped else chat_pb2.FINISH_REASON_ERROR
        answer.state = State.STATE_CANCELLED if stopped else State.STATE_FAILED
        for field in ("error", "usage"):
            _take(answer, field, interrupted)
        self._trail(interrupted.attempts)

    def _trail(self, attempts: Iterable[common_pb2.Attempt]) -> None:
        # The end event has the whole trail; what attempt_changed told on the way is part of it.
        whole = list(attempts)
        if whole:
            del self._answer.attempts[:]
            self._answer.attempts.extend(whole)


_TAKES: dict[str, Callable[[Fold, chat_pb2.ChatEvent], None]] = {
    "media_delta": Fold._media,
    "started": Fold._started,
    "part_started": Fold._part_started,
    "part_completed": Fold._part_completed,
    "citation": Fold._citation,
    "logprobs": Fold._logprobs,
    "tool_call_update": Fold._tool_call_update,
    "approval_requested": Fold._approval_requested,
    "usage": Fold._usage,
    "warning": Fold._warning,
    "attempt_changed": Fold._attempt_changed,
    "completed": Fold._completed,
    "interrupted": Fold._interrupted,
}


def fold(events: Iterable[chat_pb2.ChatEvent]) -> chat_pb2.ChatResponse:
    """The answer that these events tell."""
    folded = Fold()
    for event in events:
        folded.add(event)
    return folded.response()


def _take(answer: chat_pb2.ChatResponse, field: str, source: Message) -> None:
    if source.HasField(field):
        getattr(answer, field).CopyFrom(getattr(source, field))
