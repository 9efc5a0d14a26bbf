"""Their answers in our words, and back: over the project's own exchanges, without a server."""

import json
from typing import Any

import msgspec
import pytest

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.anthropic.answer import Reader
from maestro_adapters.anthropic.question import Question, ask
from maestro_adapters.wire.sse import EventSplitter
from maestro_spi import Answer
from maestro_stream.fold import fold
from maestro_stream.grammar import check
from tests.conformance.exchange import Exchange, own

OUTPUT = chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT
GOOD = {each.id.removeprefix("anthropic-"): each for each in own(["anthropic"]) if each.expected["kind"] == "chat"}

GROWS: dict[str, tuple[str, Any]] = {  # by a delta of this type: which field of a block, and what that begins as
    "text_delta": ("text", ""),
    "thinking_delta": ("thinking", ""),
    "signature_delta": ("signature", ""),
    "compaction_delta": ("content", ""),
    "citations_delta": ("citations", []),
    "input_json_delta": ("written", ""),
}
DELTAS = {"citations": "citation", "written": "partial_json"}  # what the field is called in the delta, if otherwise


def events_of(
    name: str, *, question: Question | None = None, include: tuple[chat_pb2.ChatInclude.ValueType, ...] = ()
) -> list[chat_pb2.ChatEvent]:
    exchange: Exchange = GOOD[name]
    answer = Answer("claude", chat_pb2.ChatRequest(include=include))
    reader = Reader(answer, question or Question(), tool_outputs=OUTPUT in include)
    if exchange.streamed:
        splitter = EventSplitter()
        for _, data in [*splitter.feed(exchange.body), *splitter.close()]:
            reader.event(data)
    else:
        reader.whole(exchange.body)
    assert reader.finished
    events = [*answer.drain(), *answer.end()]
    check(events, numbered=False)
    return events


def read(name: str, **options: Any) -> chat_pb2.ChatResponse:
    return fold(events_of(name, **options))


def parts(name: str, **options: Any) -> list[content_pb2.Part]:
    return [part for message in read(name, **options).messages for part in message.parts]


def kinds(name: str, **options: Any) -> list[str | None]:
    return [part.WhichOneof("kind") for part in parts(name, **options)]


def said_in(exchange: Exchange) -> list[dict[str, Any]]:
    """The blocks that the provider sent, put together from its stream."""
    if not exchange.streamed:
        return list(json.loads(exchange.body)["content"])
    blocks: dict[int, dict[str, Any]] = {}
    events = [json.loads(line[6:]) for line in exchange.body.decode().splitlines() if line.startswith("data: ")]
    for event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = {"written": "", **event["content_block"]}
        elif event["type"] == "content_block_delta":
            block = blocks.setdefault(event["index"], {"type": "text", "text": "", "written": ""})
            field, begin = GROWS.get(event["delta"]["type"], ("", ""))
            if field:
                value = event["delta"].get(field) or event["delta"].get(DELTAS.get(field, ""), "")
                block[field] = (block.get(field) or begin) + ([value] if field == "citations" else value)
    for block in blocks.values():
        if written := block.pop("written"):
            block["input"] = json.loads(written)
    return list(blocks.values())


@pytest.mark.parametrize("include", [(), (OUTPUT,)], ids=["plain", "with outputs"])
@pytest.mark.parametrize("name", [name for name in GOOD if name != "tools_cut_by_the_limit"])
def test_an_answer_goes_back_as_it_came(name, include):
    asked = chat_pb2.ChatRequest(model="claude-sonnet-4-5", messages=read(name, include=include).messages)
    question = ask(asked, "claude")
    sent = json.loads(msgspec.json.encode(question.body))["messages"]
    expected = said_in(GOOD[name])
    for block in expected:
        if block.get("caller") == {"type": "direct"}:
            del block["caller"]
    assert [block for message in sent for block in message["content"]] == expected
    assert not question.warnings


def test_signatures_are_the_parts_state():
    thought, text = parts("thinking_stream")
    assert thought.reasoning.text == "Let me see."
    assert thought.provider_state == content_pb2.ProviderState(
        provider="claude", kind="signature", data=b"EqQBCkYIBRgC=="
    )
    assert text.text == "42"
    first, second, _ = parts("thinking_redacted")
    assert first.reasoning.redacted
    assert second.reasoning.redacted
    assert first.provider_state.data == b"EmwKAhgBEgy3va3pzix"


def test_thinking_that_is_not_shown_is_a_part_with_nothing_but_its_signature():
    thought, _ = parts("thinking_omitted")
    assert not thought.reasoning.text
    assert not thought.reasoning.redacted
    assert thought.provider_state.kind == "signature"


def test_tokens_of_the_cache_are_input():
    usage = read("text_stream").usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3210, 12, 3222)
    assert (usage.cache_read_input_tokens, usage.cache_write_input_tokens) == (3000, 200)
    assert read("thinking_stream").usage.reasoning_output_tokens == 7


def test_usage_that_never_came_is_estimated():
    assert read("no_usage").usage.source == common_pb2.USAGE_SOURCE_ESTIMATED


def test_uses_that_are_billed_have_neutral_names():
    assert list(read("web_search").usage.billed_tools) == [common_pb2.BilledTool(tool="web_search", count=1)]


def test_calls_keep_their_arguments_as_they_were_written():
    _, weather, clock = parts("tools_parallel")
    assert weather.tool_call.arguments_json == '{"city": "Oslo"}'
    assert clock.tool_call.arguments_json == "{}"
    assert '"big": 12345678901234567890' in parts("tools_whole")[0].tool_call.arguments_json


def test_names_are_read_back():
    question = Question(names={"get_weather": "weather.get"})
    assert parts("tools_whole", question=question)[0].tool_call.name == "weather.get"


def test_the_tool_that_answers_is_the_answer():
    answer = read("tools_whole", question=Question(answer_tool="get_weather"))
    (part,) = answer.messages[0].parts
    assert json.loads(part.text)["city"] == "Oslo"
    assert answer.finish_reason == chat_pb2.FINISH_REASON_STOP
    both = read("tools_parallel", question=Question(answer_tool="get_weather"))
    assert both.finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS


def test_a_tool_that_the_provider_runs_tells_how_it_goes():
    assert kinds("web_search") == ["tool_call", "opaque", "text"]
    assert kinds("web_search", include=(OUTPUT,)) == ["tool_call", "tool_result", "opaque", "text"]
    updates = [event.tool_call_update for event in events_of("web_search") if event.HasField("tool_call_update")]
    assert [(each.tool_call_id, each.state) for each in updates] == [
        ("srvtoolu_01", content_pb2.TOOL_CALL_STATE_RUNNING),
        ("srvtoolu_01", content_pb2.TOOL_CALL_STATE_SUCCEEDED),
    ]
    call, result, *_ = parts("web_fetch_failed", include=(OUTPUT,))
    assert call.tool_call.executor == content_pb2.TOOL_EXECUTOR_PROVIDER
    assert (result.tool_result.is_error, result.tool_result.error_code) == (True, "url_not_accessible")
    assert parts("mcp", include=(OUTPUT,))[1].tool_result.content[0].text == "yes"


def test_provider_run_calls_do_not_end_the_turn():
    assert read("web_search").finish_reason == chat_pb2.FINISH_REASON_STOP


def test_citations_name_their_source():
    (web,) = parts("web_search")[2].citations
    assert (web.title, web.uri, web.cited_text) == ("Oslo", "https://weather.example/oslo", "Oslo is cold.")
    assert json.loads(web.provider_json)["encrypted_index"] == "Eo8BCioI"
    (page,) = parts("document_citations")[0].citations
    assert (page.title, page.start_page, page.end_page) == ("Grass", 2, 3)


def test_blocks_that_are_not_known_are_kept_whole():
    hologram, text = parts("unknown_block")
    assert hologram.opaque.type == "hologram"
    assert json.loads(hologram.opaque.json) == {"type": "hologram", "beams": 3}
    assert text.text == "Hello."
    assert json.loads(parts("compaction")[0].opaque.json)["content"] == "They said hello."


@pytest.mark.parametrize(
    ("name", "finish"),
    [
        ("end_stop_sequence", "STOP_SEQUENCE"),
        ("end_max_tokens", "MAX_TOKENS"),
        ("end_pause_turn", "PAUSED"),
        ("end_context_window_full", "CONTEXT_OVERFLOW"),
        ("end_refusal", "REFUSAL"),
        ("end_unknown_stop", "OTHER"),
    ],
)
def test_every_word_for_the_end_has_ours(name, finish):
    answer = read(name)
    assert chat_pb2.FinishReason.Name(answer.finish_reason) == f"FINISH_REASON_{finish}"
    assert answer.provider_finish_reason == GOOD[name].expected["finish_reason"]


def test_the_end_tells_which_sequence_why_declined_and_where_code_ran():
    assert read("end_stop_sequence").stop_sequence == "END"
    (warning,) = read("end_refusal").warnings
    assert (warning.code, warning.message) == ("REFUSAL_EXPLAINED", "cyber: It may do harm.")
    metadata = read("code_execution").provider_metadata
    assert metadata.headers["container"] == "container_01"
    assert metadata.service_tier == "standard"


def test_a_ping_is_a_heartbeat():
    assert [event.WhichOneof("event") for event in events_of("text_stream")].count("heartbeat") == 1
