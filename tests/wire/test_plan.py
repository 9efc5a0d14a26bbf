"""PlanChat and CountTokens over the wire: what would happen, and that nothing does."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from google.rpc import error_details_pb2

from maestro.v1 import chat_pb2, common_pb2
from tests.doubles.asking import ask, refused, unpacked
from tests.doubles.gateway import BEARER, Wire, wired

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
YAML = """
providers:
  scripted:
    adapter: scripted
    options:
      models:
        never: [{fail: {reason: PROVIDER_AUTH_FAILED}}]
        small: {context_tokens: 16, max_output_tokens: 8, steps: [{text: fits}]}
        blind: {capabilities: [STREAMING], steps: [{text: dark}]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    async with wired(tmp_path_factory.mktemp("gateway"), YAML) as made:
        yield made


async def plan(wire: Wire, request: chat_pb2.ChatRequest) -> chat_pb2.PlanChatResponse:
    return await wire.chat.PlanChat(chat_pb2.PlanChatRequest(chat=request), metadata=BEARER)


async def test_a_plan_names_the_target_its_fallbacks_and_those_left_out(wire: Wire) -> None:
    request = ask(
        model="scripted/small",
        requires=[
            common_pb2.CapabilityRequirement(
                capability=common_pb2.CAPABILITY_TOOLS, min_level=common_pb2.SUPPORT_LEVEL_NATIVE
            )
        ],
        routing=chat_pb2.RoutingOptions(fallback_models=["scripted/blind", "scripted/hello"]),
    )
    planned = await plan(wire, request)
    assert (planned.provider, planned.model) == ("scripted", "small")
    assert list(planned.fallback_models) == ["scripted/hello"]
    (left_out,) = planned.route.rejected
    assert (left_out.model, left_out.reason) == ("scripted/blind", "CAPABILITY_UNMET")
    assert left_out.capability == common_pb2.CAPABILITY_TOOLS
    assert not planned.problems


async def test_a_plan_calls_nobody(wire: Wire) -> None:
    planned = await plan(wire, ask(model="scripted/never"))
    assert planned.model == "never"
    assert not planned.problems
    assert (await refused(wire.chat.CompleteChat(ask(model="scripted/never"), metadata=BEARER))).reason


async def test_a_plan_expects_what_the_answer_then_costs_at_most(wire: Wire) -> None:
    request = ask("a question of some length", generation=chat_pb2.GenerationConfig(max_output_tokens=20))
    planned = await plan(wire, request)
    whole = await wire.chat.CompleteChat(request, metadata=BEARER)
    assert planned.estimate.source == common_pb2.USAGE_SOURCE_ESTIMATED
    assert planned.estimate.input_tokens == whole.usage.input_tokens
    assert planned.estimate.output_tokens == 20 >= whole.usage.output_tokens
    assert planned.estimate.total_tokens == planned.estimate.input_tokens + 20
    assert (await plan(wire, ask("hi", model="scripted/small"))).estimate.output_tokens == 8


async def test_a_plan_counts_what_was_said_before(wire: Wire) -> None:
    first = await wire.chat.CompleteChat(ask("remember this", store=True), metadata=BEARER)
    alone, continued = await plan(wire, ask("so?")), await plan(wire, ask("so?", previous_chat=first.chat))
    assert alone.estimate.input_tokens < continued.estimate.input_tokens


PROBLEMS = {
    "INVALID_FIELD": ask(stream=chat_pb2.StreamOptions(coalesce_bytes=-1)),
    "INVALID_SCHEMA": ask(
        response_format=chat_pb2.ResponseFormat(json_schema=chat_pb2.JsonSchemaFormat(schema_json='{"type": 1}'))
    ),
    "FEATURE_DISABLED": ask(persona="personas/1"),
    "MODEL_NOT_FOUND": ask(model="none"),
    "CONTEXT_OVERFLOW": ask("x" * 200, model="scripted/small"),
    "CAPABILITY_UNMET": ask(
        model="scripted/blind", requires=[common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_VISION)]
    ),
    "PARAMETER_UNSUPPORTED": ask(
        generation=chat_pb2.GenerationConfig(top_k=1), routing=chat_pb2.RoutingOptions(native_only=True)
    ),
    "RESOURCE_NOT_FOUND": ask(previous_chat="chats/none"),
    "REQUEST_LIMIT_REACHED": ask("x" * 200, limits=chat_pb2.ChatLimits(max_total_tokens=10)),
}


@pytest.mark.parametrize("reason", PROBLEMS)
async def test_a_plan_foresees_the_status_that_the_call_ends_with(wire: Wire, reason: str) -> None:
    metadata = (*BEARER, ("x-request-id", "same"))
    request = chat_pb2.PlanChatRequest(chat=PROBLEMS[reason])
    planned = await wire.chat.PlanChat(request, metadata=metadata)
    answer = await refused(wire.chat.CompleteChat(PROBLEMS[reason], metadata=metadata))
    (problem,) = planned.problems
    assert answer.reason == reason
    assert problem == answer.status
    assert unpacked(problem)[error_details_pb2.RequestInfo].request_id == "same"


async def test_a_plan_warns_as_the_answer_does(wire: Wire) -> None:
    request = ask(generation=chat_pb2.GenerationConfig(temperature=0.5, seed=7), end_user="u")
    planned = await plan(wire, request)
    whole = await wire.chat.CompleteChat(request, metadata=BEARER)
    assert [warning.field for warning in planned.warnings] == ["generation.temperature", "generation.seed", "end_user"]
    assert list(whole.warnings) == list(planned.warnings)


async def test_the_hash_of_a_request_is_that_of_its_question_alone(wire: Wire) -> None:
    plain = (await plan(wire, ask())).request_hash
    assert len(plain) == 64
    delivery = ask(
        stream=chat_pb2.StreamOptions(pad=True, coalesce_bytes=9),
        include=[chat_pb2.CHAT_INCLUDE_FINAL_RESPONSE],
        idempotency_key="k",
    )
    assert (await plan(wire, delivery)).request_hash == plain
    for other in (ask("ho"), ask(store=True), ask(model="scripted/hello"), ask(labels={"a": "b"}), ask(end_user="u")):
        assert (await plan(wire, other)).request_hash != plain


async def test_the_hash_does_not_depend_on_the_order_of_maps(wire: Wire) -> None:
    names = [f"label{number}" for number in range(40)]
    there, back = ask(), ask()
    for name in names:
        there.labels[name] = "x"
    for name in reversed(names):
        back.labels[name] = "x"
    assert (await plan(wire, there)).request_hash == (await plan(wire, back)).request_hash


async def test_a_broken_rule_refuses_the_plan_itself(wire: Wire) -> None:
    answer = await refused(plan(wire, ask(generation=chat_pb2.GenerationConfig(top_p=3))))
    assert answer.fields == ["chat.generation.top_p"]


async def test_tokens_are_counted_for_the_model_that_is_named(wire: Wire) -> None:
    request = chat_pb2.CountTokensRequest(chat=ask("x" * 400, model="scripted/small"))
    counted = await wire.chat.CountTokens(request, metadata=BEARER)
    assert counted.input_tokens >= 100
    assert counted.context_window == 16
    assert counted.source == common_pb2.USAGE_SOURCE_ESTIMATED
    unknown = await refused(wire.chat.CountTokens(chat_pb2.CountTokensRequest(chat=ask(model="none")), metadata=BEARER))
    assert unknown.reason == "MODEL_NOT_FOUND"
