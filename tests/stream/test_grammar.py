import pytest
from google.rpc import status_pb2
from hypothesis import given, settings

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_stream.grammar import Grammar, GrammarBroken, check
from tests.doubles.chat_strategies import from_the_future, number, streams

Event = chat_pb2.ChatEvent

STARTED = Event(started=chat_pb2.ChatStarted())
DONE = Event(completed=chat_pb2.ChatCompleted(finish_reason=chat_pb2.FINISH_REASON_STOP))
FAILED = Event(interrupted=chat_pb2.ChatInterrupted(error=status_pb2.Status(code=14)))
CALL = content_pb2.Part(tool_call=content_pb2.ToolCall(id="c"))
CITATION = content_pb2.Citation(title="t")
LOGPROBS = chat_pb2.PartLogprobs(tokens=[chat_pb2.TokenLogprob(token="a")])


def opened(index=0, part=None, message=0, role=content_pb2.ROLE_ASSISTANT):
    started = chat_pb2.PartStarted(message_index=message, role=role, part=part or content_pb2.Part(text=""))
    return Event(part_index=index, part_started=started)


def closed(index=0, size=0, remainder=None):
    return Event(part_index=index, part_completed=chat_pb2.PartCompleted(text_bytes=size, remainder=remainder))


def text(words, index=0):
    return Event(part_index=index, text_delta=words)


def discarding(part):
    return Event(attempt_changed=chat_pb2.AttemptChanged(discard=True, discard_from_part=part))


def stream(*events):
    copies = []
    for event in events:
        copies.append(Event())
        copies[-1].CopyFrom(event)
    return number(copies)


@settings(max_examples=150, deadline=None)
@given(streams())
def test_every_stream_that_keeps_the_rules_is_taken(events):
    check(events)


@settings(max_examples=50, deadline=None)
@given(streams())
def test_a_stream_without_its_end_is_cut(events):
    with pytest.raises(GrammarBroken, match="cut"):
        check(events[:-1])


@settings(max_examples=50, deadline=None)
@given(streams())
def test_a_stream_that_lost_an_event_is_found_out(events):
    del events[len(events) // 2]
    with pytest.raises(GrammarBroken):
        check(events)


GOOD = {
    "several parts open at once": (
        STARTED, opened(0), opened(1, CALL), text("é"), Event(part_index=1, arguments_delta="{}"), closed(1, 2),
        closed(0, 2), DONE,
    ),
    "grounding just before the end": (STARTED, opened(), closed(), Event(citation=CITATION), DONE),
    "an open part in a stream that failed": (STARTED, opened(), text("a"), FAILED),
    "numbers go on where a discard left them": (
        STARTED, opened(0), closed(0), opened(1), text("a", 1), discarding(1), opened(1), closed(1), DONE,
    ),
    "a message of another role": (
        STARTED, opened(0), closed(0), opened(1, message=1, role=content_pb2.ROLE_TOOL), closed(1), DONE,
    ),
    "events and kinds from the future": (
        STARTED, opened(0, content_pb2.Part()), from_the_future(), text("a"), closed(0, 1), DONE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("events", GOOD.values(), ids=GOOD)
def test_a_stream_is_good_with(events):
    check(stream(*events))


REASONING = content_pb2.Part(reasoning=content_pb2.Reasoning())
MEDIA = content_pb2.Part(media=content_pb2.Media())
AGAIN = content_pb2.Part(text="a")
BROKEN = {
    "started is missing": ((opened(), closed(), DONE), "event 1: part_started before started"),
    "an unknown event comes before started": ((from_the_future(), STARTED, DONE), "event 1: None before started"),
    "it starts twice": ((STARTED, STARTED, DONE), "event 2: started a second time"),
    "parts are not numbered in order": ((STARTED, opened(1)), "event 2: part 1 started, but the next one is 0"),
    "a part starts twice": ((STARTED, opened(0), opened(0)), "event 3: part 0 started, but the next one is 1"),
    "a message is left out": ((STARTED, opened(0, message=1)), "event 2: message 1 leaves a hole"),
    "a message changes its role": (
        (STARTED, opened(0), opened(1, role=content_pb2.ROLE_TOOL)), "event 3: message 0 changes its role to ROLE_TOOL",
    ),
    "a delta has no part": ((STARTED, text("a")), "event 2: text_delta for part 0, which never started"),
    "a delta has a negative part": ((STARTED, opened(), text("a", -1)), "event 3: .* part -1, which never started"),
    "a delta comes after its part": ((STARTED, opened(), closed(), text("a")), "event 4: .* 0, which is completed"),
    "text goes into a call": ((STARTED, opened(0, CALL), text("a")), "event 3: text_delta for part 0, .* tool_call"),
    "reasoning goes into text": ((STARTED, opened(), Event(reasoning_delta="a")), "event 3: reasoning_delta .* text"),
    "arguments go into reasoning": (
        (STARTED, opened(0, REASONING), Event(arguments_delta="a")), "event 3: arguments_delta .* reasoning",
    ),
    "a refusal goes into media": ((STARTED, opened(0, MEDIA), Event(refusal_delta="a")), "event 3: .* is media"),
    "media goes into text": ((STARTED, opened(), Event(media_delta=b"a")), "event 3: media_delta .* is text"),
    "bytes are counted as characters": (
        (STARTED, opened(), text("é"), closed(0, 1)), "event 4: part 0 has text_bytes 1, but 2 bytes came",
    ),
    "a part completes twice": ((STARTED, opened(), closed(), closed()), "event 4: part_completed .* is completed"),
    "a remainder is of another kind": (
        (STARTED, opened(), closed(0, 0, CALL)), "event 3: part 0 is text, its remainder tool_call",
    ),
    "the text is sent again": ((STARTED, opened(), text("a"), closed(0, 1, AGAIN)), "event 4: .* text again"),
    "logprobs come after their part": ((STARTED, opened(), closed(), Event(logprobs=LOGPROBS)), "event 4: logprobs"),
    "a citation has no part": ((STARTED, Event(citation=CITATION)), "event 2: citation for part 0"),
    "grounding comes in the middle": (
        (STARTED, opened(), closed(), opened(1), Event(citation=CITATION)), "event 5: .*, while part 1 is open",
    ),
    "a part follows grounding": (
        (STARTED, opened(), closed(), Event(citation=CITATION), opened(1)), "event 5: part_started after a citation",
    ),
    "what never started is discarded": ((STARTED, discarding(1)), "event 2: discards from part 1 on"),
    "it completes with an open part": ((STARTED, opened(), DONE), "event 3: completed, while part 0 is open"),
    "it is interrupted by nothing": (
        (STARTED, Event(interrupted=chat_pb2.ChatInterrupted())), "event 2: interrupted with status OK",
    ),
    "something follows the end": ((STARTED, DONE, Event(usage=common_pb2.Usage())), "event 3: usage after the end"),
    "it ends twice": ((STARTED, DONE, FAILED), "event 3: interrupted after the end"),
    "it has no end": ((STARTED, opened(), closed()), "after event 3: the stream was cut"),
    "it has no events": ((), "after event 0: the stream was cut"),
}  # fmt: skip


@pytest.mark.parametrize(("events", "said"), BROKEN.values(), ids=BROKEN)
def test_a_stream_is_broken_when(events, said):
    with pytest.raises(GrammarBroken, match=said):
        check(stream(*events))


@pytest.mark.parametrize(
    ("sequence", "merged"),
    [(2, 0), (4, 0), (3, 1), (0, 0), (2, -1)],
    ids=["repeats", "jumps", "miscounts", "none", "shrinks"],
)
def test_a_sequence_number_is_the_one_before_plus_one_plus_merged(sequence, merged):
    events = stream(STARTED, opened(), text("a"))
    events[2].sequence, events[2].merged = sequence, merged
    with pytest.raises(GrammarBroken, match=f"event 3: sequence {sequence}"):
        check(events)


def test_the_first_event_is_number_one():
    with pytest.raises(GrammarBroken, match="event 1: sequence 2, not 1"):
        check([Event(sequence=2, started=chat_pb2.ChatStarted())])


def test_a_heartbeat_is_counted_too():
    events = stream(STARTED, Event(heartbeat=chat_pb2.Heartbeat()), DONE)
    events[2].sequence = 2
    with pytest.raises(GrammarBroken, match="event 3: sequence 2, not 3"):
        check(events)


def test_only_deltas_merge():
    events = stream(STARTED, Event(heartbeat=chat_pb2.Heartbeat(), merged=1))
    with pytest.raises(GrammarBroken, match="event 2: heartbeat says that 1 were merged"):
        check(events)


def test_adapters_do_not_number():
    check([STARTED, DONE], numbered=False)
    with pytest.raises(GrammarBroken, match="event 1: sequence 1, merged 0: adapters do not number"):
        check(stream(STARTED, DONE), numbered=False)


def test_a_stream_may_be_watched_while_it_runs():
    grammar = Grammar()
    for event in stream(STARTED, opened(), closed(), DONE):
        grammar.see(event)
    grammar.end()
