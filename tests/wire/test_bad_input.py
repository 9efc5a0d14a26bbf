"""Bad input over the wire: every mistake is named, nothing is lost, the server lives."""

import asyncio
import math
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2
from maestro_gateway.services.descriptors import Descriptors
from tests.doubles.asking import Told, ask, refused
from tests.doubles.broken_requests import broken_requests
from tests.doubles.gateway import BEARER, Wire, wired

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
CONTRACT = Descriptors()
METHODS = [name for name, _ in CONTRACT.methods()]
CHAT = "maestro.v1.ChatService/CompleteChat"
OVERSIZED = 65 * 2**20
OVER_THE_TRANSPORT = 100 * 2**20


async def send(wire: Wire, method: str, data: bytes, metadata: Any = BEARER, **how: Any) -> bytes:
    """These bytes, whatever they are, to a method; of a stream, its first message."""
    if method.endswith("/StreamChat"):
        stream: Any = wire.channel.unary_stream(f"/{method}")(data, metadata=metadata, **how)
        async for first in stream:
            return first
    answer: bytes = await wire.channel.unary_unary(f"/{method}")(data, metadata=metadata, **how)
    return answer


async def still_answers(wire: Wire) -> None:
    answer = await wire.chat.CompleteChat(ask("still there?"), metadata=BEARER)
    assert "still there?" in answer.messages[0].parts[0].text
    await wire.gateway.envelope.empty()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    async with wired(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def lives(wire: Wire) -> AsyncGenerator[None]:
    """After whatever a test has sent, the same server answers the same channel."""
    yield
    async with asyncio.timeout(5):
        await still_answers(wire)


def says_where(answer: Told, path: str) -> None:
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert path in answer.fields
    assert answer.size <= 4096


@pytest.mark.parametrize("method", METHODS)
async def test_every_rule_of_the_proto_answers_with_the_path_that_breaks_it(wire: Wire, method: str) -> None:
    async with asyncio.timeout(5):
        for broken in broken_requests(method):
            says_where(await refused(send(wire, method, broken.data)), broken.path)


async def test_rules_are_found_where_there_are_some() -> None:
    assert len(list(broken_requests(CHAT))) > 30


def chat(change: Callable[[chat_pb2.ChatRequest], object]) -> chat_pb2.ChatRequest:
    request = ask("hi")
    change(request)
    return request


def part(**kind: Any) -> Callable[[chat_pb2.ChatRequest], object]:
    return lambda request: request.messages[0].parts.append(content_pb2.Part(**kind))


def tools(*names: str) -> Callable[[chat_pb2.ChatRequest], object]:
    specs = [chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name=name)) for name in names]
    return lambda request: request.tools.extend(specs)


def timer(group: str, field: str, seconds: int = 0, nanos: int = 0) -> Callable[[chat_pb2.ChatRequest], object]:
    def change(request: chat_pb2.ChatRequest) -> None:
        duration = getattr(getattr(request, group), field)
        duration.seconds, duration.nanos = seconds, nanos

    return change


def merged(**fields: Any) -> Callable[[chat_pb2.ChatRequest], object]:
    return lambda request: request.MergeFrom(chat_pb2.ChatRequest(**fields))


def option(text: str) -> Callable[[chat_pb2.ChatRequest], object]:
    return lambda request: request.provider_options_json.update({"scripted": text})


LOGPROBS = chat_pb2.GenerationConfig(top_logprobs=3)
REQUIRED = chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_REQUIRED)
BOTH = chat_pb2.ReasoningConfig(effort=chat_pb2.REASONING_EFFORT_LOW, max_tokens=5)
MISTAKES: dict[str, tuple[Callable[[chat_pb2.ChatRequest], object], str]] = {
    "no messages": (lambda request: request.ClearField("messages"), "messages"),
    "no parts": (lambda request: request.messages.add(role=content_pb2.ROLE_USER), "messages[1].parts"),
    "an empty part": (part(), "messages[0].parts[1]"),
    "a tool call by the user": (part(tool_call=content_pb2.ToolCall(id="c")), "messages[0].parts[1].tool_call"),
    "media from nowhere": (part(media=content_pb2.Media(mime_type="image/png")), "messages[0].parts[1].media"),
    "a result by the user": (
        part(tool_result=content_pb2.ToolResult(tool_call_id="c")),
        "messages[0].parts[1].tool_result",
    ),
    "a result of no call": (
        lambda request: request.messages.add(
            role=content_pb2.ROLE_TOOL,
            parts=[content_pb2.Part(tool_result=content_pb2.ToolResult(tool_call_id="c"))],
        ),
        "messages[1].parts[0].tool_result.tool_call_id",
    ),
    "text by a tool": (
        lambda request: request.messages.add(role=content_pb2.ROLE_TOOL, parts=[content_pb2.Part(text="x")]),
        "messages[1].parts[0]",
    ),
    "instructions that are no text": (
        lambda request: request.system.add(refusal="no"),
        "system[0]",
    ),
    "a tool of no kind": (lambda request: request.tools.add(), "tools[0]"),
    "two tools of one name": (tools("a", "a"), "tools[1].function.name"),
    "a tool is required and none is there": (merged(tool_choice=REQUIRED), "tool_choice.mode"),
    "an allowed tool that is not there": (
        merged(tool_choice=chat_pb2.ToolChoice(allowed_tools=["b"])),
        "tool_choice.allowed_tools[0]",
    ),
    "effort and max_tokens": (merged(reasoning=BOTH), "reasoning.max_tokens"),
    "less than no reasoning": (merged(reasoning=chat_pb2.ReasoningConfig(max_tokens=-1)), "reasoning.max_tokens"),
    "a need without a name": (merged(requires=[common_pb2.CapabilityRequirement()]), "requires[0]"),
    "a need with two names": (
        merged(requires=[common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_TOOLS, extension="x")]),
        "requires[0]",
    ),
    "less than no money": (merged(limits=chat_pb2.ChatLimits(max_cost_nanos=-1)), "limits.max_cost_nanos"),
    "less than no tokens": (merged(limits=chat_pb2.ChatLimits(max_total_tokens=-1)), "limits.max_total_tokens"),
    "less than no bytes": (merged(stream=chat_pb2.StreamOptions(coalesce_bytes=-1)), "stream.coalesce_bytes"),
    "logprobs that are not returned": (merged(generation=LOGPROBS), "generation.top_logprobs"),
    "a window that is too long": (timer("stream", "coalesce_window", seconds=1), "stream.coalesce_window"),
    "time backwards": (timer("timeouts", "total", seconds=-1), "timeouts.total"),
    "nanoseconds backwards": (timer("timeouts", "idle", nanos=-1), "timeouts.idle"),
    "no time at all": (timer("timeouts", "attempt", nanos=1), "timeouts.attempt"),
    "a heartbeat without a rest": (timer("stream", "heartbeat", nanos=999_999), "stream.heartbeat"),
    "a cache backwards": (timer("cache", "ttl", seconds=-9), "cache.ttl"),
    "options that are no JSON": (option("{"), 'provider_options_json["scripted"]'),
    "options nested without end": (option("[" * 100_000), 'provider_options_json["scripted"]'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_every_rule_of_the_code_answers_with_the_path_that_breaks_it(wire: Wire, mistake: str) -> None:
    change, path = MISTAKES[mistake]
    request = chat(change)
    says_where(await refused(wire.chat.CompleteChat(request, metadata=BEARER)), path)
    says_where(await refused(send(wire, "maestro.v1.ChatService/StreamChat", request.SerializeToString())), path)
    plan = await wire.chat.PlanChat(chat_pb2.PlanChatRequest(chat=request), metadata=BEARER)
    assert plan.problems, "the plan says the same beforehand"


@pytest.mark.parametrize("temperature", [math.nan, math.inf, -math.inf])
async def test_a_temperature_that_is_no_number_is_refused(wire: Wire, temperature: float) -> None:
    request = ask(generation=chat_pb2.GenerationConfig(temperature=temperature))
    says_where(await refused(wire.chat.CompleteChat(request, metadata=BEARER)), "generation.temperature")


SCHEMAS = {
    "no JSON": "{]",
    "not an object": "5 ",
    "an unknown type": '{"type": "nonsense"}',
    "deep below": '{"properties": {"a": {"minLength": -1}}}',
    "nested without end": '{"a":' * 100_000,
    "a dialect of its own": '{"$schema": "http://schemas.example/dialect"}',
    "a file": '{"$schema": "file:///dev/null"}',
    "cut in a letter": '{"type": "\\ud800"}',
}


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_what_is_no_schema_is_refused_wherever_it_stands(wire: Wire, schema: str) -> None:
    shape = chat_pb2.JsonSchemaFormat(name="x", schema_json=SCHEMAS[schema])
    tool = chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="t", input_schema_json=SCHEMAS[schema]))
    output = chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="t", output_schema_json=SCHEMAS[schema]))
    for request, path in (
        (ask(response_format=chat_pb2.ResponseFormat(json_schema=shape)), "response_format.json_schema.schema_json"),
        (ask(tools=[tool]), "tools[0].function.input_schema_json"),
        (ask(tools=[output]), "tools[0].function.output_schema_json"),
    ):
        answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SCHEMA")
        assert answer.fields == [path] == [answer.info.metadata["field"]]
        assert "pointer" in answer.info.metadata


async def test_the_pointer_leads_into_the_schema(wire: Wire) -> None:
    shape = chat_pb2.JsonSchemaFormat(name="x", schema_json=SCHEMAS["deep below"])
    request = ask(response_format=chat_pb2.ResponseFormat(json_schema=shape))
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    assert answer.info.metadata["pointer"] == "/properties/a/minLength"


async def test_nothing_is_fetched_for_a_schema_of_the_caller(wire: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/dialect"
        for schema in (f'{{"$schema": "{address}"}}', f'{{"$ref": "{address}"}}', f'{{"$id": "{address}"}}'):
            shape = chat_pb2.JsonSchemaFormat(name="x", schema_json=schema)
            request = ask(response_format=chat_pb2.ResponseFormat(json_schema=shape))
            await wire.chat.PlanChat(chat_pb2.PlanChatRequest(chat=request), metadata=BEARER)
        with pytest.raises(BlockingIOError):
            listening.accept()


async def test_an_unknown_model_is_not_found_and_the_nearest_is_named(wire: Wire) -> None:
    answer = await refused(wire.chat.CompleteChat(ask(model="scripted/helllo"), metadata=BEARER))
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert answer.info.metadata["nearest"] == "scripted/hello"
    other = await refused(wire.chat.CompleteChat(ask(model="é" * 200), metadata=BEARER))
    assert (other.reason, "nearest" in other.info.metadata) == ("MODEL_NOT_FOUND", False)


async def test_a_message_over_the_rule_explains_itself_and_one_over_the_transport_is_cut(wire: Wire) -> None:
    async with asyncio.timeout(20):
        over = await refused(send(wire, CHAT, bytes(OVERSIZED)))
        assert (over.code, over.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert over.info.metadata["limitBytes"] == str(64 * 2**20)
        cut = await refused(send(wire, CHAT, bytes(OVER_THE_TRANSPORT)))
    assert cut.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in cut.message


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_are_no_message_are_an_invalid_argument(wire: Wire, method: str) -> None:
    not_text = b"\x0a\x02\xc3\x28"  # field 1, two bytes that are no UTF-8
    for data in (b"\xff\xff\xff", b"\x0a\xff", not_text + b"\x80"):
        answer = await refused(send(wire, method, data))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert answer.fields == [""]


async def test_text_that_is_no_utf8_is_an_invalid_argument(wire: Wire) -> None:
    good = ask("caf\u00e9").SerializeToString()
    answer = await refused(send(wire, CHAT, good.replace("é".encode(), b"\xc3\x28")))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert "UTF-8" in answer.message


def encoded(number: int) -> bytes:
    """As protobuf writes a length."""
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + encoded(rest) if rest else bytes([low])


async def test_a_message_nested_too_deep_is_an_invalid_argument(wire: Wire) -> None:
    part = b""
    for _ in range(120):  # a tool_result whose content is a part whose tool_result ...
        result = b"\x1a" + encoded(len(part)) + part
        part = b"\x22" + encoded(len(result)) + result
    message = b"\x12" + encoded(len(part)) + part
    answer = await refused(send(wire, CHAT, b"\x12" + encoded(len(message)) + message))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert answer.fields == [""], "it was not read at all"


async def test_hundreds_of_thousands_of_mistakes_cost_no_more_than_the_first(wire: Wire) -> None:
    parts = [content_pb2.Part() for _ in range(4096)]
    messages = [content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts)] * 10
    async with asyncio.timeout(5):
        answer = await refused(wire.chat.CompleteChat(chat_pb2.ChatRequest(messages=messages), metadata=BEARER))
    assert answer.reason == "INVALID_FIELD"
    assert answer.size <= 4096


async def test_an_expired_deadline_is_the_callers_own_status(wire: Wire) -> None:
    for late in (0, -1, 1e-6):
        answer = await refused(wire.chat.CompleteChat(ask(script=[{"stall": True}]), metadata=BEARER, timeout=late))
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_whose_deadline_has_passed_leaves_at_once(wire: Wire) -> None:
    for late in (0.0005, 0.001, 0.01) * 8:
        await refused(wire.chat.CompleteChat(ask(script=[{"stall": True}]), metadata=BEARER, timeout=late))
        async with asyncio.timeout(2):
            await wire.gateway.envelope.empty()


async def test_two_hundred_metadata_entries_are_taken_or_refused_in_one_piece(wire: Wire) -> None:
    many = tuple((f"x-noise-{number}", "v") for number in range(200))
    code = await wire.chat.CompleteChat(ask("hi"), metadata=(*BEARER, *many)).code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}, "between the soft and the hard limit"
    few = tuple((f"x-noise-{number}", "v") for number in range(100))
    assert (await wire.chat.CompleteChat(ask("hi"), metadata=(*BEARER, *few))).chat


async def test_metadata_over_the_hard_limit_is_refused(wire: Wire) -> None:
    answer = await refused(wire.chat.CompleteChat(ask("hi"), metadata=(*BEARER, ("x-noise", "v" * 20_000))))
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_that_claims_to_be_somebody_changes_nothing(wire: Wire) -> None:
    claims = tuple((f"x-{name}", "other") for name in ("tenant-id", "tenant", "user", "maestro-tenant", "scopes"))
    binary = (("authorization-bin", b"Bearer other"), ("x-request-id-bin", b"\x00\xff"))
    about = await wire.capability.GetServerInfo(
        capability_pb2.GetServerInfoRequest(), metadata=(*BEARER, *claims, *binary)
    )
    assert about.tenant == "default"


@pytest.mark.parametrize("given_id", ["", "x" * 129, "y" * 3000])
async def test_a_request_id_that_is_not_fit_for_a_log_is_replaced(wire: Wire, given_id: str) -> None:
    call = wire.chat.CompleteChat(ask("hi"), metadata=(*BEARER, ("x-request-id", given_id)))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] not in {"", given_id}


async def test_an_unknown_method_of_ours_is_a_feature_that_is_missing(wire: Wire) -> None:
    answer = await refused(send(wire, "maestro.v1.ChatService/Converse", b""))
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FEATURE_DISABLED")
    assert answer.info.metadata["feature"] == "maestro.v1.ChatService/Converse"


@pytest.mark.parametrize("method", ["maestro.v1.NoService/Chat", "x/y", "maestro.v1.ChatService", "grpc.health.v1.X/Y"])
async def test_an_unknown_service_is_unimplemented(wire: Wire, method: str) -> None:
    assert (await refused(send(wire, method, b""))).code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_where_one_message_belongs_does_not_hang(wire: Wire) -> None:
    async def several(count: int) -> AsyncGenerator[bytes]:
        for _ in range(count):
            yield ask("hi").SerializeToString()

    async with asyncio.timeout(5):
        for count in (0, 3):
            call = wire.channel.stream_unary(f"/{CHAT}")(several(count), metadata=BEARER, timeout=0.3)
            assert await call.code() in {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
