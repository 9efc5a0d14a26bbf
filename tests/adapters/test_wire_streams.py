import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_adapters.wire import aws_events
from maestro_adapters.wire.aws_events import MessageSplitter
from maestro_adapters.wire.bounds import Unreadable
from maestro_adapters.wire.ndjson import LineSplitter
from maestro_adapters.wire.sse import COMMENT, EventSplitter

line = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=20)
ending = st.sampled_from(["\n", "\r\n", "\r"])


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def fed(splitter: Any, pieces: Sequence[bytes]) -> list[Any]:
    told = [event for piece in pieces for event in splitter.feed(piece)]
    return told + (splitter.close() if hasattr(splitter, "close") else [])


@given(
    events=st.lists(st.tuples(line, st.lists(line, min_size=1, max_size=3))), end=ending, cuts=st.lists(st.integers(0))
)
def test_events_are_the_same_however_the_bytes_were_split(events, end, cuts):
    written, wanted = "", []
    for name, lines in events:
        written += f"event: {name}{end}" if name else ""
        written += "".join(f"data: {text}{end}" for text in lines) + end
        wanted.append((name.encode(), "\n".join(lines).encode()))
    assert fed(EventSplitter(), split(written.encode(), cuts)) == wanted


@given(lines=st.lists(line), end=st.sampled_from(["\n", "\r\n"]), cuts=st.lists(st.integers(0)))
def test_lines_are_the_same_however_the_bytes_were_split(lines, end, cuts):
    wanted = [stripped for text in lines if (stripped := text.encode().strip())]
    assert fed(LineSplitter(), split(end.join(lines).encode(), cuts)) == wanted


@given(payloads=st.lists(st.binary(max_size=60)), cuts=st.lists(st.integers(0)))
def test_messages_are_the_same_however_the_bytes_were_split(payloads, cuts):
    written = b"".join(aws_events.encode({":event-type": "chunk"}, payload) for payload in payloads)
    splitter = MessageSplitter()
    assert [(told.type, told.payload) for told in fed(splitter, split(written, cuts))] == [
        ("chunk", payload) for payload in payloads
    ]
    assert not splitter.torn


@pytest.mark.parametrize(
    ("written", "events"),
    [
        (b"data:no space\n\n", [(b"", b"no space")]),
        (b"data:  two spaces\n\n", [(b"", b" two spaces")]),
        (b"data\n\n", [(b"", b"")]),
        (b"\xef\xbb\xbfdata: after a mark\n\n", [(b"", b"after a mark")]),
        (b": a comment\n\ndata: x\n\n", [(COMMENT, b"a comment"), (b"", b"x")]),
        (b"id: 7\nretry: 10\nevent: e\ndata: x\n\n", [(b"e", b"x")]),
        (b"event: nothing\n\n", []),
        (b"\n\n\ndata: x\n\n\n\n", [(b"", b"x")]),
        (b"data: the end is missing", [(b"", b"the end is missing")]),
        (b"data: half an end\n", [(b"", b"half an end")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [(b"", b"a"), (b"", b"b"), (b"", b"c")]),
        (b"", []),
    ],
)
def test_what_else_an_event_stream_may_hold(written, events):
    for size in (1, 2, 3, 7, len(written) or 1):
        pieces = [written[at : at + size] for at in range(0, len(written), size)]
        assert fed(EventSplitter(), pieces) == events


@pytest.mark.parametrize("make", [EventSplitter, LineSplitter])
def test_what_never_ends_is_not_held_forever(make: Callable[[int], Any]):
    splitter = make(100)
    for _ in range(12):
        splitter.feed(b"data: xx")
    with pytest.raises(Unreadable, match="more than 100 bytes"):
        splitter.feed(b"data: xx")


def test_an_event_may_be_as_long_as_the_bound():
    long = b"x" * 90
    assert EventSplitter(100).feed(b"data: " + long + b"\n\n") == [(b"", long)]


def test_a_message_says_what_it_is_and_whether_it_failed():
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    [message] = MessageSplitter().feed(aws_events.encode(headers, b"{}"))
    assert message.failed
    assert message.type == "throttlingException"


def test_headers_of_every_type_are_read():
    fields = b"\x01a\x00" + b"\x01b\x01" + b"\x01c\x02\xff" + b"\x01d\x05" + (7).to_bytes(8, "big")
    fields += b"\x01e\x06\x00\x02xy" + b"\x01f\x07\x00\x02xy"
    whole = aws_events.encode({}, b"")
    lengths = (len(whole) + len(fields)).to_bytes(4, "big") + len(fields).to_bytes(4, "big")
    written = lengths + aws_events.crc32(lengths).to_bytes(4, "big") + fields
    [message] = MessageSplitter().feed(written + aws_events.crc32(written).to_bytes(4, "big"))
    assert message.headers == {"a": True, "b": False, "c": -1, "d": 7, "e": b"xy", "f": "xy"}


def test_one_bit_that_fell_over_is_noticed():
    written = aws_events.encode({":event-type": "chunk"}, b"some payload")
    dice = random.Random(1)
    for _ in range(50):
        broken = bytearray(written)
        broken[dice.randrange(len(written))] ^= 1 << dice.randrange(8)
        with pytest.raises(Unreadable):
            MessageSplitter().feed(bytes(broken))


def test_a_message_larger_than_the_bound_is_refused_by_its_length_alone():
    written = aws_events.encode({}, b"x" * 1000)
    with pytest.raises(Unreadable):
        MessageSplitter(500).feed(written[:20])
