"""The load: a question answered whole, and one answered in many events that never merge."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from maestro.v1 import chat_pb2, content_pb2

CHANNELS = 4
AT_ONCE = 16  # calls in flight, over all channels
CALLS_AT_ONCE = 4  # parallel tool calls of one answer: their fragments alternate, so no two neighbours are of one part
FRAGMENT = 8  # characters of one fragment, as the scripted adapter cuts arguments
FRAGMENTS = 256  # of each tool call
TIMEOUT = 60.0
WHOLE, STREAMED = "whole", "streamed"  # the scripted models
COMPLETE, STREAM = "/maestro.v1.ChatService/CompleteChat", "/maestro.v1.ChatService/StreamChat"


@dataclass(frozen=True, slots=True)
class Work:
    """So many times one request; `messages` come back for each."""

    method: str
    request: bytes
    calls: int
    messages: int


def question(model: str) -> chat_pb2.ChatRequest:
    """An instruction and a question."""
    asked = content_pb2.Part(text="How many people live in Paris, more or less? Answer in one sentence, please.")
    return chat_pb2.ChatRequest(
        model=model,
        system=[content_pb2.Part(text="Be brief.")],
        messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[asked])],
    )


def gateway_yaml() -> str:
    """Two models: one says a sentence, the other calls tools, in turn, a few characters of arguments at a time."""
    sentence = "Paris has about two million inhabitants, and its urban area about eleven."
    arguments = "x" * (FRAGMENT * FRAGMENTS)
    calls = [{"name": f"tool_{number}", "arguments": arguments} for number in range(CALLS_AT_ONCE)]
    usage = {"usage": {"input_tokens": 40, "output_tokens": 15}}  # as providers tell it
    models = {WHOLE: [{"text": sentence}, usage], STREAMED: [{"tool_calls": calls}, usage]}
    return json.dumps({"providers": {"scripted": {"adapter": "scripted", "options": {"models": models}}}})


class Load:
    """Channels to one server, and the calls over them. Answers are counted, not read: the client shall not be slow."""

    def __init__(self, address: str, key: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection for each channel
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CHANNELS)]
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    async def whole(self, request: chat_pb2.ChatRequest) -> chat_pb2.ChatResponse:
        """One answer, to look at."""
        call = self._channels[0].unary_unary(
            COMPLETE, chat_pb2.ChatRequest.SerializeToString, chat_pb2.ChatResponse.FromString
        )
        answer: chat_pb2.ChatResponse = await call(request, metadata=self._metadata, timeout=TIMEOUT)
        return answer

    async def events(self, request: chat_pb2.ChatRequest) -> list[chat_pb2.ChatEvent]:
        """One stream, to look at."""
        call = self._channels[0].unary_stream(
            STREAM, chat_pb2.ChatRequest.SerializeToString, chat_pb2.ChatEvent.FromString
        )
        return [event async for event in call(request, metadata=self._metadata, timeout=TIMEOUT)]

    async def run(self, work: Work) -> None:
        """Do the work, so many calls at once; an error if a message is missing."""
        left = iter(range(work.calls))
        play = self._play_whole if work.method == COMPLETE else self._play_stream
        counts = await asyncio.gather(
            *(play(self._channels[number % CHANNELS], work, left) for number in range(AT_ONCE))
        )
        check(counts, work)

    async def _play_whole(self, channel: grpc.aio.Channel, work: Work, left: Iterator[int]) -> int:
        call: Any = channel.unary_unary(work.method)
        count = 0
        for _ in left:
            await call(work.request, metadata=self._metadata, timeout=TIMEOUT)
            count += 1
        return count

    async def _play_stream(self, channel: grpc.aio.Channel, work: Work, left: Iterator[int]) -> int:
        call: Any = channel.unary_stream(work.method)
        count = 0
        for _ in left:
            async for _message in call(work.request, metadata=self._metadata, timeout=TIMEOUT):
                count += 1
        return count


def check(counts: Sequence[int], work: Work) -> None:
    """A message more or less, and the figures would compare two different things."""
    came, due = sum(counts), work.calls * work.messages
    if came != due:
        raise RuntimeError(f"{work.method}: {came} messages came, not {due}")
