"""Usage times prices: every token once, exact, rounded once; and nothing where a price is missing."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from maestro.v1 import common_pb2
from maestro_gateway.spend.prices import UNKNOWN, Prices, Rates

PROVIDER = common_pb2.USAGE_SOURCE_PROVIDER


def flat(**prices: str) -> dict[str, tuple[tuple[int, Decimal], ...]]:
    return {name: ((0, Decimal(price)),) for name, price in prices.items()}


def priced(rates: Rates | None) -> Prices:
    return Prices(lambda provider, model: (lambda wall, tier: rates) if rates else None, lambda: 0)


def bill(rates: Rates | None, **counts: object) -> common_pb2.Usage:
    usage = common_pb2.Usage(**{"source": PROVIDER, **counts})
    priced(rates).bill("p", "m", usage)
    return usage


def items(usage: common_pb2.Usage) -> dict[str, tuple[int, int]]:
    return {item.kind: (item.quantity, item.nanos) for item in usage.cost.items}


RATES = Rates(flat(input="2.50", output="10", cache_read="1.25", cache_write="3.125"), revision="r")


def test_every_class_of_tokens_is_paid_once_at_its_own_price():
    usage = bill(RATES, input_tokens=1000, cache_read_input_tokens=300, cache_write_input_tokens=100, output_tokens=10)
    assert items(usage) == {
        "cache_read": (300, 375_000),
        "cache_write": (100, 312_500),
        "input": (600, 1_500_000),
        "output": (10, 100_000),
    }
    assert usage.cost.total_nanos == 2_287_500
    assert (usage.cost.currency_code, usage.cost.price_revision, usage.cost.estimated) == ("USD", "r", False)


def test_a_class_without_a_price_costs_what_its_whole_does():
    usage = bill(
        Rates(flat(input="1", output="2")),
        input_tokens=10,
        cache_read_input_tokens=4,
        output_tokens=10,
        reasoning_output_tokens=7,
    )
    assert items(usage) == {"input": (10, 10_000), "output": (10, 20_000)}


def test_modalities_have_prices_of_their_own():
    audio = common_pb2.ModalityTokens(modality=common_pb2.MODALITY_AUDIO, tokens=6)
    text = common_pb2.ModalityTokens(modality=common_pb2.MODALITY_TEXT, tokens=4)
    usage = bill(Rates(flat(input="1", input_audio="40")), input_tokens=10, input_by_modality=[audio, text])
    assert items(usage) == {"input_audio": (6, 240_000), "input": (4, 4_000)}


def test_past_a_threshold_all_tokens_cost_the_higher_price():
    steps = {
        "input": ((0, Decimal(1)), (200_000, Decimal(2))),
        "output": ((0, Decimal(4)), (200_000, Decimal(6))),
    }
    assert bill(Rates(steps), input_tokens=200_000, output_tokens=1).cost.total_nanos == 200_000_000 + 4_000
    assert bill(Rates(steps), input_tokens=200_001, output_tokens=1).cost.total_nanos == 400_002_000 + 6_000


def test_tools_and_calls_are_billed_by_the_piece():
    search = common_pb2.BilledTool(tool="web_search", count=2)
    rates = Rates(flat(input="1"), {"web_search": Decimal("0.01")}, Decimal("0.005"))
    usage = bill(rates, input_tokens=1, total_tokens=1, billed_tools=[search])
    assert items(usage) == {"input": (1, 1_000), "tool:web_search": (2, 20_000_000), "call": (1, 5_000_000)}


def test_a_tool_without_a_price_makes_the_cost_an_estimate():
    tool = common_pb2.BilledTool(tool="shell", count=1)
    assert bill(RATES, input_tokens=1, billed_tools=[tool]).cost.estimated


def test_estimated_counts_make_estimated_costs():
    assert bill(RATES, input_tokens=1, source=common_pb2.USAGE_SOURCE_ESTIMATED).cost.estimated
    assert bill(RATES, input_tokens=1, source=common_pb2.USAGE_SOURCE_MIXED).cost.estimated


def test_where_no_price_is_known_there_is_no_cost():
    assert not bill(None, input_tokens=5).HasField("cost")
    assert not bill(Rates(flat(input="1")), input_tokens=1, output_tokens=1).HasField("cost")
    assert UNKNOWN.price("p", "m") is None


def test_what_costs_nothing_costs_nothing():
    usage = bill(Rates(flat(input="0", output="0")), input_tokens=5, output_tokens=5)
    assert usage.HasField("cost")
    assert usage.cost.total_nanos == 0


def test_half_a_billionth_goes_to_the_even_neighbour():
    half = Rates(flat(input="0.0005"))  # half a billionth a token
    assert [bill(half, input_tokens=count).cost.total_nanos for count in (1, 2, 3, 5)] == [0, 1, 2, 2]


def test_counts_that_cannot_be_are_cut_to_what_can():
    usage = bill(RATES, input_tokens=10, cache_read_input_tokens=50, cache_write_input_tokens=50)
    assert items(usage) == {"cache_read": (10, 12_500)}


amounts = st.decimals(0, 1000, places=6)
counts = st.integers(0, 10**9)


@given(amounts, amounts, amounts, amounts, counts, counts, counts, counts)
def test_the_total_is_exact_and_its_lines_add_up(one, two, three, four, asked, read, written, said):
    rates = Rates(
        {"input": ((0, one),), "cache_read": ((0, two),), "cache_write": ((0, three),), "output": ((0, four),)}
    )
    asked += read + written
    usage = bill(
        rates,
        input_tokens=asked,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        output_tokens=said,
    )
    exact = 1000 * (
        (asked - read - written) * Fraction(one)
        + read * Fraction(two)
        + written * Fraction(three)
        + said * Fraction(four)
    )
    assert usage.cost.total_nanos == round(exact)  # half even, as Fractions round
    assert sum(item.nanos for item in usage.cost.items) == usage.cost.total_nanos
    assert sum(item.quantity for item in usage.cost.items) == asked + said


def test_the_price_of_a_model_in_the_contracts_words():
    steps = {**RATES.classes, "input": ((0, Decimal("2.50")), (200_000, Decimal(5)))}
    price = priced(Rates(steps, {"web_search": Decimal("0.01")}, revision="r")).price("p", "m")
    assert price is not None
    assert (price.input_nanos_per_million, price.output_nanos_per_million) == (2_500_000_000, 10_000_000_000)
    assert (price.cache_read_nanos_per_million, price.cache_write_nanos_per_million) == (1_250_000_000, 3_125_000_000)
    assert dict(price.tool_nanos) == {"web_search": 10_000_000}
    assert price.tier_from_tokens == 200_001
    assert (price.currency_code, price.revision) == ("USD", "r")


def test_the_dearest_price_that_may_apply():
    rates = Rates({"input": ((0, Decimal(1)), (9, Decimal(3))), "cache_write": ((0, Decimal(2)),)})
    assert rates.dearest("input", "cache_write") == 3_000
    assert rates.dearest("output") == 0
