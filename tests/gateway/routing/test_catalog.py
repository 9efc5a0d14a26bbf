"""Which models there are and who may answer: by name, alias and ability, in the caller's order."""

import pytest

from maestro.v1 import chat_pb2, common_pb2
from maestro_gateway.routing.catalog import Catalog
from maestro_gateway.routing.select import select
from maestro_gateway.routing.settings import ModelSettings
from maestro_spi.capability import ModelFacts, Support
from maestro_spi.errors import MaestroError, Reason
from tests.doubles.asking import ask

TOOLS, LONG = common_pb2.CAPABILITY_TOOLS, common_pb2.CAPABILITY_LONG_CONTEXT
EMULATED = Support(common_pb2.SUPPORT_LEVEL_EMULATED)
KNOWN = {
    "acme": [
        ModelFacts("large", aliases=("big",), capabilities={TOOLS: Support(), LONG: Support()}, context_tokens=99_000),
        ModelFacts("small", capabilities={TOOLS: EMULATED}),
    ],
    "other": [ModelFacts("plain")],
}
CATALOG = Catalog(KNOWN, {"acme/small": ModelSettings(aliases=("tiny",), title="Small")}, "acme/small")


def need(**fields: object) -> common_pb2.CapabilityRequirement:
    return common_pb2.CapabilityRequirement(**fields)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("acme/large", "acme/large"),
        ("big", "acme/large"),
        ("tiny", "acme/small"),
        ("models/acme/large", "acme/large"),
        ("", "acme/small"),
        ("auto", "acme/small"),
    ],
)
def test_a_model_is_found_by_every_name_it_has(name: str, found: str) -> None:
    assert CATALOG.find(name).name == found


@pytest.mark.parametrize("name", ["large", "acme", "acme/", "Acme/large", "acme/large ", "models/", "x" * 300])
def test_no_other_name_finds_anything(name: str) -> None:
    with pytest.raises(MaestroError) as missing:
        CATALOG.find(name)
    assert missing.value.reason is Reason.MODEL_NOT_FOUND
    assert missing.value.resource is not None


def test_the_caller_decides_the_order_and_nobody_answers_twice() -> None:
    routing = chat_pb2.RoutingOptions(fallback_models=["big", "acme/small", "acme/large", "other/plain"])
    chosen = select(CATALOG, ask(model="tiny", routing=routing))
    assert [target.name for target in chosen.targets] == ["acme/small", "acme/large", "other/plain"]


@pytest.mark.parametrize(
    ("requirement", "able"),
    [
        (need(capability=TOOLS), ["acme/large", "acme/small"]),
        (need(capability=TOOLS, min_level=common_pb2.SUPPORT_LEVEL_NATIVE), ["acme/large"]),
        (need(capability=LONG, min_value=50_000), ["acme/large"]),
        (need(capability=LONG, min_value=100_000), []),
        (need(extension="acme.ocr"), []),
    ],
)
def test_who_cannot_do_what_is_needed_is_left_out_and_named(
    requirement: common_pb2.CapabilityRequirement, able: list[str]
) -> None:
    names = ["acme/large", "acme/small", "other/plain"]
    routing = chat_pb2.RoutingOptions(fallback_models=names[1:])
    request = ask(model=names[0], routing=routing, requires=[requirement])
    if able:
        chosen = select(CATALOG, request)
        assert [target.name for target in chosen.targets] == able
        assert [left.model for left in chosen.rejected] == [name for name in names if name not in able]
    else:
        with pytest.raises(MaestroError) as unmet:
            select(CATALOG, request)
        assert unmet.value.reason is Reason.CAPABILITY_UNMET
        assert unmet.value.preconditions


def test_what_is_emulated_is_said() -> None:
    tool = chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="look"))
    assert list(select(CATALOG, ask(model="acme/small", tools=[tool])).decision().emulated) == [TOOLS]
    assert list(select(CATALOG, ask(model="acme/small")).decision().emulated) == []


def test_what_can_be_lent_is_declared_as_emulated_and_refused_in_strict_mode() -> None:
    catalog = Catalog(KNOWN, {}, "acme/small", lent=[common_pb2.CAPABILITY_JSON_OBJECT])
    asks = ask(model="other/plain", response_format=chat_pb2.ResponseFormat(json_object=chat_pb2.JsonObjectFormat()))
    assert list(select(catalog, asks).decision().emulated) == [common_pb2.CAPABILITY_JSON_OBJECT]
    asks.routing.native_only = True
    with pytest.raises(MaestroError, match="CAPABILITY_UNMET"):
        select(catalog, asks)


def test_an_unknown_fallback_is_a_mistake_and_not_skipped() -> None:
    with pytest.raises(MaestroError, match="MODEL_NOT_FOUND"):
        select(CATALOG, ask(routing=chat_pb2.RoutingOptions(fallback_models=["none"])))


OPEN = {
    "acme": [ModelFacts("large", title="Large"), ModelFacts("*", capabilities={TOOLS: Support()}, context_tokens=7)],
    "shut": [ModelFacts("only")],
}


def test_a_model_that_nobody_has_listed_is_what_its_provider_usually_has() -> None:
    catalog = Catalog(OPEN, {}, "")
    assert [target.name for target in catalog.targets] == ["acme/large", "shut/only"]
    new = catalog.find("acme/brand/new")
    assert (new.name, new.facts.context_tokens) == ("acme/brand/new", 7)
    for name in ("acme/*", "acme/", "acme", "shut/new", "/new"):
        with pytest.raises(MaestroError, match="MODEL_NOT_FOUND"):
            catalog.find(name)


def test_what_the_operator_writes_of_such_a_model_lists_it() -> None:
    written = {
        "acme/bge": ModelSettings(aliases=("vectors",), capabilities=("embeddings",), embedding_dimensions=(1024,)),
        "acme/chat": ModelSettings(context_tokens=99, max_output_tokens=9, capabilities=("tools", "vision")),
    }
    catalog = Catalog(OPEN, written, "")
    bge, chat = catalog.find("vectors"), catalog.find("acme/chat")
    assert (bge.embeds, bge.chats, bge.facts.embedding_dimensions) == (True, False, (1024,))
    assert (chat.facts.context_tokens, chat.facts.max_output_tokens) == (99, 9)
    assert set(chat.facts.capabilities) == {TOOLS, common_pb2.CAPABILITY_VISION}
    assert catalog.find_embedder("").name == "acme/bge"
    assert catalog.find("").name == "acme/large"


def test_vectors_are_asked_of_a_model_that_does_nothing_else_first() -> None:
    vectors = {common_pb2.CAPABILITY_EMBEDDINGS: Support()}
    known = {
        "p": [ModelFacts("both", capabilities=vectors), ModelFacts("one", capabilities=vectors, output_modalities=())]
    }
    assert Catalog(known, {}, "").find_embedder("auto").name == "p/one"
    assert Catalog(known, {}, "", "p/both").find_embedder("auto").name == "p/both"
