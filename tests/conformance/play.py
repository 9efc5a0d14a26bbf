"""A conversation through a real adapter, watched: the grammar of its events held, its answer folded."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from maestro.v1 import chat_pb2
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, MaestroError
from maestro_stream.fold import Fold
from maestro_stream.grammar import Grammar

PATIENCE = 5.0  # seconds; what is slow is the loading of an SDK, and that is not counted


@dataclass(frozen=True)
class Told:
    """What came of it: the answer as far as it went, its events, and the error if it failed."""

    answer: chat_pb2.ChatResponse
    events: list[chat_pb2.ChatEvent]
    error: MaestroError | None


async def converse(settings: AdapterSettings, request: chat_pb2.ChatRequest) -> Told:
    """Ask an adapter made from these settings, once."""
    grammar, folded = Grammar(numbered=False), Fold()
    events: list[chat_pb2.ChatEvent] = []
    error: MaestroError | None = None
    adapter = load(settings)
    try:
        async with asyncio.timeout(PATIENCE), aclosing(adapter.chat(request)) as told:
            async for event in told:
                grammar.see(event)
                folded.add(event)
                events.append(event)
    except MaestroError as raised:
        error = raised
    finally:
        await adapter.aclose()
    return Told(folded.response(), events, error)
