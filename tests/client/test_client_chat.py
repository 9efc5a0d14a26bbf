"""client.chat and client.capabilities against a real server; and what their messages are made of."""

import asyncio
import inspect
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_client import (
    BlockingClient,
    Cancelled,
    Client,
    InvalidRequest,
    assistant,
    function,
    image,
    system,
    text_of,
    tool_calls_of,
    tool_result,
    user,
)
from maestro_client.blocking import BlockingCapabilities, BlockingChat, BlockingEmbeddings
from maestro_client.capability import Capabilities
from maestro_client.chat import Chat
from maestro_client.embedding import Embeddings

SERVICES = [
    (chat_pb2, "ChatService", Chat, BlockingChat),
    (embedding_pb2, "EmbeddingService", Embeddings, BlockingEmbeddings),
    (capability_pb2, "CapabilityService", Capabilities, BlockingCapabilities),
]


@pytest.mark.parametrize(("module", "service", "kind", "blocking"), SERVICES)
def test_every_rpc_has_a_method_in_both_clients(module, service, kind, blocking):
    rpcs = module.DESCRIPTOR.services_by_name[service].methods_by_name
    assert set(kind.RPCS) == set(rpcs)
    for method in kind.RPCS.values():
        assert inspect.getdoc(getattr(kind, method))
        assert list(inspect.signature(getattr(kind, method)).parameters) == list(
            inspect.signature(getattr(blocking, method)).parameters
        )


def test_both_clients_take_the_same_arguments():
    assert inspect.signature(Client) == inspect.signature(BlockingClient)


async def test_complete_takes_text_messages_or_a_request(client, fake, hello):
    fake.says = hello
    request = chat_pb2.ChatRequest(model="a/b", messages=[user("Hi")], end_user="me")
    async with asyncio.timeout(5):
        assert text_of(await client.chat.complete("Hi")) == "Hello, wörld"
        await client.chat.complete([system("Be brief"), user("Hi")], model="c/d")
        await client.chat.complete(request)
        await client.chat.complete(request, model="e/f")
    one, two, three, four = fake.requests
    assert one == chat_pb2.ChatRequest(messages=[user("Hi")])
    assert [message.role for message in two.messages] == [content_pb2.ROLE_SYSTEM, content_pb2.ROLE_USER]
    assert two.model == "c/d"
    assert three == request
    assert (four.model, four.end_user, request.model) == ("e/f", "me", "a/b")


async def test_a_failed_answer_is_typed(client, fake, fails):
    broken = error_details_pb2.BadRequest(field_violations=[{"field": "generation.temperature"}])
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_INVALID_FIELD")
    fake.says = [fails(grpc.StatusCode.INVALID_ARGUMENT, "mend it", (info, broken))]
    with pytest.raises(InvalidRequest) as caught:
        async with asyncio.timeout(5):
            await client.chat.complete("Hi")
    assert caught.value.violations[0].field == "generation.temperature"


async def test_cancelling_the_task_cancels_the_call(client, fake, stalls):
    fake.says = [stalls]
    async with asyncio.timeout(5):
        asking = asyncio.create_task(client.chat.complete("Hi"))
        await fake.stalled.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await fake.hung_up.wait()


async def test_closing_the_client_ends_a_call_and_spares_its_task(fake, stalls, key):
    fake.says = [stalls]
    client = Client(fake.address, key)
    async with asyncio.timeout(5):
        asking = asyncio.create_task(client.chat.complete("Hi"))
        await fake.stalled.wait()
        await client.close()
        with pytest.raises(Cancelled):
            await asking


async def test_the_other_verbs_ask_what_they_say(client, fake):
    async with asyncio.timeout(5):
        assert (await client.chat.plan("Hi", model="a/b")).model == "a/b"
        assert (await client.chat.count_tokens("Hi")).input_tokens == 7
        assert (await client.chat.get("chats/1")).chat == "chats/1"
        assert (await client.chat.cancel("chats/2", reason="enough")).chat == "chats/2"
        assert await client.chat.delete("chats/3") is None
    assert fake.requests[-2:] == [
        chat_pb2.CancelChatRequest(chat="chats/2", reason="enough"),
        chat_pb2.DeleteChatRequest(chat="chats/3"),
    ]


async def test_lists_are_walked_page_by_page(client, fake):
    async with asyncio.timeout(5):
        models = [model.name async for model in client.capabilities.list_models(page_size=2, filter="x")]
        providers = [provider.name async for provider in client.capabilities.list_providers()]
        assert (await client.capabilities.get_model("default")).name == "default"
    assert models == [f"models/scripted/{page}{letter}" for page in range(3) for letter in "ab"]
    assert providers == ["providers/scripted", "providers/other"]
    assert all(request.filter == "x" and request.page_size == 2 for request in fake.requests[:3])


def test_messages_are_made_from_text_and_parts():
    picture = image(b"\x89PNG", "image/png", detail="low")
    message = user("What is this?", picture)
    assert message.role == content_pb2.ROLE_USER
    assert message.parts[0].text == "What is this?"
    assert message.parts[1].media.data == b"\x89PNG"
    assert message.parts[1].media.modality == common_pb2.MODALITY_IMAGE
    assert image("https://pictures.example/1.png").media.uri == "https://pictures.example/1.png"
    assert assistant("Yes").role == content_pb2.ROLE_ASSISTANT
    with pytest.raises(ValueError, match="mime_type"):
        image(b"\x89PNG")


def test_a_tool_result_answers_its_call():
    message = tool_result("c1", "12 degrees", name="weather")
    assert message.role == content_pb2.ROLE_TOOL
    result = message.parts[0].tool_result
    assert (result.tool_call_id, result.name, result.content[0].text, result.is_error) == (
        "c1",
        "weather",
        "12 degrees",
        False,
    )


def test_a_function_has_a_schema_as_text():
    assert function("f", "does", {"type": "object"}).function.input_schema_json == '{"type": "object"}'
    assert function("f", "does", "{}").function.input_schema_json == "{}"


def test_the_callers_tool_calls_are_found():
    calls = [
        content_pb2.ToolCall(id="1"),
        content_pb2.ToolCall(id="2", executor=content_pb2.TOOL_EXECUTOR_CLIENT),
        content_pb2.ToolCall(id="3", executor=content_pb2.TOOL_EXECUTOR_PROVIDER),
    ]
    parts = [content_pb2.Part(text="let me see"), *(content_pb2.Part(tool_call=call) for call in calls)]
    answer = chat_pb2.ChatResponse(messages=[content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=parts)])
    assert [call.id for call in tool_calls_of(answer)] == ["1", "2"]
    assert text_of(answer) == "let me see"


def test_what_the_readme_shows_is_an_example_that_runs():
    root = Path(__file__).parents[2]
    shown = (root / "clients/python/README.md").read_text().split("```python\n")[1].split("```")[0]
    assert shown == (root / "examples/chat.py").read_text()
