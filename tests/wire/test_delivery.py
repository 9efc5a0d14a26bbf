"""How events reach a reader over the wire: joined, padded, with signs of life, and never one of them lost."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from maestro.v1 import chat_pb2, chat_pb2_grpc
from maestro_stream.fold import fold
from maestro_stream.grammar import check
from tests.doubles.asking import ask
from tests.doubles.gateway import BEARER, Wire, wired

WORDS = [f"word{number} " for number in range(20)]
Event = chat_pb2.ChatEvent


async def read(wire: Wire, request: chat_pb2.ChatRequest) -> list[Event]:
    async with asyncio.timeout(10):
        events = [event async for event in wire.chat.StreamChat(request, metadata=BEARER)]
    check(events)
    return events


def texts(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.HasField("text_delta")]


def fragments(events: Sequence[Event]) -> int:
    return sum(1 + event.merged for event in texts(events))


async def test_without_a_window_a_reader_who_keeps_up_gets_each_fragment_at_once(wire: Wire) -> None:
    events = await read(wire, ask(script=[{"text": WORDS[:5], "every": 0.02}]))
    assert [event.text_delta for event in texts(events)] == WORDS[:5]


async def test_a_window_joins_fragments_and_their_numbers_say_so(wire: Wire) -> None:
    window = chat_pb2.StreamOptions(coalesce_window=timedelta(milliseconds=200))
    events = await read(wire, ask(script=[{"text": WORDS, "every": 0.01}], stream=window))
    assert len(texts(events)) <= 5
    assert fragments(events) == len(WORDS)
    assert fold(events).messages[0].parts[0].text == "".join(WORDS)


async def test_a_window_ends_at_the_size_that_was_asked_for(wire: Wire) -> None:
    window = chat_pb2.StreamOptions(coalesce_window=timedelta(milliseconds=900), coalesce_bytes=40)
    events = await read(wire, ask(script=[{"text": WORDS, "every": 0.01}], stream=window))
    assert len(texts(events)) >= 3, "it did not wait for the end of the window"
    assert all(len(event.text_delta) >= 30 for event in texts(events)[:-1])


async def test_a_window_holds_nothing_back_but_text(wire: Wire) -> None:
    window = chat_pb2.StreamOptions(coalesce_window=timedelta(milliseconds=999))
    request = ask(script=[{"text": "a"}, {"tool_calls": [{"name": "t"}]}, {"text": "b"}], stream=window)
    loop = asyncio.get_running_loop()
    before = loop.time()
    events = await read(wire, request)
    assert loop.time() - before < 0.9
    assert [event.text_delta for event in texts(events)] == ["a", "b"]


async def test_padding_makes_all_deltas_one_of_few_sizes(wire: Wire) -> None:
    lengths = ["x" * size for size in range(1, 130)]
    request = ask(script=[{"text": lengths, "every": 0.001}], stream=chat_pb2.StreamOptions(pad=True))
    events = await read(wire, request)
    assert {event.ByteSize() % 64 for event in texts(events)} == {0}
    assert fold(events).messages[0].parts[0].text == "".join(lengths)
    assert len({event.padding for event in texts(events)}) == len(texts(events)), "random each time"


async def test_without_asking_nothing_is_padded(wire: Wire) -> None:
    assert not any(event.padding for event in await read(wire, ask()))


async def test_silence_is_broken_by_heartbeats_that_count(wire: Wire) -> None:
    beat = chat_pb2.StreamOptions(heartbeat=timedelta(milliseconds=40))
    events = await read(wire, ask(script=[{"text": "a"}, {"delay": 0.25}, {"text": "b"}], stream=beat))
    beats = [event for event in events if event.HasField("heartbeat")]
    assert 2 <= len(beats) <= 8
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert fold(events).messages[0].parts[0].text == "ab"


async def test_before_the_answer_has_started_there_is_no_heartbeat(wire: Wire) -> None:
    beat = chat_pb2.StreamOptions(heartbeat=timedelta(milliseconds=20))
    events = await read(wire, ask(script=[{"delay": 0.1}, {"text": "a"}], stream=beat))
    assert events[0].HasField("started")


async def test_the_whole_answer_is_the_fold_of_the_events_before(wire: Wire) -> None:
    events = await read(wire, ask("hi", include=[chat_pb2.CHAT_INCLUDE_FINAL_RESPONSE], store=True))
    whole = chat_pb2.ChatResponse()
    whole.CopyFrom(events[-1].completed.response)
    events[-1].completed.ClearField("response")
    assert fold(events) == whole
    assert not (await read(wire, ask("hi")))[-1].completed.HasField("response")
    kept = await wire.chat.GetChat(chat_pb2.GetChatRequest(chat=whole.chat), metadata=BEARER)
    assert kept.response == whole


async def test_raw_events_come_only_where_they_were_asked_for(wire: Wire) -> None:
    script = [{"provider_event": {"type": "raw", "json": {"a": 1}}}, {"text": "x"}]
    plain = await read(wire, ask(script=script))
    asked = await read(wire, ask(script=script, include=[chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS]))
    assert not any(event.HasField("provider_event") for event in plain)
    (raw,) = [event.provider_event for event in asked if event.HasField("provider_event")]
    assert (raw.type, raw.json) == ("raw", '{"a":1}')


async def test_a_value_of_an_enum_that_nobody_knows_changes_nothing(wire: Wire) -> None:
    request = ask("hi", stream=chat_pb2.StreamOptions())
    request.include.append(99)
    request.output_modalities.append(77)
    whole = await wire.chat.CompleteChat(request, metadata=BEARER)
    assert whole.finish_reason == chat_pb2.FINISH_REASON_STOP


async def test_a_field_that_nobody_knows_changes_nothing(wire: Wire) -> None:
    data = ask("hi").SerializeToString() + b"\xfa\x7d\x03new"  # field 2015, a text
    call = wire.channel.unary_unary(
        "/maestro.v1.ChatService/CompleteChat", response_deserializer=chat_pb2.ChatResponse.FromString
    )
    assert (await call(data, metadata=BEARER)).finish_reason == chat_pb2.FINISH_REASON_STOP


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncGenerator[Wire]:
    """A channel that takes in little, so that a reader who stops is soon felt by the writer."""
    async with wired(tmp_path) as made:
        options = [("grpc.http2.lookahead_bytes", 4096), ("grpc.http2.bdp_probe", 0)]
        async with grpc.aio.insecure_channel(made.address, options=options) as channel:
            yield Wire(made.gateway, channel)


async def test_what_waits_for_a_slow_reader_is_joined_and_nothing_is_lost(narrow: Wire) -> None:
    count, of = 40_000, "x" * 150
    request = ask(script=[{"text": {"repeat": count, "of": of}}])
    stub = chat_pb2_grpc.ChatServiceStub(narrow.channel)
    async with asyncio.timeout(20):
        call = stub.StreamChat(request, metadata=BEARER)
        events = [await call.read()]
        seen = -1
        while seen != (seen := _buffered(narrow)):  # until the writer has been stopped by us
            await asyncio.sleep(0.05)
        assert 0 < seen < count
        while event := await call.read():
            events.append(event)
    check(events)
    assert fragments(events) == count
    assert len(texts(events)) < count / 4, "fragments that waited were joined"
    assert len(fold(events).messages[0].parts[0].text) == count * len(of)
    assert events[-1].sequence == sum(1 + event.merged for event in events)


def _buffered(wire: Wire) -> int:
    return sum(running._sequence for _, running in wire.gateway.chats._running.values())


async def test_a_reader_who_leaves_half_way_stops_the_answer(wire: Wire) -> None:
    request = ask(script=[{"text": {"repeat": 100_000, "of": "x"}}, {"stall": True}])
    async with asyncio.timeout(5):
        async with aclosing(_some(wire, request, 3)) as events:
            assert len([event async for event in events]) == 3
        await wire.gateway.envelope.empty()
    assert not wire.gateway.chats._running


async def _some(wire: Wire, request: chat_pb2.ChatRequest, count: int) -> AsyncGenerator[Event]:
    call = wire.chat.StreamChat(request, metadata=BEARER)
    try:
        for _ in range(count):
            yield await call.read()
    finally:
        call.cancel()
