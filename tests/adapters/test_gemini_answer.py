"""Gemini's -> ours: what goes back as it came, what answers lean on, and pieces put together."""

import json
from typing import Any

import msgspec
import pytest

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.gemini import question
from maestro_adapters.gemini.answer import Reader
from maestro_adapters.gemini.frames import Frames
from maestro_spi import Answer, MaestroError, Reason
from maestro_stream.fold import fold
from maestro_stream.grammar import check
from tests.conformance.dialects.gemini import events
from tests.conformance.exchange import own

OURS = {each.id: each for each in own(["gemini", "vertex"])}


def complain(said: bytes) -> MaestroError:
    return MaestroError(Reason.PROVIDER_UNAVAILABLE, said.decode())


def read(body: bytes, **asked: Any) -> list[chat_pb2.ChatEvent]:
    request = chat_pb2.ChatRequest(model="m", **asked)
    answer = Answer("google", request)
    reader, frames = Reader(answer, request, provider="google", complain=complain), Frames()
    for payload in [*frames.feed(body), *frames.close()]:
        reader.read(payload)
    reader.account()
    reader.close()
    told = [*answer.drain(), *answer.end()]
    check(told, numbered=False)
    return told


def parts_of(told: list[chat_pb2.ChatEvent]) -> list[content_pb2.Part]:
    return [part for message in fold(told).messages for part in message.parts]


def answered(*parts: dict[str, Any], **candidate: Any) -> bytes:
    told = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", **candidate}
    return json.dumps({"candidates": [told], "responseId": "r-1"}).encode()


@pytest.mark.parametrize(
    "name",
    [
        "gemini-thinking_stream",
        "gemini-thinking_whole",
        "gemini-tools_parallel",
        "gemini-tools_whole",
        "gemini-code_execution",
        "gemini-server_tools",
        "gemini-image_out",
        "gemini-unknown_part",
    ],
)
def test_what_it_said_goes_back_as_it_came(name):
    exchange = OURS[name]
    told = fold(read(exchange.body))
    again = chat_pb2.ChatRequest(model="gemini-2.5-flash", messages=told.messages)
    asked = question.ask(again, "google", "gemini")
    sent = json.loads(msgspec.json.encode(asked.body))["contents"]
    assert [content["role"] for content in sent] == ["model"]
    assert signatures_and_blocks(sent[0]["parts"]) == signatures_and_blocks(recorded_parts(exchange.body))
    assert not asked.warnings
    foreign = question.ask(again, "elsewhere", "gemini")
    assert b"c2lnbmF0dXJl" not in msgspec.json.encode(foreign.body)
    assert {each.code for each in foreign.warnings} <= {"PROVIDER_STATE_DROPPED"}


def recorded_parts(body: bytes) -> list[dict[str, Any]]:
    frames = Frames()
    chunks = [json.loads(payload) for payload in [*frames.feed(body), *frames.close()]]
    return [part for chunk in chunks for part in chunk["candidates"][0].get("content", {}).get("parts", ())]


def signatures_and_blocks(parts: list[dict[str, Any]]) -> list[Any]:
    """Parts in order, neighbouring texts that are not signed joined, empty ones left out."""
    told: list[Any] = []
    for part in parts:
        plain = set(part) <= {"text", "thought"}
        if plain and not part["text"]:
            continue
        before = told[-1] if told else {}
        if plain and set(before) == set(part):
            told[-1] = {**before, "text": before["text"] + part["text"]}
        else:
            told.append(part)
    return told


def test_a_signed_text_is_a_part_of_its_own():
    told = parts_of(read(answered({"text": "a"}, {"text": "b", "thoughtSignature": "cw=="}, {"text": "c"})))
    assert [(part.text, part.provider_state.data) for part in told] == [("a", b""), ("b", b"cw=="), ("c", b"")]


def test_sources_are_cited_in_characters_of_their_part():
    told = read(OURS["gemini-search_grounding"].body)
    text, block = parts_of(told)
    cited = [(text.text[each.start_index : each.end_index], each.title, each.score) for each in text.citations]
    assert cited == [("Oslo är mild.", "example.org", 0.5), ("Oslo är mild.", "notes", 0.25)]
    assert text.citations[0].uri == "https://example.org/oslo"
    assert text.citations[1].cited_text == "12 degrees"
    assert (block.opaque.provider, block.opaque.type) == ("google", "groundingMetadata")
    assert "searchEntryPoint" in block.opaque.json
    (searched,) = fold(told).usage.billed_tools
    assert (searched.tool, searched.count) == ("web_search", 1)


def test_a_segment_that_counts_wrong_is_found_by_its_words():
    lean = {
        "groundingChunks": [{"web": {"uri": "u"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 900, "endIndex": 904, "text": "mild"}, "groundingChunkIndices": [0, 7]}
        ],
    }
    (text, _) = parts_of(read(answered({"text": "It is mild."}, groundingMetadata=lean)))
    (cited,) = text.citations
    assert text.text[cited.start_index : cited.end_index] == "mild"


def test_sources_that_back_nothing_in_particular_are_cited_without_a_range():
    lean = {"groundingChunks": [{"maps": {"uri": "u", "title": "t", "placeId": "p"}}, {"image": {}}]}
    (text, _) = parts_of(read(answered({"text": "a"}, groundingMetadata=lean)))
    assert [(each.title, each.start_index, each.end_index) for each in text.citations] == [("t", 0, 0), ("", 0, 0)]


def test_repeated_text_names_its_source_and_licence():
    (part,) = parts_of(read(OURS["gemini-citations"].body))
    (cited,) = part.citations
    assert (cited.uri, cited.start_index, cited.end_index) == ("https://example.org/hamlet", 0, 18)
    assert json.loads(cited.provider_json)["license"] == "public"


def test_arguments_in_pieces_are_put_together():
    (part,) = parts_of(read(OURS["vertex-partial_args"].body))
    assert json.loads(part.tool_call.arguments_json) == {
        "items": [{"name": "apple", "count": 2}, {"a b": True}],
        "note": None,
    }
    assert part.provider_state.data == b"c2lnbmF0dXJlLTE="


def test_a_call_keeps_the_bytes_of_its_arguments():
    call = b'{"functionCall":{"name":"f","args":{ "n" : 12345678901234567890.10 }}}'
    body = b'{"candidates":[{"content":{"parts":[' + call + b']},"finishReason":"STOP"}]}'
    (part,) = parts_of(read(body))
    assert part.tool_call.arguments_json == '{"n":12345678901234567890.10}'
    assert part.tool_call.id == "call_1"


def test_what_google_ran_is_a_call_and_its_output_is_told_to_who_asks():
    body = OURS["gemini-code_execution"].body
    plain = parts_of(read(body))
    assert [part.WhichOneof("kind") for part in plain] == ["text", "tool_call", "opaque", "text"]
    assert plain[1].tool_call.executor == content_pb2.TOOL_EXECUTOR_PROVIDER
    assert plain[1].tool_call.name == "code_execution"
    told = read(body, include=[chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT])
    (result,) = (part.tool_result for part in parts_of(told) if part.HasField("tool_result"))
    assert result.tool_call_id == plain[1].tool_call.id
    assert result.content[0].text == "4\n"
    (update,) = (each.tool_call_update for each in told if each.WhichOneof("event") == "tool_call_update")
    assert update.state == content_pb2.TOOL_CALL_STATE_SUCCEEDED


def test_code_that_fails_says_so():
    run = {"executableCode": {"language": "PYTHON", "code": "1/0"}}
    failed = {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "ZeroDivisionError"}}
    told = read(answered(run, failed), include=[chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT])
    (result,) = (part.tool_result for part in parts_of(told) if part.HasField("tool_result"))
    assert result.is_error


def test_media_come_whole():
    text, image = parts_of(read(OURS["gemini-image_out"].body))
    assert text.text == "Here."
    assert (image.media.mime_type, image.media.data[:4]) == ("image/png", b"\x89PNG")
    (film,) = parts_of(read(answered({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a/b"}})))
    assert film.media.uri == "gs://a/b"


def test_logprobs_are_told_after_their_text():
    told = fold(read(OURS["gemini-logprobs"].body))
    (of_text,) = told.logprobs
    assert [(token.token, token.logprob) for token in of_text.tokens] == [("4", -0.25), ("!", -1.5)]
    assert [token.token for token in of_text.tokens[0].top] == ["4", "5"]


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("gemini-end_safety", "ANSWER_FLAGGED", "HARM_CATEGORY_HATE_SPEECH"),
        ("gemini-prompt_flagged", "PROMPT_FLAGGED", "HARM_CATEGORY_HARASSMENT"),
        ("gemini-malformed_function_call", "FINISH_EXPLAINED", "get_weather"),
    ],
)
def test_what_a_filter_found_is_a_warning(name, code, says):
    (warning,) = (each.warning for each in read(OURS[name].body) if each.WhichOneof("event") == "warning")
    assert warning.code == code
    assert says in warning.message


def test_a_blocked_prompt_names_the_category_and_no_prompt():
    with pytest.raises(MaestroError) as failed:
        read(OURS["vertex-prompt_blocked_whole"].body)
    assert failed.value.reason is Reason.PROMPT_BLOCKED
    assert failed.value.metadata["category"] == "MODEL_ARMOR"
    assert failed.value.word.message == "The prompt violated a filter."


def test_raw_responses_are_told_to_who_asks():
    body = OURS["gemini-text_stream"].body
    include = [chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW]
    told = read(body, include=include)
    raw = [each.provider_event.json for each in told if each.WhichOneof("event") == "provider_event"]
    assert len(raw) == len(events(body))
    assert json.loads(fold(told).provider_metadata.raw_json) == [json.loads(each) for each in raw]
    assert not any(each.WhichOneof("event") == "provider_event" for each in read(body))


def test_the_tier_and_the_tokens_of_each_kind_are_told():
    told = fold(read(OURS["gemini-image_out"].body))
    assert [each.tokens for each in told.usage.output_by_modality] == [5]
    told = fold(read(OURS["vertex-stream"].body))
    assert told.provider_metadata.service_tier == "on_demand"


def test_frames_are_the_same_however_the_bytes_were_split():
    bare = b'data: {"a":1}\r\n\r\n: hush\n\n{"error":\n {"code": 5}}\n'
    for body in (OURS["gemini-text_stream"].body, bare, b'  [{"a":1},\n{"b":2}]', b'{"candidates":[]}'):
        whole = Frames()
        expected = [*whole.feed(body), *whole.close()]
        for size in (1, 2, 3, 7, 50):
            frames = Frames()
            pieces = [frames.feed(body[at : at + size]) for at in range(0, len(body), size)]
            assert [each for piece in pieces for each in piece] + frames.close() == expected
