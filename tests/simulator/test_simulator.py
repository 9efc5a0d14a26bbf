"""Our adapters against providers as somebody else has understood them: the simulator aimock, a process of its own."""

import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from maestro.v1 import chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, EmbeddingAdapter, Reason
from tests.conformance.play import Told, converse

HERE = Path(__file__).parent
SERVER = "node_modules/@copilotkit/aimock/dist/cli.js"
PROVIDERS: Mapping[str, Mapping[str, Any]] = yaml.safe_load((HERE / "providers.yaml").read_text())
LISTENING = "[aimock] aimock server listening on "
HELLO = "Hello! Héllo, wörld 😀 in more pieces than one."
WEATHER = chat_pb2.ToolSpec(
    function=chat_pb2.FunctionTool(
        name="get_weather",
        description="The weather of a city",
        input_schema_json='{"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}',
    )
)

pytestmark = pytest.mark.group("simulator")


def conversations(name: str) -> list[Any]:
    """A parameter for each adapter, streamed and not; where the simulator is wrong, it is skipped with the reason."""
    return [
        pytest.param(adapter, streamed, id=f"{adapter}-{how}", marks=skipped(adapter, name))
        for adapter in PROVIDERS
        for streamed, how in ((True, "streamed"), (False, "whole"))
    ]


def skipped(adapter: str, name: str) -> list[pytest.MarkDecorator]:
    reason = PROVIDERS[adapter].get("except", {}).get(name)
    return [pytest.mark.skip(reason=f"the simulator is wrong: {reason}")] if reason else []


@pytest.fixture(scope="module")
def simulator() -> Generator[str]:
    """Its address."""
    if not (HERE / SERVER).exists():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=HERE, check=True, timeout=240)
    command = ["node", SERVER, "--port", "0", "--fixtures", "fixtures.json", "--strict", "--chunk-size", "5"]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = [""]
        while not said[-1].startswith(LISTENING):
            said.append(process.stdout.readline())
            assert said[-1], "".join(said)
        try:
            yield said[-1].removeprefix(LISTENING).strip()
        finally:
            process.terminate()
            process.communicate(timeout=10)


def settings(simulator: str, adapter: str, *, streamed: bool = True) -> AdapterSettings:
    about = PROVIDERS[adapter]
    options = {**about.get("options", {}), "stream": streamed}
    return AdapterSettings(
        name=adapter, adapter=adapter, base_url=simulator + about["path"], api_key="key-of-nobody", options=options
    )


def request(adapter: str, *messages: content_pb2.Message, **fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(model=PROVIDERS[adapter]["model"], messages=messages, **fields)


def user(text: str) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])


def text(told: Told) -> str:
    assert told.error is None, told.error
    return "".join(part.text for message in told.answer.messages for part in message.parts)


def calls(told: Told) -> list[content_pb2.ToolCall]:
    assert told.error is None, told.error
    parts = [part for message in told.answer.messages for part in message.parts]
    return [part.tool_call for part in parts if part.HasField("tool_call")]


@pytest.mark.parametrize(("adapter", "streamed"), conversations("text"))
async def test_it_answers(simulator, adapter, streamed):
    asked = request(adapter, user("hello"), system=[content_pb2.Part(text="Be brief.")])
    told = await converse(settings(simulator, adapter, streamed=streamed), asked)
    assert text(told) == HELLO
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP
    assert told.answer.usage.total_tokens == told.answer.usage.input_tokens + told.answer.usage.output_tokens


@pytest.mark.parametrize(("adapter", "streamed"), conversations("tools"))
async def test_it_calls_tools_and_hears_their_results(simulator, adapter, streamed):
    where = settings(simulator, adapter, streamed=streamed)
    asked = request(adapter, user("the weather?"), tools=[WEATHER])
    first = await converse(where, asked)
    called = calls(first)
    assert [(call.name, call.arguments_json.replace(" ", "")) for call in called] == [
        ("get_weather", '{"city":"Zürich","days":2}'),
        ("get_weather", '{"city":"Genève","days":1}'),
    ]
    assert len({call.id for call in called}) == len(called)
    if not skipped(adapter, "end of tools"):
        assert first.answer.finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS
    asked.messages.extend(first.answer.messages)
    results = asked.messages.add(role=content_pb2.ROLE_TOOL)
    for call in called:
        said = content_pb2.ToolResult(tool_call_id=call.id, name=call.name, content=[content_pb2.Part(text="rain")])
        results.parts.add(tool_result=said)
    assert text(await converse(where, asked)) == "Rain in Zürich."


@pytest.mark.parametrize(("adapter", "streamed"), conversations("JSON"))
async def test_it_is_held_to_a_schema(simulator, adapter, streamed):
    schema = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
    form = chat_pb2.ResponseFormat(json_schema=chat_pb2.JsonSchemaFormat(name="city", schema_json=schema))
    asked = request(adapter, user("the city as JSON"), response_format=form)
    assert text(await converse(settings(simulator, adapter, streamed=streamed), asked)) == '{"city": "Zürich"}'


@pytest.mark.parametrize(("adapter", "streamed"), conversations("reasoning"))
async def test_it_reasons(simulator, adapter, streamed):
    told = await converse(settings(simulator, adapter, streamed=streamed), request(adapter, user("think")))
    assert text(told) == "So be it."
    parts = [part for message in told.answer.messages for part in message.parts]
    assert "".join(part.reasoning.text for part in parts) == "First this, then that."


@pytest.mark.parametrize(("adapter", "streamed"), conversations("failure"))
async def test_its_refusals_are_ours(simulator, adapter, streamed):
    told = await converse(settings(simulator, adapter, streamed=streamed), request(adapter, user("refuse me")))
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_RATE_LIMITED
    assert told.error.word.http_status == 429


@pytest.mark.parametrize(
    "adapter",
    [
        pytest.param(name, id=name, marks=skipped(name, "embeddings"))
        for name, about in PROVIDERS.items()
        if "embeds" in about
    ],
)
async def test_it_embeds(simulator, adapter):
    plug = load(settings(simulator, adapter))
    assert isinstance(plug, EmbeddingAdapter)
    inputs = [embedding_pb2.EmbedInput(text="near"), embedding_pb2.EmbedInput(text="near too")]
    try:
        told = await plug.embed(embedding_pb2.EmbedRequest(model=PROVIDERS[adapter]["embeds"], inputs=inputs))
    finally:
        await plug.aclose()
    assert [list(vector.values) for vector in told.vectors] == [[0.5, -0.25, 0.125, 0.75]] * 2
    assert told.usage.source in (common_pb2.USAGE_SOURCE_PROVIDER, common_pb2.USAGE_SOURCE_ESTIMATED)
