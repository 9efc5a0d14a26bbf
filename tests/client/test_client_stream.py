"""client.chat.stream against a real server."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

from maestro.v1 import chat_pb2, error_pb2
from maestro_client import Cancelled, Client, DeadlineExceeded, NotFound, Unavailable, text_of

NOT_FOUND = (
    error_details_pb2.ErrorInfo(
        reason="ERROR_REASON_MODEL_NOT_FOUND", domain="maestro.gateway", metadata={"model": "scripted/x"}
    ),
    error_details_pb2.RequestInfo(request_id="req-9"),
)


async def test_a_stream_is_read_event_by_event_and_folds_on_the_way(client, fake, hello):
    fake.says = hello
    async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
        events = [event async for event in stream]
    assert events == hello
    assert text_of(stream.response) == "Hello, wörld"
    assert stream.response.state == chat_pb2.ChatResponse.STATE_SUCCEEDED
    assert fake.requests[0].messages[0].parts[0].text == "Hi"


async def test_text_alone_comes_as_fragments(client, fake, hello):
    fake.says = hello
    async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
        assert [piece async for piece in stream.text()] == ["Hello, ", "wörld"]


async def test_final_reads_what_is_left(client, fake, hello):
    fake.says = hello
    async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
        await anext(stream)
        assert stream.response.state == chat_pb2.ChatResponse.STATE_RUNNING
        answer = await stream.final()
    assert text_of(answer) == "Hello, wörld"
    assert text_of(await stream.final()) == "Hello, wörld"


async def test_a_stream_needs_no_context_to_be_read(client, fake, hello):
    fake.says = hello
    async with asyncio.timeout(5):
        assert [event async for event in client.chat.stream("Hi")] == hello


async def test_leaving_early_cancels_the_servers_handler(client, fake, script, stalls):
    fake.says = [*script().started().text("one ").events, stalls]
    async with asyncio.timeout(5):
        async with client.chat.stream("Hi") as stream:
            async for piece in stream.text():
                assert piece == "one "
                break
        await fake.hung_up.wait()
        with pytest.raises(Cancelled) as caught:
            await stream.final()
    assert text_of(caught.value.partial) == "one "


async def test_leaving_at_the_last_event_is_no_hang_up(client, fake, hello):
    fake.says = hello
    async with asyncio.timeout(5):
        async with client.chat.stream("Hi") as stream:
            async for event in stream:
                if event.HasField("completed"):
                    break
        await fake.ended.wait()
    assert not fake.hung_up.is_set()


async def test_cancelling_from_another_task_ends_the_reader_with_cancelled(client, fake, script, stalls):
    fake.says = [*script().started().text("one ").events, stalls]
    stream = client.chat.stream("Hi")

    async def read():
        with pytest.raises(Cancelled):
            await stream.final()
        return "still alive"

    async with asyncio.timeout(5):
        reader = asyncio.create_task(read())
        await fake.stalled.wait()
        stream.cancel()
        assert await reader == "still alive"
        await fake.hung_up.wait()


async def test_a_cancelled_task_stays_cancelled_and_cancels_the_call(client, fake, script, stalls):
    fake.says = [*script().started().events, stalls]
    async with asyncio.timeout(5):
        reader = asyncio.create_task(client.chat.stream("Hi").final())
        await fake.stalled.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await fake.hung_up.wait()


async def test_a_task_cancelled_at_any_moment_leaves_no_call_behind(client, fake, script, stalls):
    fake.says = [*script().started().events, stalls]
    async with asyncio.timeout(5):
        await client.chat.get("chats/1")  # connected from here on
        for turns in range(60):
            reader = asyncio.create_task(client.chat.stream("Hi").final())
            for _ in range(turns):
                await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        await client.chat.get("chats/1")
        await fake.idle.wait()
    assert len(fake.requests) > 2


async def test_a_stream_that_was_closed_unread_makes_no_call(client, fake):
    stream = client.chat.stream("Hi")
    await stream.aclose()
    with pytest.raises(Cancelled):
        await stream.final()
    assert fake.requests == []


async def test_a_failure_before_the_first_event_is_typed(client, fake, fails):
    fake.says = [fails(grpc.StatusCode.NOT_FOUND, "no model scripted/x", NOT_FOUND)]
    with pytest.raises(NotFound, match="MODEL_NOT_FOUND: no model") as caught:
        async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
            await stream.final()
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert caught.value.metadata == {"model": "scripted/x"}
    assert caught.value.request_id == "req-9"
    assert caught.value.partial is None


async def test_an_interrupted_stream_raises_with_the_answer_so_far(client, fake, script, fails):
    context = error_pb2.ErrorContext(phase="stream", chat="chats/1")
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_STREAM_BROKEN")
    failure = fails(grpc.StatusCode.UNAVAILABLE, "the provider's stream broke", (info, context))
    usage = {"output_tokens": 3}
    told = script().started().text("half an ans")
    told.add(interrupted=chat_pb2.ChatInterrupted(error=failure.status, usage=usage))
    fake.says = [*told.events, failure]
    stream = client.chat.stream("Hi")
    with pytest.raises(Unavailable) as caught:
        async with asyncio.timeout(5), stream:
            await stream.final()
    error = caught.value
    assert error.reason == "STREAM_BROKEN"
    assert error.context.chat == "chats/1"
    assert error.request_id == "req-1"
    assert not error.retryable
    assert text_of(error.partial) == "half an ans"
    assert error.partial.usage.output_tokens == 3
    assert error.partial.state == chat_pb2.ChatResponse.STATE_FAILED
    with pytest.raises(Unavailable):
        await stream.final()


@pytest.mark.parametrize("cut", ["ok", "bare"])
async def test_a_stream_without_its_last_event_is_broken(client, fake, script, fails, cut):
    fake.says = [*script().started().text("half").events]
    if cut == "bare":
        fake.says.append(fails(grpc.StatusCode.UNAVAILABLE, "socket closed"))
    with pytest.raises(Unavailable) as caught:
        async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
            await stream.final()
    assert caught.value.reason == "STREAM_BROKEN"
    assert not caught.value.retryable
    assert text_of(caught.value.partial) == "half"


async def test_an_answer_without_any_event_is_broken_too(client, fake):
    with pytest.raises(Unavailable, match="STREAM_BROKEN"):
        async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
            await stream.final()


async def test_events_of_a_newer_server_are_skipped_but_counted(client, fake, script):
    newer = chat_pb2.ChatEvent.FromString(chat_pb2.ChatEvent(sequence=4).SerializeToString() + b"\xc2\x3e\x02hi")
    assert newer.WhichOneof("event") is None
    told = script().started().text("a")
    told.events.append(newer)
    told.add(text_delta="b").closed("ab").completed()
    fake.says = told.events
    async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
        seen = [event.WhichOneof("event") async for event in stream]
    assert seen == ["started", "part_started", "text_delta", "text_delta", "part_completed", "completed"]
    assert text_of(stream.response) == "ab"
    assert stream.response.last_sequence == 7


async def test_no_message_is_lost_when_reader_and_writer_race(client, fake, script):
    words = [f"{number} " for number in range(500)]
    fake.says = script().started().text(*words).closed("".join(words)).completed().events
    async with asyncio.timeout(5), client.chat.stream("Hi") as stream:
        await fake.ended.wait()
        assert text_of(await stream.final()) == "".join(words)


async def test_a_deadline_reaches_the_server_and_ends_the_stream(client, fake, script, stalls):
    fake.says = [*script().started().text("one").events, stalls]
    with pytest.raises(DeadlineExceeded) as caught:
        async with asyncio.timeout(5), client.chat.stream("Hi", timeout=0.3) as stream:
            await stream.final()
    assert 0 < fake.remaining < 1
    assert text_of(caught.value.partial) == "one"
    async with asyncio.timeout(5):
        await fake.hung_up.wait()


async def test_a_client_has_a_deadline_for_calls_without_one(fake, hello, key):
    fake.says = hello
    async with asyncio.timeout(5), Client(fake.address, key, timeout=60) as client:
        await client.chat.complete("Hi")
        assert 50 < fake.remaining < 61
        await client.chat.complete("Hi", timeout=7)
        assert 5 < fake.remaining < 8


async def test_closing_the_client_ends_its_streams_and_spares_their_tasks(fake, script, stalls, key):
    fake.says = [*script().started().events, stalls]
    async with asyncio.timeout(5):
        client = Client(fake.address, key)
        reader = asyncio.create_task(client.chat.stream("Hi").final())
        await fake.stalled.wait()
        await client.close()
        await fake.hung_up.wait()
        with pytest.raises(Cancelled):
            await reader
