"""The price table that is shipped: what it says of some models, by date and tier; it never asks the network."""

import socket
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.types import ModelPrice, Tier, TieredPrices

from maestro.v1 import common_pb2
from maestro_gateway.spend.price_table import PriceTable, rates

NOW = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1e9)


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return PriceTable()


def now(table: PriceTable, vendor: str, model: str, tier: str = ""):
    book = table.book(vendor, model)
    assert book is not None
    return book(NOW, tier)


def test_a_model_has_its_prices(table):
    found = now(table, "openai", "gpt-4o")
    assert found.of("input", 1) == Decimal("2.5")
    assert found.of("output", 1) == Decimal(10)
    assert found.of("cache_read", 1) == Decimal("1.25")
    assert found.revision == table.revision
    assert found.revision.startswith("genai-prices ")


def test_a_dated_name_is_the_same_model(table):
    assert now(table, "openai", "gpt-5-2025-08-07") == now(table, "openai", "gpt-5")


def test_a_tier_of_service_has_its_own_prices(table):
    usual, flex = now(table, "openai", "gpt-5"), now(table, "openai", "gpt-5", "flex")
    assert flex.of("input", 1) * 2 == usual.of("input", 1)
    assert now(table, "openai", "gpt-5", "of another kind") == usual


def test_long_prompts_cost_more_where_the_vendor_says_so(table):
    found = now(table, "google", "gemini-2.5-pro")
    assert found.of("input", 200_001) > found.of("input", 200_000)


def test_an_embedding_model_has_no_price_of_output(table):
    found = now(table, "openai", "text-embedding-3-small")
    assert found.of("input", 1) == Decimal("0.02")
    assert found.of("output", 1) is None


def test_a_tool_is_paid_by_the_piece(table):
    assert now(table, "openai", "gpt-5").tools["web_search"] == Decimal("0.01")


def test_nobody_and_nothing_have_no_price(table):
    assert table.book("nobody", "gpt-4o") is None
    assert table.book("openai", "no such model") is None


def test_tiers_of_the_table_are_steps():
    said = ModelPrice(
        input_mtok=TieredPrices(Decimal(1), [Tier(200, Decimal(3)), Tier(100, Decimal(2))]), output_mtok=Decimal(4)
    )
    found = rates(said, "r")
    assert found is not None
    assert [found.of("input", tokens) for tokens in (0, 100, 101, 200, 201)] == [1, 1, 2, 2, 3]


def test_a_price_without_input_is_none():
    assert rates(ModelPrice(output_mtok=Decimal(1)), "r") is None


def test_it_asks_nobody(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    book = PriceTable().book("anthropic", "claude-haiku-4-5")
    assert book is not None
    assert book(NOW, "") is not None


def test_every_kind_it_prices_is_a_kind_of_ours(table):
    modalities = {name.removeprefix("MODALITY_").lower() for name in common_pb2.Modality.keys()}  # noqa: SIM118
    kinds = {"input", "output", "cache_read", "cache_write", "reasoning"}
    found = now(table, "openai", "gpt-audio")
    assert set(found.classes) <= kinds | {f"{way}_{each}" for way in ("input", "output") for each in modalities}
