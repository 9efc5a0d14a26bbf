"""The return trip: `python -m tests.conformance.return_trip FOLDER`.

What a provider signed or encrypted in an answer must be in the next request to it, byte for byte, and in no request to
another provider, which says so in a warning.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maestro.v1 import chat_pb2, content_pb2
from maestro_spi import AdapterSettings
from tests.conformance.dialect import ChatDialect, dialects
from tests.conformance.exchange import Exchange, corpus
from tests.conformance.play import Told, converse
from tests.conformance.replay import Replay

SIGNED = frozenset({"signature", "encrypted_content", "thoughtSignature", "thought_signature", "redactedContent"})
# What another provider is asked: the answer in question, and nothing that only the first one could read.
SMALL = chat_pb2.ChatRequest(
    model="m", messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Well?")])]
)
OTHERS_ANSWER = b'{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},' + (
    b'"finish_reason":"stop"}]}'
)


def signed(exchange: Exchange) -> set[str]:
    """The strings that must travel back, read from the recording by a reader of its own."""
    found: dict[Any, str] = {}
    for number, event in enumerate(_events(exchange.body)):
        delta = event.get("delta") if isinstance(event.get("delta"), dict) else {}
        if delta.get("type") == "signature_delta":  # Anthropic: in pieces, by block
            found[event["index"]] = found.get(event["index"], "") + delta["signature"]
        elif event.get("type") == "response.output_item.done":  # each event may encrypt it anew; this one is the item's
            found.update({(number, place): text for place, text in _walk(event["item"])})
        elif not str(event.get("type", "")).startswith("response."):
            found.update({(number, place): text for place, text in _walk(event)})
    return {text for text in found.values() if text}


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    text = body.decode(errors="replace")
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    for piece in lines or [text]:
        try:
            value = json.loads(piece)
        except ValueError:
            continue
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))


def _walk(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            if isinstance(below, str) and (
                key in SIGNED or (key == "data" and value.get("type") == "redacted_thinking")
            ):
                yield f"{place}/{key}", below
            else:
                yield from _walk(below, f"{place}/{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _walk(below, f"{place}/{index}")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for below in value.values():
            yield from _strings(below)
    elif isinstance(value, list):
        for below in value:
            yield from _strings(below)


def continued(request: chat_pb2.ChatRequest, answer: chat_pb2.ChatResponse) -> chat_pb2.ChatRequest:
    """The next request: all that was said, the results of what was called, and a word of the user."""
    following = chat_pb2.ChatRequest()
    following.CopyFrom(request)
    following.messages.extend(answer.messages)
    calls = [
        part.tool_call
        for message in answer.messages
        for part in message.parts
        if part.HasField("tool_call") and part.tool_call.executor != content_pb2.TOOL_EXECUTOR_PROVIDER
    ]
    if calls:
        results = following.messages.add(role=content_pb2.ROLE_TOOL)
        for call in calls:
            result = results.parts.add().tool_result
            result.tool_call_id, result.name = call.id, call.name
            result.content.add(text="done")
    else:
        following.messages.add(role=content_pb2.ROLE_USER).parts.add(text="Go on.")
    return following


async def there_and_back(dialect: ChatDialect, exchange: Exchange, wanted: set[str]) -> list[str]:
    """What is wrong with the way back of this answer."""
    async with dialect.replay(exchange) as replay:
        settings = dialect.settings(exchange, replay.url)
        request = dialect.ours(exchange)
        first = await converse(settings, request)
        following = continued(request, first.answer)
        await converse(settings, following)
        sent = set(_strings(replay.asked[-1].json))
    wrong = [f"not sent back: {text[:40]}…" for text in wanted if text not in sent]
    elsewhere, told = await _elsewhere(continued(SMALL, first.answer))
    wrong += [f"sent to another provider: {text[:40]}…" for text in wanted if text in elsewhere]
    if not any(warning.code == "PROVIDER_STATE_DROPPED" for warning in told.answer.warnings):
        wrong.append("no warning that it was left out for another provider")
    return wrong


async def _elsewhere(request: chat_pb2.ChatRequest) -> tuple[set[str], Told]:
    async with Replay(200, {"content-type": "application/json"}, OTHERS_ANSWER) as replay:
        settings = AdapterSettings(
            name="another", adapter="openai_chat", base_url=replay.url, options={"stream": False, "models": ["m"]}
        )
        told = await converse(settings, request)
        return set(_strings(replay.asked[-1].json)) if replay.asked else set(), told


async def run(folder: Path) -> int:
    """Every recording that has something signed; the number of those whose way back is wrong."""
    takers = dialects()
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for exchange in corpus(folder, ""):
        dialect = takers.get(exchange.provider) or takers.get(exchange.protocol)
        if not isinstance(dialect, ChatDialect) or exchange.status != 200 or dialect.inapplicable(exchange):
            continue
        wanted = signed(exchange)
        if not wanted:
            continue
        wrong = await there_and_back(dialect, exchange, wanted)
        (failed if wrong else passed)[exchange.provider] += 1
        for line in wrong:
            print(f"MISS {exchange.id}: {line}")  # noqa: T201 - this is what it is for
    for provider in sorted({*passed, *failed}):
        print(f"{provider}: {passed[provider]} passed, {failed[provider]} failed")  # noqa: T201
    print(f"total: {passed.total()} passed, {failed.total()} failed")  # noqa: T201
    return failed.total()


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(run(Path(sys.argv[1]))) else 0)
