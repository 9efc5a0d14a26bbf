"""Runs exchanges through their dialects and counts: passed, failed, not applicable."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.dialect import Dialect, dialects
from tests.conformance.exchange import Exchange

HERE = Path(__file__).parent


def _data(name: str) -> Mapping[str, Any]:
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8")) or {}


@dataclass
class Tally:
    """What came of a run."""

    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    misses: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)  # of what did not apply
    known: Mapping[str, str] = field(default_factory=lambda: _data("known.yaml"))
    inapplicable: Mapping[str, str] = field(default_factory=lambda: _data("inapplicable.yaml"))

    @property
    def unexpected(self) -> list[str]:
        """The misses that nobody has explained."""
        return [name for name in self.misses if name not in self.known]

    def report(self, *, verbose: bool = False) -> None:
        """Each miss, then a line for each provider, then the total."""
        for name, wrong in self.misses.items():
            why = f" (known: {self.known[name]})" if name in self.known else ""
            print(f"MISS {name}{why}")  # noqa: T201 - this is what it is for
            for line in wrong[:8]:
                print(f"     {line}")  # noqa: T201
        if verbose:
            for name, reason in self.reasons.items():
                print(f"not applicable: {name}: {reason}")  # noqa: T201
        for provider in sorted({*self.passed, *self.failed, *self.skipped}):
            self._line(provider, self.passed[provider], self.failed[provider], self.skipped[provider])
        self._line("total", self.passed.total(), self.failed.total(), self.skipped.total())

    def _line(self, name: str, passed: int, failed: int, skipped: int) -> None:
        print(f"{name}: {passed} passed, {failed} failed, {skipped} not applicable")  # noqa: T201


async def run(exchanges: Iterable[Exchange], tally: Tally) -> Tally:
    """Play them all, one after the other."""
    takers = dialects()
    for exchange in exchanges:
        dialect = takers.get(exchange.provider) or takers.get(exchange.protocol)
        if dialect is None:
            reason = tally.inapplicable.get(exchange.protocol, "")
            if not reason:
                tally.failed[exchange.provider] += 1
                tally.misses[exchange.id] = [f"nobody takes the protocol {exchange.protocol}"]
                continue
        else:
            reason = dialect.inapplicable(exchange)
        if reason:
            tally.skipped[exchange.provider] += 1
            tally.reasons[exchange.id] = reason
            continue
        wrong = await attempt(dialect, exchange) if dialect is not None else []
        if wrong:
            tally.failed[exchange.provider] += 1
            tally.misses[exchange.id] = wrong
        else:
            tally.passed[exchange.provider] += 1
    return tally


async def attempt(dialect: Dialect, exchange: Exchange) -> list[str]:
    """What came out wrong; an exception that is none of ours is wrong, too."""
    try:
        return await dialect.play(exchange)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
