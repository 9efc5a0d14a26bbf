"""Vendors and their models as data: each row leads to an adapter that takes it; each model has a price and a window."""

from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo

from maestro.v1 import common_pb2
from maestro_adapters import registry, vendors
from maestro_adapters.catalog import catalog
from maestro_spi import AdapterSettings, EmbeddingAdapter, ModelFacts
from maestro_spi.vendor import Vendor

ROWS = vendors.read()
HERE = [row for row in ROWS.rows if row.adapter in registry.names()]
TABLE = {provider.id: provider for provider in providers}
NEEDED: dict[str, dict[str, Any]] = {
    "azure": {"base_url": "https://acme.openai.azure.com"},
    "bedrock": {"options": {"region": "eu-west-1"}},
    "vertex": {"options": {"project": "acme"}},
}
# Prices that the table does not have.
UNPRICED = {"cohere.embed-multilingual-v3", "embed-multilingual-v3.0"}


def settings(row: Vendor, **more: Any) -> AdapterSettings:
    return AdapterSettings(name="p", adapter=row.name, api_key="k", **{**NEEDED.get(row.name, {}), **more})


async def facts(row: Vendor) -> list[ModelFacts]:
    adapter = registry.load(ROWS.completed(settings(row)))
    try:
        return list(adapter.models())
    finally:
        await adapter.aclose()


@pytest.mark.parametrize("row", HERE, ids=lambda row: row.name)
async def test_a_row_leads_to_an_adapter_that_has_its_models(row):
    models = await facts(row)
    assert {model["name"] for model in catalog.models(row.name)} <= {model.name for model in models}
    assert len({model.name for model in models}) == len(models)
    assert row.title
    assert row.docs.startswith("https://")


@pytest.mark.parametrize("row", HERE, ids=lambda row: row.name)
async def test_every_model_is_described_as_what_it_is(row):
    for model in await facts(row):
        if model.name == catalog.ANY:
            continue
        embeds = common_pb2.CAPABILITY_EMBEDDINGS in model.capabilities
        assert model.title, model.name
        assert model.input_modalities, model.name
        assert bool(model.output_modalities) != embeds, model.name
        assert bool(model.embedding_dimensions) == embeds, model.name
        for modality, capability in (
            (common_pb2.MODALITY_IMAGE, common_pb2.CAPABILITY_VISION),
            (common_pb2.MODALITY_AUDIO, common_pb2.CAPABILITY_AUDIO_INPUT),
            (common_pb2.MODALITY_VIDEO, common_pb2.CAPABILITY_VIDEO_INPUT),
            (common_pb2.MODALITY_DOCUMENT, common_pb2.CAPABILITY_DOCUMENT_INPUT),
        ):
            assert (modality in model.input_modalities) == (capability in model.capabilities), model.name


@pytest.mark.parametrize("row", [row for row in ROWS.rows if row.prices], ids=lambda row: row.name)
def test_every_model_has_a_price_and_the_window_of_the_table(row):
    now = datetime(2026, 11, 1, tzinfo=UTC)
    for model in catalog.models(row.name):
        if model["name"] in UNPRICED or model["name"] == catalog.ANY:
            continue
        info: ModelInfo | None = TABLE[row.prices].find_model(model["name"], all_providers=providers)
        assert info is not None, model["name"]
        assert info.get_prices(now).input_mtok is not None, model["name"]
        if info.context_window is not None and "context_tokens" in model:
            assert model["context_tokens"] == info.context_window, model["name"]


def test_a_vendor_is_found_by_its_name_its_address_or_its_dialect():
    def vendor(**said: Any) -> str:
        found = ROWS.of(AdapterSettings(name="p", **said))
        return found.name if found else ""

    assert vendor(adapter="groq") == "groq"
    assert vendor(adapter="openai_chat", base_url="https://API.groq.com/openai/v1") == "groq"
    assert vendor(adapter="openai_chat") == "openai"
    assert vendor(adapter="openai_responses") == "openai"
    assert vendor(adapter="openai_responses", base_url="https://api.x.ai/v1") == "xai"
    assert vendor(adapter="openai_chat", base_url="http://127.0.0.1:8000/v1") == ""
    assert vendor(adapter="anthropic") == "anthropic"
    assert vendor(adapter="scripted") == ""


def test_a_row_says_what_the_operator_does_not():
    said = AdapterSettings(
        name="p", adapter="mistral", api_key="k", options={"tool_required": "required", "connections": 3}
    )
    completed = ROWS.completed(said)
    assert completed.adapter == "openai_chat"
    assert completed.base_url == "https://api.mistral.ai/v1"
    assert completed.options["tool_required"] == "required"
    assert completed.options["connections"] == 3
    assert completed.options["documents"] == "document_url"
    assert completed.api_key == said.api_key


def test_a_second_dialect_of_a_vendor_takes_none_of_the_options_of_the_first():
    completed = ROWS.completed(AdapterSettings(name="p", adapter="openai_responses", base_url="https://api.x.ai/v1"))
    assert completed.adapter == "openai_responses"
    assert set(completed.options) == {"models"}


def test_somebody_elses_house_has_unknown_models_and_no_price():
    said = AdapterSettings(name="p", adapter="openai", base_url="https://llm.acme.example/v1")
    assert [model["name"] for model in ROWS.completed(said).options["models"]] == [catalog.ANY]
    assert ROWS.prices(said) == ""
    assert ROWS.prices(AdapterSettings(name="p", adapter="openai")) == "openai"


def test_what_is_no_vendors_stays_as_it_is():
    for adapter in ("scripted", "local_embedding", "somebody_elses"):
        said = AdapterSettings(name="p", adapter=adapter)
        assert ROWS.completed(said) is said


async def test_a_server_of_ones_own_has_whatever_model_it_is_asked_for():
    said = AdapterSettings(name="vllm", adapter="openai_chat", base_url="http://127.0.0.1:1/v1")
    adapter = registry.load(ROWS.completed(said))
    (model,) = adapter.models()
    await adapter.aclose()
    assert model.name == catalog.ANY
    assert common_pb2.CAPABILITY_TOOLS in model.capabilities
    assert common_pb2.CAPABILITY_EMBEDDINGS in model.capabilities
    assert isinstance(adapter, EmbeddingAdapter)
