"""What the harness asks of a dialect, and the dialects there are: one file each in `dialects/`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from zlib import crc32

from maestro.v1 import chat_pb2
from maestro_spi import AdapterSettings
from tests.conformance.compare import Allowed, Expected, against, differences
from tests.conformance.exchange import ELSEWHERE, Exchange
from tests.conformance.play import converse
from tests.conformance.replay import Plan, Replay


class Dialect(Protocol):
    """Takes some protocols: says what does not apply and why, and plays the rest."""

    name: str  # of the adapter, and of the folder in tests/exchanges
    protocols: frozenset[str]

    def inapplicable(self, exchange: Exchange) -> str:
        """Why the exchange says nothing about the adapter; empty if it does."""
        ...

    async def play(self, exchange: Exchange) -> list[str]:
        """Play the exchange, and say in words what came out wrong."""
        ...


@dataclass(frozen=True)
class ChatDialect:
    """A dialect of chat. What differs from one to another are translations of recordings, and data."""

    name: str
    protocols: frozenset[str]
    settings: Callable[[Exchange, str], AdapterSettings]  # the adapter, for a provider at this address
    ours: Callable[[Exchange], chat_pb2.ChatRequest]  # the recorded request, or a small one where there is none
    expected: Callable[[Exchange], Expected]
    allowed: Sequence[Allowed] = ()
    normal: Callable[[Any], Any] = lambda body: body  # a body as it is compared: shapes that say the same made one
    recorded: Callable[[Exchange], Any] | None = (
        None  # the recorded body to compare, where `normal` would not know enough
    )
    not_applicable: Callable[[Exchange], str] = lambda exchange: ""
    events: Callable[[bytes], list[bytes]] = lambda body: [event + b"\n\n" for event in body.split(b"\n\n") if event]
    garbage: bytes = b'data: {"choices":[{"del\n\n'  # an event that cannot be read
    failure: Callable[[int, str], bytes] = lambda status, message: json.dumps(
        {"error": {"message": message, "type": "", "code": None}}
    ).encode()  # the body of an error of that status
    content_types: Mapping[bool, str] = field(
        default_factory=lambda: {True: "text/event-stream", False: "application/json"}
    )

    def inapplicable(self, exchange: Exchange) -> str:
        """As the dialect says."""
        return self.not_applicable(exchange)

    def replay(self, exchange: Exchange, plan: Plan = Plan()) -> Replay:  # noqa: B008 - frozen
        """The provider of the exchange."""
        headers = dict(exchange.headers)
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = self.content_types[exchange.streamed]
        return Replay(exchange.status, headers, exchange.body, plan)

    async def play(self, exchange: Exchange) -> list[str]:
        """Whole and split at random; then the request that was sent."""
        wrong: list[str] = []
        expected = self.expected(exchange)
        for seed in (0, crc32(exchange.id.encode()) or 1):
            async with self.replay(exchange, Plan(seed)) as replay:
                told = await converse(self.settings(exchange, replay.url), self.ours(exchange))
            wrong += [line if not seed else f"split: {line}" for line in against(expected, told.answer, told.error)]
            if wrong:
                break
        if exchange.request is not None and replay.asked:
            wrong += self._asked(exchange, replay)
        elif not replay.asked:
            wrong.append("nothing was sent")
        return wrong

    def _asked(self, exchange: Exchange, replay: Replay) -> list[str]:
        asked = replay.asked[0]
        wrong = []
        if exchange.path and asked.path != exchange.path:
            wrong.append(f"sent to {asked.path}, recorded {exchange.path}")
        recorded = self.recorded(exchange) if self.recorded is not None else self.normal(exchange.asked)
        for difference in differences(recorded, self.normal(asked.json)):
            if not any(allowed.covers(difference) for allowed in self.allowed):
                wrong.append(str(difference))
        return wrong


@cache
def dialects() -> Mapping[str, Dialect]:
    """Protocol -> the dialect that takes it. A dialect joins by being a file of `dialects/` with a DIALECT."""
    found: dict[str, Dialect] = {}
    files = sorted((Path(__file__).parent / "dialects").glob("*.py"))
    modules = [import_module(f"tests.conformance.dialects.{file.stem}") for file in files]
    if ELSEWHERE is not None:
        modules.append(_module(ELSEWHERE / "conformance.py"))
    for module in modules:
        for dialect in getattr(module, "DIALECTS", None) or [module.DIALECT]:
            for protocol in dialect.protocols:
                if protocol in found:
                    raise ValueError(f"{protocol} is taken by {found[protocol].name} and by {dialect.name}")
                found[protocol] = dialect
    return found


def _module(file: Path) -> ModuleType:
    spec = spec_from_file_location(f"conformance_of_{file.parent.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
