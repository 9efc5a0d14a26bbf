"""What the gateway lends to a model that lacks it, over the wire: declared, warned about, refused in strict mode."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from maestro.v1 import capability_pb2, chat_pb2, common_pb2
from maestro_stream.fold import fold
from maestro_stream.grammar import check
from tests.doubles.asking import ask, refused
from tests.doubles.gateway import BEARER, Wire, wired

YAML = """
providers:
  scripted:
    adapter: scripted
    options:
      models:
        plain:
          capabilities: [STREAMING, SYSTEM_PROMPT]
          steps: [{text: '{"tool_calls": [{"name": "look", "arguments": {"at": 1}}]}'}]
"""
TOOL = chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="look"))


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncGenerator[Wire]:
    async with wired(tmp_path, YAML) as made:
        yield made


async def test_tools_are_lent_and_the_answer_says_so(plain: Wire) -> None:
    request = ask(model="scripted/plain", tools=[TOOL])
    events = [event async for event in plain.chat.StreamChat(request, metadata=BEARER)]
    check(events)
    answer = fold(events)
    (call,) = (part.tool_call for message in answer.messages for part in message.parts)
    assert (call.name, call.arguments_json) == ("look", '{"at": 1}')
    assert answer.finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS
    assert [(warning.code, warning.field) for warning in answer.warnings] == [("CAPABILITY_EMULATED", "TOOLS")]
    assert list(events[0].started.route.emulated) == [common_pb2.CAPABILITY_TOOLS]


async def test_the_matrix_says_what_is_emulated(plain: Wire) -> None:
    name = capability_pb2.GetModelRequest(name="scripted/plain")
    model = (await plain.capability.GetModel(name, metadata=BEARER)).model
    levels = {support.capability: support.level for support in model.capabilities}
    assert levels[common_pb2.CAPABILITY_STREAMING] == common_pb2.SUPPORT_LEVEL_NATIVE
    assert levels[common_pb2.CAPABILITY_TOOLS] == common_pb2.SUPPORT_LEVEL_EMULATED
    assert common_pb2.CAPABILITY_VISION not in levels


async def test_strict_mode_takes_nothing_lent(plain: Wire) -> None:
    request = ask(model="scripted/plain", tools=[TOOL], routing=chat_pb2.RoutingOptions(native_only=True))
    answer = await refused(plain.chat.CompleteChat(request, metadata=BEARER))
    assert answer.reason == "CAPABILITY_UNMET"
