"""The request's own ceilings, of tokens and of money -> who may answer, and where the answer is cut off."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from maestro.v1 import chat_pb2
from maestro_gateway.routing.catalog import Target
from maestro_gateway.routing.select import Selection
from maestro_gateway.spend.meter import Ceiling
from maestro_gateway.spend.prices import Prices
from maestro_spi.errors import MaestroError, Precondition, Reason
from maestro_spi.estimate import input_tokens

TOKENS, MONEY = "limits.max_total_tokens", "limits.max_cost_nanos"


def affordable(request: chat_pb2.ChatRequest, selection: Selection, prices: Prices) -> Selection:
    """Under a ceiling of money nobody answers whose price is not known."""
    if not request.limits.max_cost_nanos:
        return selection
    priced = tuple(target for target in selection.targets if prices.rates(target.provider, target.facts.name))
    unpriced = [target.name for target in selection.targets if target not in priced]
    if not priced:
        names = ", ".join(unpriced)
        raise MaestroError(
            Reason.CAPABILITY_UNMET,
            f"no price is known of {names}, so {MONEY} cannot be held; set its price in gateway.yaml, or ask another",
            metadata={"model": names, "limit": MONEY},
            preconditions=[Precondition("PRICE", name, "no price is known") for name in unpriced],
            phase="route",
        )
    rejected = [chat_pb2.RejectedTarget(model=name, reason="NO_PRICE") for name in unpriced]
    return replace(selection, targets=priced, rejected=(*selection.rejected, *rejected))


def ceiling(request: chat_pb2.ChatRequest, targets: Iterable[Target], prices: Prices) -> Ceiling | None:
    """The lower of both, in tokens. Where the question alone is over it, nobody is called and nothing is spent."""
    limits = request.limits
    if not limits.max_total_tokens and not limits.max_cost_nanos:
        return None
    asked = input_tokens(request)
    found = []
    if limits.max_total_tokens:
        found.append(Ceiling(limits.max_total_tokens, TOKENS, limits.max_total_tokens))
    if limits.max_cost_nanos:
        tokens = min(_tokens(limits.max_cost_nanos, asked, target, prices) for target in targets)
        found.append(Ceiling(tokens, MONEY, limits.max_cost_nanos))
    lowest = min(found, key=lambda each: each.tokens)
    if asked > lowest.tokens:
        raise MaestroError(
            Reason.REQUEST_LIMIT_REACHED,
            f"the prompt alone passes {lowest.field} ({lowest.limit}); raise it, or shorten the prompt",
            metadata={"limit": lowest.field, "value": str(lowest.limit)},
            phase="quota",
        )
    return lowest


def _tokens(nanos: int, asked: int, target: Target, prices: Prices) -> int:
    """How many tokens in all a sum buys at the dearest price that may apply; less than `asked` if not even those."""
    rates = prices.rates(target.provider, target.facts.name)
    assert rates is not None, "only targets with a price are left"
    read, said = rates.dearest("input", "cache_write"), rates.dearest("output", "reasoning")
    left = Decimal(nanos) - rates.call_nanos - asked * read
    if left < 0:
        return asked - 1
    return asked + int(left / said) if said else 2**62
