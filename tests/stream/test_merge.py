from itertools import pairwise

from hypothesis import given, settings

from maestro.v1 import chat_pb2
from maestro_stream.fold import fold
from maestro_stream.grammar import KINDS, check
from maestro_stream.merge import JOINED_MAX, merge
from tests.doubles.chat_strategies import streams, streams_and_mergings

Event = chat_pb2.ChatEvent


@settings(max_examples=150, deadline=None)
@given(streams_and_mergings())
def test_any_merging_of_any_stream_folds_to_the_same_answer(case):
    stream, joined = case
    assert fold(joined) == fold(stream)


@settings(max_examples=100, deadline=None)
@given(streams_and_mergings())
def test_any_merging_keeps_the_grammar_and_proves_that_nothing_is_missing(case):
    stream, joined = case
    check(joined)
    assert sum(1 + event.merged for event in joined) == len(stream) == joined[-1].sequence


@settings(max_examples=50, deadline=None)
@given(streams())
def test_merging_all_that_merges_leaves_no_two_neighbours_that_would(stream):
    joined = [stream[0]]
    for event in stream[1:]:
        if not merge(joined[-1], event):
            joined.append(event)
    for before, after in pairwise(joined):
        arm = before.WhichOneof("event")
        assert not (arm in KINDS and arm == after.WhichOneof("event") and before.part_index == after.part_index)


def test_texts_are_joined_the_later_number_is_kept_and_fragments_are_counted():
    waiting = Event(sequence=4, part_index=1, text_delta="né", merged=1)
    assert merge(waiting, Event(sequence=7, part_index=1, text_delta="e 😀", merged=2))
    assert waiting == Event(sequence=7, part_index=1, text_delta="née 😀", merged=4)


def test_an_empty_fragment_merges_as_any_other():
    waiting = Event(sequence=1, text_delta="")
    assert merge(waiting, Event(sequence=2, text_delta="a"))
    assert merge(waiting, Event(sequence=3, text_delta=""))
    assert waiting == Event(sequence=3, text_delta="a", merged=2)


def test_media_is_joined_byte_for_byte():
    waiting = Event(sequence=1, media_delta=b"\x00\xff")
    assert merge(waiting, Event(sequence=2, media_delta=b"\xfe"))
    assert waiting.media_delta == b"\x00\xff\xfe"


def test_what_does_not_merge_is_left_as_it_was():
    text = Event(sequence=1, text_delta="a")
    others = [
        Event(sequence=2, part_index=1, text_delta="b"),
        Event(sequence=2, refusal_delta="b"),
        Event(sequence=2, arguments_delta="b"),
        Event(sequence=2, heartbeat=chat_pb2.Heartbeat()),
        Event(sequence=2),
    ]
    for other in others:
        waiting = Event()
        waiting.CopyFrom(text)
        assert not merge(waiting, other)
        assert waiting == text
    assert not merge(Event(heartbeat=chat_pb2.Heartbeat()), Event(heartbeat=chat_pb2.Heartbeat()))
    assert not merge(Event(), Event())


def test_a_joined_event_stays_small():
    for arm in ("text_delta", "reasoning_delta"):
        waiting = Event(**{arm: "x" * (JOINED_MAX - 1)})
        assert merge(waiting, Event(**{arm: "y"}))
        assert not merge(waiting, Event(**{arm: "z"}))
    waiting = Event(media_delta=b"x" * JOINED_MAX)
    assert not merge(waiting, Event(media_delta=b"y"))
