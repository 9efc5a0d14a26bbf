"""ChatService over the wire."""

import asyncio
import json
from typing import Any

import grpc

from maestro.v1 import chat_pb2, content_pb2
from maestro_stream.fold import fold
from maestro_stream.grammar import check
from tests.doubles.gateway import BEARER, Wire


def ask(text: str, script: object = None, **fields: object) -> chat_pb2.ChatRequest:
    request = chat_pb2.ChatRequest(
        messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])], **fields
    )
    if script is not None:
        request.provider_options_json["scripted"] = json.dumps(script)
    return request


async def heard(call: Any) -> list[chat_pb2.ChatEvent]:
    """What is left to read, whatever the call ends with."""
    events = []
    try:
        while (event := await call.read()) is not grpc.aio.EOF:
            events.append(event)
    except grpc.aio.AioRpcError:
        pass
    return events


async def test_the_whole_answer_is_the_fold_of_the_stream(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask("Good morning"), metadata=BEARER)
    events = [event async for event in wire.chat.StreamChat(ask("Good morning"), metadata=BEARER)]
    check(events)
    folded = fold(events)
    assert folded.messages == whole.messages
    assert folded.finish_reason == whole.finish_reason == chat_pb2.FINISH_REASON_STOP
    assert folded.usage == whole.usage


async def test_the_headers_come_with_the_first_event(wire: Wire) -> None:
    call = wire.chat.StreamChat(ask("hi"), metadata=(*BEARER, ("x-request-id", "abc-1")))
    started = (await call.read()).started
    headers = dict(await call.initial_metadata())
    assert headers["x-request-id"] == "abc-1" == started.request_id
    assert headers["x-maestro-chat"] == started.chat


async def test_the_headers_of_a_whole_answer_come_behind_it(wire: Wire) -> None:
    call = wire.chat.CompleteChat(ask("hi"), metadata=(*BEARER, ("x-request-id", "abc-1")))
    answer = await call
    trailers = dict(await call.trailing_metadata())
    assert trailers["x-request-id"] == "abc-1"
    assert trailers["x-maestro-chat"] == answer.chat
    assert trailers["x-maestro-deadline"] == "600s"


async def test_a_stalled_answer_ends_at_its_own_time_limit(wire: Wire) -> None:
    request = ask("hi", [{"text": "one "}, {"stall": True}])
    request.timeouts.total.FromMilliseconds(200)
    call = wire.chat.StreamChat(request, metadata=BEARER, timeout=5)
    events = await heard(call)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    check(events)
    assert events[-1].interrupted.error.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def test_another_call_can_stop_a_running_answer(wire: Wire) -> None:
    call = wire.chat.StreamChat(ask("hi", [{"text": "one "}, {"stall": True}], store=True), metadata=BEARER)
    chat = (await call.read()).started.chat
    async with asyncio.timeout(5):
        stopped = await wire.chat.CancelChat(chat_pb2.CancelChatRequest(chat=chat), metadata=BEARER)
        assert stopped.response.state == chat_pb2.ChatResponse.STATE_CANCELLED
        await heard(call)
    assert await call.code() is grpc.StatusCode.CANCELLED
