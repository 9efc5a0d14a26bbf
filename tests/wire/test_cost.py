"""What answers cost, over the wire: in the answer, in its failure, in the plan, in the books, and under a ceiling."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from maestro.v1 import chat_pb2, common_pb2
from maestro_client import Client, FailedPrecondition, ResourceExhausted
from maestro_gateway.spend.accounts import Settlement
from tests.doubles.asking import ask
from tests.doubles.gateway import KEY, Around, Wire, wired

YAML = """
providers:
  scripted:
    adapter: scripted
    options:
      models:
        priced: [{text: hello}, {usage: {input_tokens: 1000, output_tokens: 100, cache_read_input_tokens: 400}}]
        cheap: [{text: cheap}, {usage: {input_tokens: 1000, output_tokens: 100}}]
        plain: {capabilities: [STREAMING], steps: [{text: plain}]}
        broken: [{text: helloworldhelloworld}, {fail: {reason: PROVIDER_UNAVAILABLE}}]
        endless: [{text: [xxxx, xxxx, xxxx, xxxx, xxxx, xxxx, xxxx, xxxx, xxxx, xxxx]}]
  local: {adapter: local_embedding}
models:
  scripted/priced: {price: {input: "2.50", output: "10", cache_read: "1.25"}}
  scripted/cheap: {price: {input: 0.15, output: 0.6}}
  scripted/broken: {price: {input: "1", output: "1000"}}
  scripted/endless: {price: {input: "0", output: "1000"}}
  local/hash-256: {price: {input: "1"}}
"""


@pytest.fixture
def books() -> list[Settlement]:
    return []


@pytest.fixture
async def wire(tmp_path: Path, books: list[Settlement]) -> AsyncGenerator[Wire]:
    async with wired(tmp_path, YAML, around=Around(settle=books.append)) as made:
        yield made


@pytest.fixture
async def client(wire: Wire) -> AsyncGenerator[Client]:
    async with asyncio.timeout(5), Client(wire.address, KEY) as made:
        yield made


async def test_an_answer_says_what_it_cost(client: Client, books: list[Settlement]) -> None:
    answer = await client.chat.complete("hi", model="scripted/priced")
    cost = answer.usage.cost
    assert {item.kind: (item.quantity, item.nanos) for item in cost.items} == {
        "cache_read": (400, 500_000),
        "input": (600, 1_500_000),
        "output": (100, 1_000_000),
    }
    assert (cost.total_nanos, cost.currency_code, cost.price_revision) == (3_000_000, "USD", "gateway.yaml")
    assert not cost.estimated
    assert [settled.usage.cost for settled in books] == [cost]


async def test_the_stream_says_the_same_in_its_last_events(client: Client) -> None:
    async with client.chat.stream("hi", model="scripted/priced") as stream:
        events = [event async for event in stream]
    costs = [event.usage.cost.total_nanos for event in events if event.HasField("usage")]
    assert costs == [events[-1].completed.usage.cost.total_nanos] == [3_000_000]


async def test_a_model_without_a_price_has_no_cost(client: Client) -> None:
    answer = await client.chat.complete("hi", model="scripted/hello")
    assert not answer.usage.HasField("cost")


async def test_what_was_said_before_a_failure_is_paid_as_an_estimate(client: Client, books: list[Settlement]) -> None:
    with pytest.raises(Exception, match="PROVIDER_UNAVAILABLE"):
        await client.chat.complete("hi", model="scripted/broken")
    (settled,) = books
    assert settled.usage.cost.estimated
    assert settled.usage.cost.total_nanos >= 5 * 1_000_000


async def test_vectors_cost_too(client: Client, books: list[Settlement]) -> None:
    answer = await client.embeddings.embed(["x" * 400, "y" * 400])
    assert answer.usage.input_tokens == 200
    assert answer.usage.cost.total_nanos == 200_000
    assert answer.usage.cost.estimated
    assert [settled.usage.cost.total_nanos for settled in books] == [200_000]


async def test_a_plan_says_what_it_may_cost(client: Client) -> None:
    request = ask(model="scripted/cheap", text="x" * 4_000)
    request.generation.max_output_tokens = 500
    plan = await client.chat.plan(request)
    tokens = plan.estimate.input_tokens
    assert plan.estimate.cost.total_nanos == tokens * 150 + 500 * 600
    assert plan.estimate.cost.estimated


async def test_a_model_tells_its_price(client: Client) -> None:
    found = await client.capabilities.get_model("scripted/cheap")
    assert found.price.input_nanos_per_million == 150_000_000
    assert found.price.output_nanos_per_million == 600_000_000
    assert not (await client.capabilities.get_model("scripted/hello")).HasField("price")


def limited(model: str, nanos: int, text: str = "hi", *fallbacks: str) -> chat_pb2.ChatRequest:
    request = ask(model=model, text=text, limits=chat_pb2.ChatLimits(max_cost_nanos=nanos))
    request.routing.fallback_models.extend(fallbacks)
    return request


async def test_an_answer_is_cut_off_where_its_money_ends(client: Client, books: list[Settlement]) -> None:
    with pytest.raises(ResourceExhausted) as over:
        await client.chat.complete(limited("scripted/endless", 3_000_000))  # three tokens
    assert over.value.reason == "REQUEST_LIMIT_REACHED"
    assert over.value.metadata["limit"] == "limits.max_cost_nanos"
    assert over.value.metadata["value"] == "3000000"
    assert [settled.usage.output_tokens for settled in books] == [4]
    assert await client.chat.complete(limited("scripted/endless", 10_000_000))


async def test_a_prompt_that_costs_more_than_that_is_not_sent(client: Client, books: list[Settlement]) -> None:
    with pytest.raises(ResourceExhausted, match="the prompt alone"):
        await client.chat.complete(limited("scripted/priced", 1_000, "x" * 4_000))
    assert books == []


async def test_the_lower_of_two_ceilings_counts(client: Client) -> None:
    request = limited("scripted/endless", 1_000_000_000)
    request.limits.max_total_tokens = 8
    with pytest.raises(ResourceExhausted) as over:
        await client.chat.complete(request)
    assert over.value.metadata["limit"] == "limits.max_total_tokens"


async def test_where_no_price_is_known_a_ceiling_cannot_be_held(client: Client) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await client.chat.complete(limited("scripted/hello", 1_000_000))
    assert refused.value.reason == "CAPABILITY_UNMET"
    assert [(each.type, each.subject) for each in refused.value.preconditions] == [("PRICE", "scripted/hello")]


async def test_under_a_ceiling_only_those_with_a_price_may_answer(client: Client) -> None:
    plan = await client.chat.plan(limited("scripted/hello", 10**9, "hi", "scripted/cheap"))
    assert (plan.model, list(plan.fallback_models)) == ("cheap", [])
    assert [(each.model, each.reason) for each in plan.route.rejected] == [("scripted/hello", "NO_PRICE")]


async def test_the_best_model_for_a_need_comes_first(client: Client) -> None:
    need = common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_EMBEDDINGS)
    first, *others = await client.capabilities.match(need)
    assert (first.model, first.satisfied) == ("models/local/hash-256", True)
    assert not any(each.satisfied for each in others)
    assert all(each.unmet == [need] for each in others)


async def test_a_match_may_be_asked_of_some_models_alone(client: Client) -> None:
    need = common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_TOOLS)
    matches = await client.capabilities.match(need, models=["local/hash-256", "models/scripted/hello"])
    assert [(each.model, each.satisfied) for each in matches] == [
        ("models/scripted/hello", True),
        ("models/local/hash-256", False),
    ]


async def test_what_a_polyfill_would_lend_comes_after_what_a_model_has(client: Client) -> None:
    need = common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_TOOLS)
    native = common_pb2.CapabilityRequirement(
        capability=common_pb2.CAPABILITY_TOOLS, min_level=common_pb2.SUPPORT_LEVEL_NATIVE
    )
    both = ["scripted/plain", "scripted/hello"]
    hello, plain = await client.capabilities.match(need, models=both)
    assert (hello.model, list(hello.emulated)) == ("models/scripted/hello", [])
    assert (plain.satisfied, list(plain.emulated)) == (True, [common_pb2.CAPABILITY_TOOLS])
    assert [each.satisfied for each in await client.capabilities.match(native, models=both)] == [True, False]
