"""Every exchange of ours through its adapter, both ways. Recordings of others are played by tests/conformance."""

import pytest

from tests.conformance.dialect import dialects
from tests.conformance.exchange import Exchange, own
from tests.conformance.run import attempt


@pytest.mark.parametrize("exchange", list(own()), ids=str)
async def test_an_exchange_of_ours_is_understood_both_ways(exchange: Exchange) -> None:
    dialect = dialects()[exchange.protocol]
    assert not dialect.inapplicable(exchange)
    assert await attempt(dialect, exchange) == []
