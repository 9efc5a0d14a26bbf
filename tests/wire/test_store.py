"""Answers that are kept, over the wire: read, continued, cancelled, deleted, and nobody else's."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest

from maestro.v1 import chat_pb2, content_pb2
from maestro_stream.fold import fold
from tests.doubles.asking import ask, interrupted, refused
from tests.doubles.gateway import BEARER, Wire, wired

OTHER = (("authorization", "Bearer key-of-another"),)
YAML = """
keys: [{name: another, secret: env:ANOTHER, tenant: another}]
chats: {keep_bytes: 2 KiB}
"""


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncGenerator[Wire]:
    async with wired(tmp_path, YAML, environ={"ANOTHER": "key-of-another"}) as made:
        yield made


async def read(wire: Wire, chat: str, metadata: tuple[tuple[str, str], ...] = BEARER) -> chat_pb2.ChatResponse:
    answer = await wire.chat.GetChat(chat_pb2.GetChatRequest(chat=chat), metadata=metadata)
    return answer.response


async def gone(wire: Wire, chat: str, metadata: tuple[tuple[str, str], ...] = BEARER) -> None:
    """For every method that names a chat it does not exist."""
    for call in (
        wire.chat.GetChat(chat_pb2.GetChatRequest(chat=chat), metadata=metadata),
        wire.chat.CancelChat(chat_pb2.CancelChatRequest(chat=chat), metadata=metadata),
        wire.chat.DeleteChat(chat_pb2.DeleteChatRequest(chat=chat), metadata=metadata),
        wire.chat.CompleteChat(ask(previous_chat=chat), metadata=metadata),
    ):
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
        assert answer.info.metadata["resource"] == chat


async def test_a_kept_answer_is_read_as_it_was(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask("keep me", store=True), metadata=BEARER)
    assert await read(wire, whole.chat) == whole
    events = [event async for event in wire.chat.StreamChat(ask("me too", store=True), metadata=BEARER)]
    assert await read(wire, events[0].started.chat) == fold(events)


async def test_an_answer_that_nobody_asked_to_keep_is_gone(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask("forget me"), metadata=BEARER)
    await gone(wire, whole.chat)


async def test_a_deleted_answer_is_gone(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask(store=True), metadata=BEARER)
    await wire.chat.DeleteChat(chat_pb2.DeleteChatRequest(chat=whole.chat), metadata=BEARER)
    await gone(wire, whole.chat)


@pytest.mark.parametrize("name", ["chats/none", "sessions/1", "x", "chats/" + "é" * 5000])
async def test_a_name_that_nobody_has_is_not_found(wire: Wire, name: str) -> None:
    answer = await refused(wire.chat.GetChat(chat_pb2.GetChatRequest(chat=name), metadata=BEARER))
    assert answer.reason == "RESOURCE_NOT_FOUND"
    assert answer.size <= 4096


async def test_a_kept_answer_does_not_exist_for_another_tenant(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask("mine", store=True), metadata=BEARER)
    await gone(wire, whole.chat, OTHER)
    assert (await read(wire, whole.chat)).chat == whole.chat
    theirs = await wire.chat.CompleteChat(ask("theirs", store=True), metadata=OTHER)
    await gone(wire, theirs.chat, BEARER)
    assert (await read(wire, theirs.chat, OTHER)).chat == theirs.chat


async def test_a_running_answer_is_read_as_far_as_it_is_and_not_by_another_tenant(wire: Wire) -> None:
    call = wire.chat.StreamChat(ask(script=[{"text": "so far"}, {"stall": True}]), metadata=BEARER)
    async with asyncio.timeout(5):
        async for event in call:
            if event.text_delta:
                break
        chat = dict(await call.initial_metadata())["x-maestro-chat"]
        partial = await read(wire, chat)
        assert partial.state == chat_pb2.ChatResponse.STATE_RUNNING
        assert partial.messages[0].parts[0].text == "so far"
        await gone(wire, chat, OTHER)
        running = await refused(wire.chat.DeleteChat(chat_pb2.DeleteChatRequest(chat=chat), metadata=BEARER))
        assert running.reason == "INVALID_STATE"
        call.cancel()


async def test_what_came_before_a_failure_is_kept(wire: Wire) -> None:
    request = ask(script=[{"text": "half"}, {"fail": {"reason": "PROVIDER_UNAVAILABLE"}}], store=True)
    events, answer = await interrupted(wire.chat.StreamChat(request, metadata=BEARER))
    kept = await read(wire, events[0].started.chat)
    assert kept.state == chat_pb2.ChatResponse.STATE_FAILED
    assert kept.messages[0].parts[0].text == "half"
    assert kept.error == answer.status
    assert answer.context.chat == kept.chat


async def test_a_cancelled_answer_is_kept_as_it_was_stopped(wire: Wire) -> None:
    call = wire.chat.StreamChat(ask(script=[{"text": "half"}, {"stall": True}], store=True), metadata=BEARER)
    async with asyncio.timeout(5):
        chat = dict(await call.initial_metadata())["x-maestro-chat"]
        stopped = await wire.chat.CancelChat(chat_pb2.CancelChatRequest(chat=chat), metadata=BEARER)
        await interrupted(call)
        await wire.gateway.envelope.empty()
    assert stopped.response.state == chat_pb2.ChatResponse.STATE_CANCELLED
    assert stopped.response.usage.total_tokens
    assert await read(wire, chat) == stopped.response


async def test_a_whole_answer_that_is_awaited_can_be_cancelled_too(wire: Wire) -> None:
    call = wire.chat.CompleteChat(ask(script=[{"text": "half"}, {"stall": True}]), metadata=BEARER)
    pending = asyncio.ensure_future(refused(call))
    async with asyncio.timeout(5):
        while not (names := list(wire.gateway.chats._running)):
            await asyncio.sleep(0)
        stopped = await wire.chat.CancelChat(chat_pb2.CancelChatRequest(chat=names[0]), metadata=BEARER)
        assert (await pending).reason == "CANCELLED_BY_OTHER"
    assert stopped.response.chat in {"", names[0]}


async def test_the_next_request_continues_a_kept_answer(wire: Wire) -> None:
    first = await wire.chat.CompleteChat(ask("my name is Ann", store=True), metadata=BEARER)
    alone = await wire.chat.CompleteChat(ask("and now?"), metadata=BEARER)
    second = await wire.chat.CompleteChat(ask("and now?", previous_chat=first.chat, store=True), metadata=BEARER)
    third = await wire.chat.CompleteChat(ask("and now?", previous_chat=second.chat), metadata=BEARER)
    assert alone.usage.input_tokens < second.usage.input_tokens < third.usage.input_tokens


async def test_a_kept_answer_is_continued_without_another_word(wire: Wire) -> None:
    first = await wire.chat.CompleteChat(ask("hello", store=True), metadata=BEARER)
    again = await wire.chat.CompleteChat(chat_pb2.ChatRequest(previous_chat=first.chat), metadata=BEARER)
    assert again.messages == first.messages, "the last thing that a user said is still the same"


async def test_the_result_of_a_tool_continues_the_call_that_asked_for_it(wire: Wire) -> None:
    script = [{"tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}]}]
    tool = chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="weather"))
    first = await wire.chat.CompleteChat(ask("weather?", script, tools=[tool], store=True), metadata=BEARER)
    assert first.state == chat_pb2.ChatResponse.STATE_AWAITING_TOOLS
    request = chat_pb2.ChatRequest(previous_chat=first.chat, tools=[tool])
    message = request.messages.add(role=content_pb2.ROLE_TOOL)
    message.parts.add().tool_result.tool_call_id = "c1"
    message.parts[0].tool_result.content.add(text="rain")
    second = await wire.chat.CompleteChat(request, metadata=BEARER)
    assert "rain" in second.messages[0].parts[0].text


async def test_the_oldest_answers_give_way_where_there_are_too_many(wire: Wire) -> None:
    names = []
    for number in range(12):
        whole = await wire.chat.CompleteChat(ask(f"{number} " + "x" * 200, store=True), metadata=BEARER)
        names.append(whole.chat)
    await gone(wire, names[0])
    assert (await read(wire, names[-1])).chat == names[-1]


async def test_an_answer_larger_than_everything_that_may_be_kept_is_not(wire: Wire) -> None:
    small = await wire.chat.CompleteChat(ask("small", store=True), metadata=BEARER)
    large = await wire.chat.CompleteChat(ask("x" * 5000, store=True), metadata=BEARER)
    await gone(wire, large.chat)
    assert (await read(wire, small.chat)).chat == small.chat, "and it pushes nobody out"
