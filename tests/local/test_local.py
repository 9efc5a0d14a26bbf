"""A real engine: llama-cpp-python's server, a tiny model of random weights, through the adapter of Chat Completions."""

import json
import subprocess
from collections.abc import Generator
from pathlib import Path

import jsonschema_rs
import pytest

from maestro.v1 import chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, EmbeddingAdapter, Reason, Vectors
from tests.conformance.play import Told, converse

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".local/venv/bin/python"
MODEL = ROOT / ".local/tiny.gguf"
LISTENING = "Uvicorn running on "
SCHEMA = {
    "type": "object",
    "properties": {"rain": {"type": "boolean"}, "wind": {"enum": ["none", "some", "much"]}},
    "required": ["rain", "wind"],
    "additionalProperties": False,
}
ENDS = (chat_pb2.FINISH_REASON_STOP, chat_pb2.FINISH_REASON_MAX_TOKENS)  # random weights end where they like

pytestmark = pytest.mark.group("local")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a server that knows the model twice: to talk, and to make vectors."""
    usual = {"model": str(MODEL), "n_ctx": 1024, "n_threads": 1, "verbose": False}
    models = [{**usual, "model_alias": "tiny"}, {**usual, "model_alias": "tiny-embedding", "embedding": True}]
    config = tmp_path_factory.mktemp("engine") / "config.json"
    config.write_text(json.dumps({"host": "127.0.0.1", "port": 0, "models": models}))
    command = [str(PYTHON), "-m", "llama_cpp.server", "--config_file", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [""]
        while LISTENING not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1], "".join(said)
        try:
            yield said[-1].partition(LISTENING)[2].split()[0]
        finally:
            process.terminate()
            process.communicate(timeout=10)


def settings(engine: str) -> AdapterSettings:
    """A vendor's row, as anybody would write it for this server."""
    options = {"fields": {"max_completion_tokens": "max_tokens"}, "embedding_format": "", "models": ["tiny"]}
    return AdapterSettings(name="local", adapter="openai_chat", base_url=f"{engine}/v1", options=options)


def asked(**fields: object) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="The weather?")])
    request = chat_pb2.ChatRequest(model="tiny", messages=[said], **fields)
    request.generation.temperature = 0
    request.generation.max_output_tokens = request.generation.max_output_tokens or 64
    return request


def text(told: Told) -> str:
    assert told.error is None, told.error
    return "".join(part.text for message in told.answer.messages for part in message.parts)


async def vectors(engine: str, *texts: str) -> Vectors:
    adapter = load(settings(engine))
    assert isinstance(adapter, EmbeddingAdapter)
    inputs = [embedding_pb2.EmbedInput(text=text) for text in texts]
    try:
        return await adapter.embed(embedding_pb2.EmbedRequest(model="tiny-embedding", inputs=inputs))
    finally:
        await adapter.aclose()


async def test_it_streams(engine: str) -> None:
    told = await converse(settings(engine), asked())
    assert text(told)
    assert told.answer.finish_reason in ENDS
    assert told.answer.usage.output_tokens > 0
    assert told.answer.usage.source in (common_pb2.USAGE_SOURCE_PROVIDER, common_pb2.USAGE_SOURCE_ESTIMATED)


async def test_it_answers_whole_as_it_streams(engine: str) -> None:
    streamed = settings(engine)
    whole = streamed.model_copy(update={"options": {**streamed.options, "stream": False}})
    assert text(await converse(whole, asked())) == text(await converse(streamed, asked()))


async def test_a_schema_holds_even_random_weights(engine: str) -> None:
    """This server takes the schema beside json_object, where OpenAI has json_schema: the raw option says so."""
    request = asked(response_format=chat_pb2.ResponseFormat(json_object=chat_pb2.JsonObjectFormat()))
    request.provider_options_json["local"] = json.dumps({"response_format": {"schema": SCHEMA}})
    request.generation.max_output_tokens = 256
    answer = json.loads(text(await converse(settings(engine), request)))
    jsonschema_rs.validate(SCHEMA, answer)


async def test_it_makes_vectors(engine: str) -> None:
    told = await vectors(engine, "near", "near", "far away from there")
    first, second, third = (list(vector.values) for vector in told.vectors)
    assert len(first) == 64
    assert first == pytest.approx(second, abs=1e-4)
    assert first != pytest.approx(third, abs=1e-4)


async def test_what_it_refuses_is_told(engine: str) -> None:
    request = asked()
    request.messages[0].parts[0].text = "too long " * 2000
    told = await converse(settings(engine), request)
    assert told.error is not None
    # This server begins a stream before it has read the prompt, and then only hangs up: that is no answer either.
    assert told.error.reason in (Reason.CONTEXT_OVERFLOW, Reason.PROVIDER_REJECTED_REQUEST, Reason.STREAM_BROKEN)
