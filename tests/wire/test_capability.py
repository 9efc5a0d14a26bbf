"""CapabilityService over the wire: what the server says of itself, its models and its providers."""

from collections.abc import AsyncGenerator
from importlib.metadata import version

import grpc
import pytest
import pytest_asyncio

from maestro.v1 import capability_pb2, common_pb2
from tests.doubles.asking import ask, refused
from tests.doubles.gateway import BEARER, Wire, wired

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
YAML = """
providers:
  scripted: {adapter: scripted, options: {models: {a: [{text: a}], b: {context_tokens: 99, steps: [{text: b}]}}}}
  asleep: {adapter: scripted, options: {health: unreachable}}
models:
  scripted/hello: {aliases: [fast], title: Hello}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    async with wired(tmp_path_factory.mktemp("gateway"), YAML) as made:
        yield made


async def models(wire: Wire, **asked: object) -> capability_pb2.ListModelsResponse:
    return await wire.capability.ListModels(capability_pb2.ListModelsRequest(**asked), metadata=BEARER)


async def test_the_server_tells_its_version_limits_and_features(wire: Wire) -> None:
    about = await wire.capability.GetServerInfo(capability_pb2.GetServerInfoRequest(), metadata=BEARER)
    assert about.server_version == version("maestro-gateway")
    assert list(about.api_packages) == ["maestro.v1"]
    assert about.max_request_bytes == 64 * 2**20
    assert about.max_concurrent_streams == 1000
    assert {"chat.complete", "chat.stream", "chat.plan", "models"} <= set(about.features)


async def test_every_model_that_is_listed_answers_by_its_name_and_aliases(wire: Wire) -> None:
    listed = await models(wire)
    names = {model.name for model in listed.models}
    assert {"models/scripted/hello", "models/scripted/a", "models/scripted/b", "models/asleep/hello"} == names
    for model in listed.models:
        for name in (model.name, *model.aliases):
            found = await wire.capability.GetModel(capability_pb2.GetModelRequest(name=name), metadata=BEARER)
            assert found.model == model
            whole = await wire.chat.CompleteChat(ask(model=name), metadata=BEARER)
            assert whole.provider == model.provider


async def test_a_model_tells_what_it_can_do(wire: Wire) -> None:
    found = await wire.capability.GetModel(capability_pb2.GetModelRequest(name="scripted/b"), metadata=BEARER)
    able = {support.capability: support.level for support in found.model.capabilities}
    assert able[common_pb2.CAPABILITY_TOOLS] == common_pb2.SUPPORT_LEVEL_NATIVE
    assert found.model.context_tokens == 99
    assert found.model.state == capability_pb2.Model.STATE_ACTIVE
    hello = await wire.capability.GetModel(capability_pb2.GetModelRequest(name="fast"), metadata=BEARER)
    assert (hello.model.title, list(hello.model.aliases)) == ("Hello", ["fast"])


async def test_a_model_that_is_not_there_is_not_found(wire: Wire) -> None:
    answer = await refused(wire.capability.GetModel(capability_pb2.GetModelRequest(name="x"), metadata=BEARER))
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 2_000_000_000])
async def test_pages_give_every_model_once(wire: Wire, size: int) -> None:
    whole = [model.name for model in (await models(wire)).models]
    seen: list[str] = []
    token = ""
    for _ in range(len(whole)):
        page = await models(wire, page_size=size, page_token=token)
        assert 0 < len(page.models) <= size
        seen += [model.name for model in page.models]
        if not (token := page.next_page_token):
            break
    assert (seen, token) == (whole, "")


async def test_a_token_belongs_to_its_list_and_to_nobody_elses(wire: Wire) -> None:
    token = (await models(wire, page_size=1)).next_page_token
    providers = capability_pb2.ListProvidersRequest(page_token=token)
    answer = await refused(wire.capability.ListProviders(providers, metadata=BEARER))
    assert (answer.reason, answer.fields) == ("INVALID_FIELD", ["page_token"])
    seal = token.partition(".")[2]
    for other in (token + "0", "0" + token, "+" + token, "x", f"-1.{seal}", f"2.{seal}", "é." * 3000, "9" * 5000 + "."):
        answer = await refused(models(wire, page_token=other))
        assert (answer.reason, answer.fields) == ("INVALID_FIELD", ["page_token"])
    assert (await models(wire, page_token=token, page_size=3)).models, "another size is the same list"


async def test_a_filter_and_a_negative_size_are_refused(wire: Wire) -> None:
    assert (await refused(models(wire, filter="name = x"))).fields == ["filter"]
    assert (await refused(models(wire, page_size=-1))).fields == ["page_size"]


async def test_providers_tell_how_they_are(wire: Wire) -> None:
    listed = await wire.capability.ListProviders(capability_pb2.ListProvidersRequest(), metadata=BEARER)
    health = {provider.name: provider.health for provider in listed.providers}
    assert health == {
        "providers/asleep": capability_pb2.PROVIDER_HEALTH_UNREACHABLE,
        "providers/scripted": capability_pb2.PROVIDER_HEALTH_SERVING,
    }
    assert all(provider.adapter == "scripted" and provider.adapter_version for provider in listed.providers)
    assert all(provider.HasField("check_time") for provider in listed.providers)
