"""Random chat streams that keep the grammar, for property tests."""

from collections.abc import Sequence

from google.rpc import status_pb2
from hypothesis import strategies as st

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_stream.merge import merge

Event = chat_pb2.ChatEvent

# One to four bytes of UTF-8 each, what JSON must escape, and a character that is made of two.
texts = st.text(alphabet='a \n"\\é漢😀\u0301', max_size=6)

KINDS = ("text", "reasoning", "tool_call", "refusal", "media", "tool_result", "opaque")
DELTAS = {
    "text": "text_delta",
    "reasoning": "reasoning_delta",
    "tool_call": "arguments_delta",
    "refusal": "refusal_delta",
    "media": "media_delta",
}
SAID = ("open", "delta", "delta", "delta", "delta", "delta", "close", "note", "other", "discard")


def from_the_future() -> Event:
    """An event with an arm that nobody here knows: field 127, a text."""
    return Event.FromString(b"\xfa\x07\x03new")


def number(events: Sequence[Event]) -> list[Event]:
    """The same events, numbered in place as the engine does."""
    for sequence, event in enumerate(events, start=1):
        event.sequence = sequence
    return list(events)


def copied(events: Sequence[Event]) -> list[Event]:
    """Events of one's own, to change."""
    return [Event.FromString(event.SerializeToString()) for event in events]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """A numbered stream that keeps every rule."""
    writer = _Writer(draw)
    for said in draw(st.lists(st.sampled_from(SAID), max_size=30)):
        getattr(writer, said)()
    return number(writer.end())


@st.composite
def streams_and_mergings(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """A stream, and the same with some of its neighbours merged."""
    stream = draw(streams())
    joined: list[Event] = []
    for event in copied(stream):
        if not (joined and draw(st.booleans()) and merge(joined[-1], event)):
            joined.append(event)
    return stream, joined


class _Writer:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.events = [Event(started=chat_pb2.ChatStarted(chat="chats/1", provider="p", model="m"))]
        self.kinds: list[str] = []
        self.sizes: dict[int, int] = {}  # of the parts that are open

    def open(self) -> None:
        kind = self.draw(st.sampled_from(KINDS))
        index = len(self.kinds)
        part = content_pb2.Part()
        match kind:
            case "text" | "refusal":
                setattr(part, kind, "")
            case "tool_call":
                part.tool_call.id = f"c{index}"
                part.tool_call.state = content_pb2.TOOL_CALL_STATE_STREAMING
            case _:
                getattr(part, kind).SetInParent()
        started = chat_pb2.PartStarted(role=content_pb2.ROLE_ASSISTANT, part=part)
        self.events.append(Event(part_index=index, part_started=started))
        self.kinds.append(kind)
        self.sizes[index] = 0

    def delta(self) -> None:
        writable = [index for index in self.sizes if self.kinds[index] in DELTAS]
        if not writable:
            return
        index = self.draw(st.sampled_from(writable))
        event = Event(part_index=index)
        text = self.draw(texts)
        if self.kinds[index] == "media":
            event.media_delta = text.encode()
        else:
            setattr(event, DELTAS[self.kinds[index]], text)
            self.sizes[index] += len(text.encode())
        self.events.append(event)

    def close(self) -> None:
        if not self.sizes:
            return
        index = self.draw(st.sampled_from(list(self.sizes)))
        completed = chat_pb2.PartCompleted(text_bytes=self.sizes.pop(index))
        if self.draw(st.booleans()):
            completed.remainder.provider_state.data = b"state"
            if self.kinds[index] == "tool_call":
                completed.remainder.tool_call.state = content_pb2.TOOL_CALL_STATE_PENDING
        self.events.append(Event(part_index=index, part_completed=completed))

    def note(self) -> None:
        if not self.sizes:
            return
        index = self.draw(st.sampled_from(list(self.sizes)))
        citation = content_pb2.Citation(title=self.draw(texts))
        token = chat_pb2.TokenLogprob(token=self.draw(texts), logprob=-0.5)
        logprobs = chat_pb2.PartLogprobs(part_index=index, tokens=[token])
        notes = (Event(part_index=index, citation=citation), Event(part_index=index, logprobs=logprobs))
        self.events.append(self.draw(st.sampled_from(notes)))

    def other(self) -> None:
        usage = common_pb2.Usage(output_tokens=self.draw(st.integers(0, 9)))
        update = chat_pb2.ToolCallUpdate(tool_call_id="c0", state=content_pb2.TOOL_CALL_STATE_RUNNING)
        others = (
            from_the_future(),
            Event(heartbeat=chat_pb2.Heartbeat()),
            Event(usage=usage),
            Event(warning=common_pb2.Warning(code=self.draw(texts))),
            Event(provider_event=chat_pb2.ProviderEvent(json="{}")),
            Event(tool_call_update=update),
            Event(approval_requested=chat_pb2.ApprovalRequested(approval="approvals/1", tool_call_id="c0")),
        )
        self.events.append(self.draw(st.sampled_from(others)))

    def discard(self) -> None:
        keep = self.draw(st.integers(0, len(self.kinds)))
        changed = chat_pb2.AttemptChanged(provider="q", model="n", discard=True, discard_from_part=keep)
        changed.failed.reason = "ERROR_REASON_STREAM_BROKEN"
        self.events.append(Event(attempt_changed=changed))
        del self.kinds[keep:]
        self.sizes = {index: size for index, size in self.sizes.items() if index < keep}

    def end(self) -> list[Event]:
        if self.draw(st.integers(0, 4)) == 0:
            error = status_pb2.Status(code=self.draw(st.sampled_from((1, 14))), message="gone")
            return [*self.events, Event(interrupted=chat_pb2.ChatInterrupted(error=error))]
        while self.sizes:
            self.close()
        if self.kinds and self.draw(st.booleans()):
            self.events.append(Event(citation=content_pb2.Citation(title="grounding")))
        reason = self.draw(st.sampled_from((chat_pb2.FINISH_REASON_STOP, chat_pb2.FINISH_REASON_TOOL_CALLS)))
        completed = chat_pb2.ChatCompleted(finish_reason=reason, usage=common_pb2.Usage(output_tokens=7))
        return [*self.events, Event(completed=completed)]
