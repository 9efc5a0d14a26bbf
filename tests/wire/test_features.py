"""What a request asks for beside an answer, over the wire: honoured, warned of or refused, never dropped in silence."""

import json
from collections.abc import AsyncGenerator

import grpc
import pytest
import pytest_asyncio

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2
from tests.doubles.asking import ask, refused
from tests.doubles.gateway import BEARER, Wire, wired

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
YAML = """
providers:
  scripted: {adapter: scripted}
  second:
    adapter: scripted
    options:
      models:
        blind: {capabilities: [STREAMING], steps: [{text: dark}]}
        spare: [{text: instead}]
        broken: [{fail: {reason: PROVIDER_UNAVAILABLE}}]
models:
  scripted/hello: {aliases: [fast], title: Hello}
"""
MCP = chat_pb2.ToolSpec(mcp=chat_pb2.McpToolset(server="mcpServers/x"))
REGISTERED = chat_pb2.ToolSpec(registered=chat_pb2.RegisteredTool(tool="tools/x"))
FILE = content_pb2.Part(media=content_pb2.Media(file="files/1"))
MISSING = {
    "personas": ask(persona="personas/1"),
    "sessions": ask(session="sessions/1"),
    "idempotency": ask(idempotency_key="k"),
    "chat.resume": ask(stream=chat_pb2.StreamOptions(resumable=True)),
    "chat.detached": ask(stream=chat_pb2.StreamOptions(detached=True)),
    "tools.registry": ask(tools=[REGISTERED]),
    "tools.mcp": ask(tools=[MCP]),
    "tools.loop": ask(tool_loop=chat_pb2.ToolLoopConfig(run_gateway_tools=True)),
    "routing.regions": ask(routing=chat_pb2.RoutingOptions(regions=["eu"])),
    "files": chat_pb2.ChatRequest(messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[FILE])]),
}
DROPPED = {
    "routing.strategy": ask(routing=chat_pb2.RoutingOptions(strategy=chat_pb2.ROUTING_STRATEGY_COST)),
    "routing.sticky_key": ask(routing=chat_pb2.RoutingOptions(sticky_key="k")),
    "routing.allow_midstream_restart": ask(routing=chat_pb2.RoutingOptions(allow_midstream_restart=True)),
    "routing.experiment_bucket": ask(routing=chat_pb2.RoutingOptions(experiment_bucket="b")),
    "retry": ask(retry=common_pb2.RetryPolicy(max_attempts=3)),
    "cache.scope": ask(cache=chat_pb2.CacheConfig(scope="s")),
    "cache.prompt_cache_key": ask(cache=chat_pb2.CacheConfig(prompt_cache_key="k")),
    "limits.on_budget_exceeded": ask(limits=chat_pb2.ChatLimits(on_budget_exceeded=chat_pb2.BUDGET_ACTION_FINISH)),
    "tool_loop.max_rounds": ask(tool_loop=chat_pb2.ToolLoopConfig(max_rounds=2)),
    "generation.temperature": ask(generation=chat_pb2.GenerationConfig(temperature=0)),
    "generation.top_p": ask(generation=chat_pb2.GenerationConfig(top_p=0)),
    "generation.seed": ask(generation=chat_pb2.GenerationConfig(seed=0)),
    "generation.logit_bias": ask(generation=chat_pb2.GenerationConfig(logit_bias={1: 2.0})),
    "generation.service_tier": ask(generation=chat_pb2.GenerationConfig(service_tier="flex")),
    "reasoning.effort": ask(reasoning=chat_pb2.ReasoningConfig(effort=chat_pb2.REASONING_EFFORT_HIGH)),
    "reasoning.max_tokens": ask(reasoning=chat_pb2.ReasoningConfig(max_tokens=9)),
    "audio": ask(audio=chat_pb2.AudioConfig(voice="v")),
    "end_user": ask(end_user="u"),
    'provider_options_json["other"]': ask(provider_options_json={"other": "{}"}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    async with wired(tmp_path_factory.mktemp("gateway"), YAML) as made:
        yield made


@pytest.mark.parametrize("feature", MISSING)
async def test_a_feature_that_is_missing_is_refused_and_named(wire: Wire, feature: str) -> None:
    answer = await refused(wire.chat.CompleteChat(MISSING[feature], metadata=BEARER))
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FEATURE_DISABLED")
    assert answer.info.metadata["feature"] == feature


@pytest.mark.parametrize("field", DROPPED)
async def test_what_is_not_honoured_is_warned_of_in_both_deliveries(wire: Wire, field: str) -> None:
    whole = await wire.chat.CompleteChat(DROPPED[field], metadata=BEARER)
    events = [event async for event in wire.chat.StreamChat(DROPPED[field], metadata=BEARER)]
    streamed = [event.warning for event in events if event.HasField("warning")]
    assert [(warning.code, warning.field) for warning in whole.warnings] == [("PARAMETER_DROPPED", field)]
    assert streamed == list(whole.warnings)


@pytest.mark.parametrize("field", DROPPED)
async def test_strict_mode_refuses_what_would_be_warned_of(wire: Wire, field: str) -> None:
    request = chat_pb2.ChatRequest()
    request.CopyFrom(DROPPED[field])
    request.routing.native_only = True
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PARAMETER_UNSUPPORTED")
    assert answer.fields == [field]


async def test_a_request_that_asks_for_nothing_else_has_no_warning(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask(routing=chat_pb2.RoutingOptions(native_only=True)), metadata=BEARER)
    assert not whole.warnings


async def test_state_of_another_provider_stays_here_and_is_named(wire: Wire) -> None:
    signed = content_pb2.Part(text="x", provider_state=content_pb2.ProviderState(provider="second", data=b"s"))
    block = content_pb2.Part(opaque=content_pb2.OpaqueBlock(provider="second", json="{}"))
    request = ask()
    request.messages.add(role=content_pb2.ROLE_ASSISTANT, parts=[signed, block])
    whole = await wire.chat.CompleteChat(request, metadata=BEARER)
    assert [warning.field for warning in whole.warnings] == [
        "messages[1].parts[0].provider_state",
        "messages[1].parts[1].opaque",
    ]


@pytest.mark.parametrize("name", ["", "auto", "fast", "scripted/hello", "models/scripted/hello"])
async def test_a_model_goes_by_many_names(wire: Wire, name: str) -> None:
    whole = await wire.chat.CompleteChat(ask(model=name), metadata=BEARER)
    assert (whole.provider, whole.model) == ("scripted", "hello")


async def test_a_fallback_takes_over_before_the_first_content(wire: Wire) -> None:
    routing = chat_pb2.RoutingOptions(fallback_models=["second/broken", "second/spare"])
    request = ask(model="second/broken", routing=routing)
    whole = await wire.chat.CompleteChat(request, metadata=BEARER)
    assert (whole.model, whole.messages[0].parts[0].text) == ("spare", "instead")
    assert [(attempt.model, attempt.cause) for attempt in whole.attempts] == [
        ("broken", "primary"),
        ("spare", "fallback"),
    ]
    request.routing.disable_fallback = True
    assert (await refused(wire.chat.CompleteChat(request, metadata=BEARER))).reason == "PROVIDER_UNAVAILABLE"


async def test_after_the_first_content_no_fallback_takes_over(wire: Wire) -> None:
    request = ask(script=[{"text": "one "}, {"fail": {"reason": "PROVIDER_UNAVAILABLE"}}])
    request.routing.fallback_models.append("second/spare")
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    assert answer.reason == "PROVIDER_UNAVAILABLE"
    assert len(answer.context.attempts) == 1


@pytest.mark.parametrize("lists", [{"denied_providers": ["scripted"]}, {"allowed_providers": ["second"]}])
async def test_a_provider_that_the_request_bars_is_not_asked(wire: Wire, lists: dict[str, list[str]]) -> None:
    routing = chat_pb2.RoutingOptions(**lists)
    barred = await refused(wire.chat.CompleteChat(ask(routing=routing), metadata=BEARER))
    assert barred.reason == "MODEL_NOT_FOUND"
    routing.fallback_models.append("second/spare")
    whole = await wire.chat.CompleteChat(ask(routing=routing), metadata=BEARER)
    assert whole.provider == "second"


IMAGE = content_pb2.Part(media=content_pb2.Media(modality=common_pb2.MODALITY_IMAGE, uri="https://x.example/a.png"))
OBJECT = chat_pb2.ResponseFormat(json_object=chat_pb2.JsonObjectFormat())
NEEDS = {
    "TOOLS": ask(tools=[chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="t"))]),
    "TOOL_CHOICE": ask(tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_NONE)),
    "JSON_OBJECT": ask(response_format=OBJECT),
    "LOGPROBS": ask(include=[chat_pb2.CHAT_INCLUDE_LOGPROBS]),
    "VISION": chat_pb2.ChatRequest(messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[IMAGE])]),
    "AUDIO_OUTPUT": ask(output_modalities=[common_pb2.MODALITY_AUDIO]),
    "acme.ocr": ask(requires=[common_pb2.CapabilityRequirement(extension="acme.ocr")]),
}


@pytest.mark.parametrize("capability", NEEDS)
async def test_what_a_request_needs_is_seen_though_it_does_not_say_so(wire: Wire, capability: str) -> None:
    request = chat_pb2.ChatRequest(model="second/blind")
    request.MergeFrom(NEEDS[capability])
    request.routing.native_only = True  # or the gateway lends it
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    assert answer.reason == "CAPABILITY_UNMET"
    assert capability in answer.message


async def test_json_is_json_and_a_schema_is_kept(wire: Wire) -> None:
    shape = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "minLength": 2}}}
    schema = chat_pb2.JsonSchemaFormat(name="place", schema_json=json.dumps(shape))
    for response_format in (OBJECT, chat_pb2.ResponseFormat(json_schema=schema)):
        whole = await wire.chat.CompleteChat(ask(response_format=response_format), metadata=BEARER)
        assert isinstance(json.loads(whole.messages[0].parts[0].text), dict)


@pytest.mark.parametrize("capability", list(MISSING))
async def test_server_info_does_not_claim_what_is_refused(wire: Wire, capability: str) -> None:
    about = await wire.capability.GetServerInfo(capability_pb2.GetServerInfoRequest(), metadata=BEARER)
    assert capability not in about.features
