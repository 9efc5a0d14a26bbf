"""Every exchange of ours through its adapter; and all of a folder, where MAESTRO_TEST_CORPUS names one."""

import os
from pathlib import Path

import pytest

from tests.conformance.dialect import dialects
from tests.conformance.exchange import Exchange, corpus, own
from tests.conformance.run import Tally, attempt, run

CORPUS = os.environ.get("MAESTRO_TEST_CORPUS", "")


@pytest.mark.parametrize("exchange", list(own()), ids=str)
async def test_an_exchange_of_ours_is_understood_both_ways(exchange: Exchange) -> None:
    dialect = dialects()[exchange.protocol]
    assert not dialect.inapplicable(exchange)
    assert await attempt(dialect, exchange) == []


@pytest.mark.skipif(not CORPUS, reason="MAESTRO_TEST_CORPUS names no folder of exchanges")
async def test_a_corpus_passes() -> None:
    tally = await run(corpus(Path(CORPUS)), Tally())
    tally.report()
    assert tally.passed
    assert tally.unexpected == []
    applied = tally.passed.total() + tally.failed.total()
    assert tally.passed.total() >= 0.99 * applied
