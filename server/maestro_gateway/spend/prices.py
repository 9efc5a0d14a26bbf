"""Usage x price table -> cost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from maestro.v1 import capability_pb2, common_pb2

CURRENCY = "USD"
MILLION = 1_000_000
NANOS = Decimal(1_000_000_000)

# Each price of a class of tokens: from how many input tokens on, in units of the currency by the million, ascending.
Steps = Sequence[tuple[int, Decimal]]


@dataclass(frozen=True, slots=True)
class Rates:
    """What one model costs now. A class without a price of its own costs what its whole does, cached as input."""

    classes: Mapping[str, Steps]  # input, output, cache_read, cache_write, reasoning, input_audio, output_image, …
    tools: Mapping[str, Decimal] = field(default_factory=dict)  # one use
    call: Decimal = Decimal(0)  # each model call, beside its tokens
    revision: str = ""

    def of(self, kind: str, input_tokens: int) -> Decimal | None:
        """The price of a class by the million, for a request with so many input tokens."""
        steps = self.classes.get(kind)
        if steps is None:
            return None
        return [price for start, price in steps if input_tokens > start or not start][-1]

    def dearest(self, *kinds: str) -> Decimal:
        """The highest price that may apply to any of these classes, in billionths for one token."""
        steps = (price for kind in kinds for _, price in self.classes.get(kind, ()))
        return max(steps, default=Decimal(0)) * NANOS / MILLION

    @property
    def call_nanos(self) -> Decimal:
        """What a call costs beside its tokens, in billionths."""
        return self.call * NANOS


Book = Callable[[int, str], Rates | None]  # wall nanoseconds, service tier -> the rates then


@dataclass(frozen=True, slots=True)
class _Line:
    kind: str
    quantity: int
    nanos: Decimal


class Prices:
    """Knows what a model costs: as the operator has written, else as the table has it. Immutable."""

    def __init__(self, find: Callable[[str, str], Book | None], now: Callable[[], int]) -> None:
        self._find = find  # provider, the provider's name of the model -> its book
        self._now = now

    def rates(self, provider: str, model: str, tier: str = "") -> Rates | None:
        """The rates now; None where nobody knows."""
        book = self._find(provider, model)
        return book(self._now(), tier) if book else None

    def bill(self, provider: str, model: str, usage: common_pb2.Usage, tier: str = "") -> None:
        """Write the cost of a usage into it. What has no known price has no cost, rather than a wrong one."""
        rates = self.rates(provider, model, tier)
        lines = [] if rates is None else list(_lines(rates, usage))
        if rates is None or any(line.nanos.is_nan() for line in lines):
            return
        _write(usage.cost, lines, rates.revision)
        unknown = any(each.count and each.tool not in rates.tools for each in usage.billed_tools)
        usage.cost.estimated = unknown or usage.source != common_pb2.USAGE_SOURCE_PROVIDER

    def price(self, provider: str, model: str) -> capability_pb2.Price | None:
        """The contract's short form of the rates."""
        rates = self.rates(provider, model)
        if rates is None:
            return None
        steps = [start for each in rates.classes.values() for start, _ in each if start]

        def nanos(kind: str) -> int:
            return _rounded((rates.of(kind, 0) or Decimal(0)) * NANOS)

        return capability_pb2.Price(
            currency_code=CURRENCY,
            input_nanos_per_million=nanos("input"),
            output_nanos_per_million=nanos("output"),
            cache_read_nanos_per_million=nanos("cache_read"),
            cache_write_nanos_per_million=nanos("cache_write"),
            tool_nanos={tool: _rounded(each * NANOS) for tool, each in rates.tools.items()},
            revision=rates.revision,
            tier_from_tokens=min(steps, default=-1) + 1,
        )


UNKNOWN = Prices(lambda provider, model: None, lambda: 0)


def _lines(rates: Rates, usage: common_pb2.Usage) -> Iterator[_Line]:
    """Every token once: in the most particular class that has a price. A count that cannot be is cut to what can."""
    for whole, total, parts in (
        ("input", usage.input_tokens, _input(usage)),
        ("output", usage.output_tokens, _output(usage)),
    ):
        rest = total
        for kind, count in parts:
            price = rates.of(kind, usage.input_tokens)
            if price is not None and (priced := min(count, rest)) > 0:
                rest -= priced
                yield _Line(kind, priced, priced * price * NANOS / MILLION)
        if rest > 0:
            price = rates.of(whole, usage.input_tokens)
            yield _Line(whole, rest, Decimal("NaN") if price is None else rest * price * NANOS / MILLION)
    for tool in usage.billed_tools:
        if tool.tool in rates.tools and tool.count > 0:
            yield _Line(f"tool:{tool.tool}", tool.count, tool.count * rates.tools[tool.tool] * NANOS)
    if rates.call and usage.total_tokens:
        calls = max(1, usage.model_calls)
        yield _Line("call", calls, calls * rates.call * NANOS)


def _input(usage: common_pb2.Usage) -> Iterator[tuple[str, int]]:
    yield "cache_read", usage.cache_read_input_tokens
    yield "cache_write", usage.cache_write_input_tokens
    for each in usage.input_by_modality:
        yield f"input_{_word(each.modality)}", each.tokens


def _output(usage: common_pb2.Usage) -> Iterator[tuple[str, int]]:
    yield "reasoning", usage.reasoning_output_tokens
    for each in usage.output_by_modality:
        yield f"output_{_word(each.modality)}", each.tokens


def _word(modality: common_pb2.Modality.ValueType) -> str:
    return common_pb2.Modality.Name(modality).removeprefix("MODALITY_").lower()


def _write(cost: common_pb2.Cost, lines: Sequence[_Line], revision: str) -> None:
    """The total is rounded once, half even; what its lines lack of it, or have too much, goes where it weighs least."""
    cost.Clear()
    cost.currency_code = CURRENCY
    cost.total_nanos = _rounded(sum((line.nanos for line in lines), Decimal(0)))
    cost.price_revision = revision
    for line in lines:
        cost.items.add(kind=line.kind, quantity=line.quantity, nanos=_rounded(line.nanos))
    if lines:
        largest = max(cost.items, key=lambda item: item.nanos)
        largest.nanos += cost.total_nanos - sum(item.nanos for item in cost.items)


def _rounded(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_HALF_EVEN))
