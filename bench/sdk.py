"""The SDKs as their users use them, without a gateway: what a streamed token costs when it is made into objects."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

import anthropic
import openai
import upstream
import uvloop
from google import genai
from google.genai.types import HttpOptions

KEY = "key-of-the-bench"
QUESTION = "How many people live in Paris, more or less? Answer in one sentence, please."
Stream = Callable[[str], AsyncGenerator[str]]


class Sdks:
    """A client of each, made once. Each verb iterates one answer and gives its tokens."""

    def __init__(self, address: str) -> None:
        base = f"http://{address}"
        self._openai = openai.AsyncOpenAI(api_key=KEY, base_url=f"{base}/v1", max_retries=0)
        self._anthropic = anthropic.AsyncAnthropic(api_key=KEY, base_url=base, max_retries=0, open_telemetry=False)
        self._gemini = genai.Client(api_key=KEY, http_options=HttpOptions(base_url=base))

    async def openai(self, model: str) -> AsyncGenerator[str]:
        """Chat Completions."""
        stream = await self._openai.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices and (token := chunk.choices[0].delta.content):
                yield token

    async def anthropic(self, model: str) -> AsyncGenerator[str]:
        """Messages."""
        stream = await self._anthropic.messages.create(
            model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=1024, stream=True
        )
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    async def gemini(self, model: str) -> AsyncGenerator[str]:
        """GenerateContent."""
        async for response in await self._gemini.aio.models.generate_content_stream(model=model, contents=QUESTION):
            content = response.candidates[0].content if response.candidates else None
            if content is not None and content.parts and (token := content.parts[0].text):
                yield token


async def play(stream: Stream, model: str, streams: int, at_once: int) -> int:
    """So many answers; how many tokens they had. An error if one is not what was sent."""
    expected = upstream.texts()

    async def some(left: Iterator[int]) -> int:
        count = 0
        for _ in left:
            async with aclosing(stream(model)) as answer:
                tokens = [token async for token in answer]
            if "".join(tokens) not in expected:
                raise RuntimeError("the answer is not what was sent")
            count += len(tokens)
        return count

    left = iter(range(streams))
    return sum(await asyncio.gather(*(some(left) for _ in range(at_once))))


async def serve(address: str) -> None:
    """Does what it is told, a line of JSON at a time, and says how many tokens came."""
    sdks = Sdks(address)
    verbs: dict[str, Stream] = {
        upstream.OPENAI: sdks.openai,
        upstream.ANTHROPIC: sdks.anthropic,
        upstream.GEMINI: sdks.gemini,
    }

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            wanted = json.loads(line)
            count = await play(verbs[wanted.pop("dialect")], **wanted)
            writer.write(f"{count}\n".encode())
        writer.close()

    server = await asyncio.start_server(told, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
