"""What every chat adapter promises, whatever it speaks to.

An exchange is a request, the adapter that answers it from what its provider said, and what that was. Scripts are those
of the scripted adapter; every other has a folder of its own in tests/exchanges, which a server on loopback plays to the
real SDK. An adapter of the registry without exchanges fails here.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.registry import load, names
from maestro_spi import AdapterSettings, ChatProvider, MaestroError, Reason
from maestro_stream.fold import Fold, fold
from maestro_stream.grammar import Grammar, check
from tests.conformance.dialect import ChatDialect, dialects
from tests.conformance.exchange import Exchange as Recorded
from tests.conformance.exchange import own
from tests.conformance.replay import Plan


@dataclass(frozen=True)
class Exchange:
    """What a provider said, and what an answer must make of it. `play(False)` is the same, cut before the end."""

    name: str
    play: Callable[[bool], AbstractAsyncContextManager[tuple[ChatProvider, chat_pb2.ChatRequest]]]
    text: str
    tool_calls: Sequence[tuple[str, str]] | None = None
    finish: chat_pb2.FinishReason.ValueType = chat_pb2.FINISH_REASON_STOP
    output_tokens: int | None = None

    def __str__(self) -> str:
        return self.name


def scripted() -> Iterator[Exchange]:
    """Scripts are the exchanges of the scripted adapter."""

    def exchange(name: str, script: list[dict[str, Any]], text: str = "", **expected: Any) -> Exchange:
        @asynccontextmanager
        async def play(whole: bool) -> AsyncGenerator[tuple[ChatProvider, chat_pb2.ChatRequest]]:
            steps = script if whole else [*(step for step in script if "finish" not in step), {"cut": True}]
            said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="hi")])
            options = {"scripted": json.dumps(steps)}
            request = chat_pb2.ChatRequest(model="hello", messages=[said], provider_options_json=options)
            yield load(AdapterSettings(name="scripted", adapter="scripted")), request

        return Exchange(f"scripted: {name}", play, text, **{"tool_calls": (), **expected})

    calls = [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": "{broken"}]
    yield exchange("text", [{"text": ["né", "e 😀"]}, {"usage": {"output_tokens": 4}}], "née 😀", output_tokens=4)
    yield exchange("reasoning", [{"reasoning": {"text": "hm", "signature": "s"}}, {"text": "so"}], "so")
    yield exchange(
        "calls",
        [{"text": "look"}, {"tool_calls": calls}],
        "look",
        tool_calls=(("f", '{"a":1}'), ("g", "{broken")),
        finish=chat_pb2.FINISH_REASON_TOOL_CALLS,
    )
    yield exchange("refusal", [{"refusal": "no"}], finish=chat_pb2.FINISH_REASON_REFUSAL)
    yield exchange("nothing", [{"start": True}])
    yield exchange(
        "the limit",
        [{"text": "a"}, {"finish": {"reason": "MAX_TOKENS"}}],
        "a",
        finish=chat_pb2.FINISH_REASON_MAX_TOKENS,
    )


def recorded() -> dict[str, list[Exchange]]:
    """By adapter, the streams of tests/exchanges that end well."""
    found: dict[str, list[Exchange]] = {}
    for told in own():
        dialect = dialects()[told.protocol]
        if isinstance(dialect, ChatDialect) and told.streamed and dialect.expected(told).reason is None:
            found.setdefault(dialect.name, []).append(replayed(dialect, told))
    return found


def replayed(dialect: ChatDialect, told: Recorded) -> Exchange:
    """A stream of ours, and, cut, no more of it than its beginning."""
    events = dialect.events(told.body)
    if len(events) > 1 and "early_end" not in told.tags:  # the tag: its first events say already why it ended
        early = sum(map(len, events[: max(len(events) // 3, 1)]))
    else:
        early = len(events[0]) // 2

    @asynccontextmanager
    async def play(whole: bool) -> AsyncGenerator[tuple[ChatProvider, chat_pb2.ChatRequest]]:
        plan = Plan(seed=1) if whole else Plan(seed=1, cut="clean", cut_after=early)
        async with dialect.replay(told, plan) as replay:
            yield load(dialect.settings(told, replay.url)), dialect.ours(told)

    expected = dialect.expected(told)
    return Exchange(
        told.id,
        play,
        expected.text,
        finish=expected.finish or chat_pb2.FINISH_REASON_STOP,
        output_tokens=expected.usage.get("output_tokens"),
    )


NOWHERE = "http://127.0.0.1:9"  # some adapters cannot be made without an address

EXCHANGES: Mapping[str, Sequence[Exchange]] = {"scripted": tuple(scripted()), **recorded()}

every = pytest.mark.parametrize("exchange", [each for some in EXCHANGES.values() for each in some], ids=str)


async def read(exchange: Exchange, *, whole: bool = True) -> list[chat_pb2.ChatEvent]:
    async with exchange.play(whole) as (adapter, request):
        try:
            async with asyncio.timeout(5), aclosing(adapter.chat(request)) as events:
                return [event async for event in events]
        finally:
            await adapter.aclose()


def test_every_adapter_has_exchanges():
    chatting = {
        name for name in names() if hasattr(load(AdapterSettings(name="p", adapter=name, base_url=NOWHERE)), "chat")
    }
    assert set(EXCHANGES) == chatting, "write exchanges of the new adapter: tests/conformance/README.md"


@every
async def test_its_events_keep_the_grammar_and_are_not_numbered(exchange):
    check(await read(exchange), numbered=False)


@every
async def test_the_answer_is_what_the_provider_said(exchange):
    answer = fold(await read(exchange))
    parts = [part for message in answer.messages for part in message.parts]
    calls = [part.tool_call for part in parts if part.HasField("tool_call")]
    assert "".join(part.text for part in parts) == exchange.text
    if exchange.tool_calls is not None:
        assert [(call.name, call.arguments_json) for call in calls] == list(exchange.tool_calls)
    assert len({call.id for call in calls} - {""}) == len(calls)
    assert answer.finish_reason == exchange.finish
    if exchange.output_tokens is not None:
        assert answer.usage.output_tokens == exchange.output_tokens


@every
async def test_its_usage_is_whole(exchange):
    usage = fold(await read(exchange)).usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.source in (common_pb2.USAGE_SOURCE_PROVIDER, common_pb2.USAGE_SOURCE_ESTIMATED)
    assert usage.model_calls == 1


@every
async def test_the_same_exchange_makes_the_same_answer(exchange):
    assert fold(await read(exchange)) == fold(await read(exchange))


@every
async def test_a_stream_that_stops_early_is_broken_whatever_came_before(exchange):
    grammar, folded = Grammar(numbered=False), Fold()

    async def watch() -> None:
        async with exchange.play(False) as (adapter, request):
            try:
                async with asyncio.timeout(5), aclosing(adapter.chat(request)) as events:
                    async for event in events:
                        grammar.see(event)
                        folded.add(event)
            finally:
                await adapter.aclose()

    with pytest.raises(MaestroError) as broken:
        await watch()
    assert broken.value.reason is Reason.STREAM_BROKEN
    assert broken.value.retryable == (not folded.response().messages)


@every
async def test_the_request_is_read_and_never_changed(exchange):
    async with exchange.play(True) as (adapter, request):
        before = request.SerializeToString(deterministic=True)
        async with asyncio.timeout(5), aclosing(adapter.chat(request)) as events:
            async for _ in events:
                pass
        await adapter.aclose()
    assert request.SerializeToString(deterministic=True) == before


@every
async def test_closing_it_anywhere_leaves_nothing_behind(exchange):
    for point in range(4):
        async with exchange.play(True) as (adapter, request), asyncio.timeout(5):
            events = adapter.chat(request)
            for _ in range(point):
                await anext(events, None)
            await events.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(events)
            await adapter.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("name", names())
async def test_it_knows_its_version_and_no_model_twice(name):
    adapter = load(AdapterSettings(name="p", adapter=name, base_url=NOWHERE))
    models = [model.name for model in adapter.models()]
    assert adapter.version.strip()
    assert len(models) == len(set(models))
    await adapter.aclose()
