"""A vendor by a row of configuration alone: its models are not listed, and answer all the same."""

import asyncio
import base64
import json
from array import array
from pathlib import Path

from maestro_adapters.openai_chat import adapter  # noqa: F401 - here, so that no test waits for the SDK to load
from maestro_client import Client, text_of, vectors_of
from tests.conformance.replay import Replay
from tests.doubles.gateway import KEY, wired

JSON = {"content-type": "application/json"}
SAID = {
    "id": "c-1",
    "model": "llama",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}
NUMBERS = base64.b64encode(array("f", [0.6, 0.8]).tobytes()).decode()
EMBEDDED = {
    "model": "bge",
    "data": [{"index": 0, "embedding": NUMBERS}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}


def rows(url: str) -> str:
    return f"""
providers:
  acme: {{adapter: openai_chat, base_url: "{url}/v1", options: {{stream: false}}}}
models:
  acme/llama: {{price: {{input: "1", output: "2"}}}}
  acme/bge: {{capabilities: [embeddings], embedding_dimensions: [2]}}
"""


async def test_a_server_of_ones_own_chats_and_its_prices_are_the_operators(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(5),
        Replay(200, JSON, json.dumps(SAID).encode()) as replay,
        wired(tmp_path, rows(replay.url)) as wire,
        Client(wire.address, KEY) as client,
    ):
        priced = await client.chat.complete("hi", model="acme/llama")
        unlisted = await client.chat.complete("hi", model="acme/something/else")
        names = [model.name async for model in client.capabilities.list_models()]
    assert text_of(priced) == text_of(unlisted) == "Hello"
    assert priced.usage.cost.total_nanos == 10 * 1_000 + 2 * 2_000
    assert not unlisted.usage.HasField("cost")
    assert [asked.path for asked in replay.asked] == ["/v1/chat/completions"] * 2
    assert replay.asked[1].json["model"] == "something/else"
    assert names == ["models/acme/llama", "models/acme/bge"]


async def test_the_model_that_makes_vectors_is_the_one_that_is_meant(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(5),
        Replay(200, JSON, json.dumps(EMBEDDED).encode()) as replay,
        wired(tmp_path, rows(replay.url)) as wire,
        Client(wire.address, KEY) as client,
    ):
        answer = await client.embeddings.embed("hello")
    assert replay.asked[0].path == "/v1/embeddings"
    assert replay.asked[0].json["model"] == "bge"
    assert [list(vector) for vector in vectors_of(answer)] == [list(array("f", [0.6, 0.8]))]
    assert (answer.provider, answer.model, answer.usage.input_tokens) == ("acme", "bge", 4)
