"""Providers on loopback that keep nobody waiting: answers made beforehand, all at once or token by token."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import uvloop

OPENAI, ANTHROPIC, GEMINI = DIALECTS = ("openai", "anthropic", "gemini")
BURST, PACED = PACES = ("burst", "paced")  # the models: all tokens in one write, or each in its time
PACE = (0.010, 0.011)  # seconds from one token to the next, at least and at most; streams drift apart
TOKENS = 200  # of an answer
VARIANTS = 16  # answers of different words, given in turn
WORDS = (
    " the", " of", " Paris", " people", ",", " river", " about", " million", ".", " light", " in", " étage", " that",
    " (", "urban", " area", ")", " museum", "\n\n", " which", " 1889", " bridges", " and", " north", "-", "west", " €",
)  # fmt: skip
CREATED = 1_790_000_000

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_011CQxGvkTfRrW2dYp3mZs4a\r\ntransfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


def said(variant: int) -> list[str]:
    """The tokens of one answer; they begin with its number."""
    dice = random.Random(variant)
    return [f"#{variant}", *dice.choices(WORDS, k=TOKENS - 1)]


def texts() -> frozenset[str]:
    """Every answer there is."""
    return frozenset("".join(said(variant)) for variant in range(VARIANTS))


def openai(tokens: Sequence[str]) -> Iterator[bytes]:
    """Chat Completions, with usage at the end: what comes first, each token, what comes last."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {
            "id": "chatcmpl-C9kQ2mWv8bYx4nRt7sLp1dZe", "object": "chat.completion.chunk", "created": CREATED,
            "model": "gpt-4o-mini-2024-07-18", "service_tier": "default", "system_fingerprint": "fp_560af6e559",
            "choices": [choice], "usage": None,
        }  # fmt: skip

    yield _event(chunk({"role": "assistant", "content": "", "refusal": None}))
    for token in tokens:
        yield _event(chunk({"content": token}))
    usage = {"prompt_tokens": 12, "completion_tokens": TOKENS, "total_tokens": TOKENS + 12}
    counted = chunk({}) | {"choices": [], "usage": usage}
    yield _event(chunk({}, "stop")) + _event(counted) + _chunk(b"data: [DONE]\n\n")


def anthropic(tokens: Sequence[str]) -> Iterator[bytes]:
    """Messages."""
    usage = {
        "input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1,
        "service_tier": "standard",
    }  # fmt: skip
    message: dict[str, Any] = {
        "id": "msg_01JtQm4x7vWc9bNd2kLs5rYe", "type": "message", "role": "assistant",
        "model": "claude-sonnet-4-20250514", "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield _named({"type": "message_start", "message": message}) + _named(begun) + _named({"type": "ping"})
    for token in tokens:
        yield _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token}})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield (
        _named({"type": "content_block_stop", "index": 0})
        + _named({"type": "message_delta", "delta": end, "usage": {"output_tokens": TOKENS}})
        + _named({"type": "message_stop"})
    )


def gemini(tokens: Sequence[str]) -> Iterator[bytes]:
    """GenerateContent, which counts in every event."""

    def response(text: str, count: int, **more: str) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, **more, "index": 0}
        usage = {
            "promptTokenCount": 12, "candidatesTokenCount": count, "totalTokenCount": count + 12,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
        }  # fmt: skip
        about = {"modelVersion": "gemini-2.5-flash", "responseId": "mZ0xaLqVJ8eWkdUPr5aXsA4"}
        return {"candidates": [candidate], "usageMetadata": usage, **about}

    yield b""
    for number, token in enumerate(tokens):
        yield _event(response(token, number + 1), b"\r\n")
    yield _event(response("", TOKENS, finishReason="STOP"), b"\r\n")


SPOKEN = {OPENAI: openai, ANTHROPIC: anthropic, GEMINI: gemini}


def _event(said: dict[str, Any], end: bytes = b"\n") -> bytes:
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    return _chunk(b"data: " + text + end + end)


def _named(said: dict[str, Any]) -> bytes:
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    return _chunk(b"event: " + said["type"].encode() + b"\ndata: " + text + b"\n\n")


def _chunk(event: bytes) -> bytes:
    """As servers send it: each event in a chunk of its own."""
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


class Answers:
    """All of them, in bytes; asked for in turn."""

    def __init__(self) -> None:
        self._spoken = {name: [list(speak(said(each))) for each in range(VARIANTS)] for name, speak in SPOKEN.items()}
        self._turn = 0

    def next(self, dialect: str) -> list[bytes]:
        """The next answer: its head, its tokens, its end."""
        self._turn += 1
        first, *tokens, last = self._spoken[dialect][self._turn % VARIANTS]
        return [HEAD + first, *tokens, last + END]


class Provider(asyncio.Protocol):
    """One connection: requests in, answers out, one after another."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._dice = random.Random()
        self._heard = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._heard = b""
        path = head.split(b" ", 2)[1]
        dialect = OPENAI if b"/chat/completions" in path else ANTHROPIC if b"/messages" in path else GEMINI
        pieces = self._answers.next(dialect)
        if PACED.encode() in (path if dialect == GEMINI else body):
            begin = self._dice.uniform(0, PACE[1])  # or all streams would speak in the same moment
            self._timer = self._loop.call_later(begin, self._say, iter(pieces[:-2]), pieces[-2] + pieces[-1])
        else:
            self._transport.write(b"".join(pieces))

    def _say(self, pieces: Iterator[bytes], last: bytes) -> None:
        piece = next(pieces, None)
        self._transport.write(last if piece is None else piece)
        if piece is not None:
            self._timer = self._loop.call_later(self._dice.uniform(*PACE), self._say, pieces, last)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve() -> None:
    """Until the process is ended."""
    answers = Answers()
    server = await asyncio.get_running_loop().create_server(lambda: Provider(answers), "127.0.0.1", 0, backlog=512)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})  # the load's core, not that of the server that is measured
    uvloop.run(serve())
