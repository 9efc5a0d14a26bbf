import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_spi import Answer, MaestroError, Reason
from maestro_spi.answer import MEDIA_CHUNK
from maestro_stream.fold import fold
from maestro_stream.grammar import check
from tests.doubles.chat_strategies import texts

STOP, TOOL_CALLS = chat_pb2.FINISH_REASON_STOP, chat_pb2.FINISH_REASON_TOOL_CALLS


def finished(answer, reason=STOP, word="stop"):
    """The rest of the events, checked, and the answer that they fold to."""
    answer.finish(reason, word)
    events = answer.end()
    check(events, numbered=False)
    return fold(events)


def parts(response):
    return [part for message in response.messages for part in message.parts]


def kinds(events):
    return [event.WhichOneof("event") for event in events]


def test_fragments_of_one_read_leave_as_one_event():
    answer = Answer("p", chat_pb2.ChatRequest(model="m"))
    for word in ("to ", None, "be ", "", "or"):
        answer.text(word)
    events = answer.drain()
    assert kinds(events) == ["started", "part_started", "text_delta"]
    assert events[0].started == chat_pb2.ChatStarted(provider="p", model="m")
    assert events[2].text_delta == "to be or"
    assert answer.drain() == []
    answer.text(" not")
    assert [event.text_delta for event in answer.drain()] == [" not"]


def test_started_names_the_model_that_answers_and_comes_once():
    answer = Answer("p", chat_pb2.ChatRequest(model="alias"))
    answer.start("model-1", "r1")
    answer.start("model-2", "r2")
    answer.text("a")
    events = answer.drain()
    assert kinds(events) == ["started", "part_started", "text_delta"]
    assert events[0].started.model == "model-1"
    answer.finish(STOP)
    assert answer.end()[-1].completed.provider_metadata.response_id == "r1"


def test_an_accepted_request_is_told_before_any_content():
    answer = Answer("p")
    answer.start()
    assert kinds(answer.drain()) == ["started"]


def test_another_kind_begins_another_part():
    answer = Answer("p")
    answer.reasoning("hm")
    answer.text("a")
    answer.refusal("no")
    answer.text("b")
    told = parts(finished(answer))
    assert [part.WhichOneof("kind") for part in told] == ["reasoning", "text", "refusal", "text"]


def test_a_summary_is_another_part_than_the_trace():
    answer = Answer("p")
    answer.reasoning("trace")
    answer.reasoning("short", summary=True)
    answer.reasoning("er", summary=True)
    assert [(part.reasoning.text, part.reasoning.summary) for part in parts(finished(answer))] == [
        ("trace", False),
        ("shorter", True),
    ]


def test_redacted_reasoning_keeps_its_state_each_in_its_own_part():
    answer = Answer("p")
    for data in (b"one", b"two"):
        answer.reasoning(redacted=True)
        answer.state("redacted_thinking", data)
    told = parts(finished(answer))
    assert [part.provider_state.data for part in told] == [b"one", b"two"]
    assert all(part.reasoning.redacted and part.provider_state.provider == "p" for part in told)


def test_what_follows_a_signature_is_a_part_of_its_own():
    answer = Answer("p")
    answer.text("signed")
    answer.state("thought_signature", "s")
    answer.text("not signed")
    told = parts(finished(answer))
    assert [(part.text, part.provider_state.data) for part in told] == [("signed", b"s"), ("not signed", b"")]


def test_a_signature_without_a_part_gets_an_empty_text():
    answer = Answer("p")
    answer.state("thought_signature", b"s")
    (part,) = parts(finished(answer))
    assert (part.WhichOneof("kind"), part.text, part.provider_state.data) == ("text", "", b"s")


def test_several_calls_may_grow_at_once():
    answer = Answer("p")
    answer.tool_call(0, id="a", name="f", arguments='{"x"')
    answer.tool_call(1, id="b", name="g")
    answer.tool_call(0, id="a", name="f", arguments=":1}")
    answer.tool_call(1, arguments="{}")
    response = finished(answer, TOOL_CALLS, "tool_calls")
    calls = [part.tool_call for part in parts(response)]
    assert [(call.id, call.name, call.arguments_json) for call in calls] == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert {call.state for call in calls} == {content_pb2.TOOL_CALL_STATE_PENDING}
    assert {call.executor for call in calls} == {content_pb2.TOOL_EXECUTOR_CLIENT}


def test_a_name_may_come_late():
    answer = Answer("p")
    answer.tool_call(0, id="a")
    answer.tool_call(0, name="f", arguments="{}")
    (part,) = parts(finished(answer))
    assert part.tool_call.name == "f"


def test_ids_are_made_up_apart_from_all_that_are_known():
    earlier = content_pb2.Message(
        role=content_pb2.ROLE_ASSISTANT,
        parts=[content_pb2.Part(tool_call=content_pb2.ToolCall(id=id)) for id in ("call_2", "toolu_1")],
    )
    answer = Answer("p", chat_pb2.ChatRequest(messages=[earlier]))
    answer.tool_call(0, name="f")
    answer.tool_call(1, name="f")
    answer.tool_call(2, id="x", name="f")
    answer.tool_call(3, id="x", name="f")
    assert [part.tool_call.id for part in parts(finished(answer))] == ["call_3", "call_4", "x", "call_6"]


def test_a_stop_with_calls_for_the_client_is_tool_calls():
    answer = Answer("p")
    answer.tool_call(0, name="f")
    assert finished(answer).finish_reason == TOOL_CALLS
    ran_there = Answer("p")
    ran_there.tool_call(0, name="web_search", executor=content_pb2.TOOL_EXECUTOR_PROVIDER)
    assert finished(ran_there).finish_reason == STOP


def test_a_tool_that_the_provider_ran_answers_in_a_message_of_its_own():
    answer = Answer("p")
    answer.text("let me look")
    answer.tool_call("k", id="c", name="web_search", arguments="{}", executor=content_pb2.TOOL_EXECUTOR_PROVIDER)
    answer.close("k")
    answer.tool_update("k", content_pb2.TOOL_CALL_STATE_SUCCEEDED)
    answer.tool_result(content_pb2.ToolResult(tool_call_id="c", name="web_search", structured_json="[1]"))
    answer.text("found")
    response = finished(answer)
    assert [message.role for message in response.messages] == [
        content_pb2.ROLE_ASSISTANT,
        content_pb2.ROLE_TOOL,
        content_pb2.ROLE_ASSISTANT,
    ]
    assert response.messages[0].parts[1].tool_call.state == content_pb2.TOOL_CALL_STATE_SUCCEEDED
    assert response.messages[1].parts[0].tool_result.structured_json == "[1]"


def test_blocks_of_the_provider_may_alternate():
    answer = Answer("p")
    answer.open(0, content_pb2.Part(text=""))
    answer.open(1, content_pb2.Part(reasoning=content_pb2.Reasoning()))
    answer.text("a", key=0)
    answer.reasoning("x", key=1)
    answer.text("b", key=0)
    answer.state("signature", b"s", key=1)
    answer.close(1)
    answer.close(1)
    answer.close("never opened")
    answer.text("c", key=0)
    text, reasoning = parts(finished(answer))
    assert (text.text, reasoning.reasoning.text, reasoning.provider_state.data) == ("abc", "x", b"s")


def test_text_in_a_block_of_another_kind_is_the_providers_fault():
    answer = Answer("p")
    answer.tool_call(0, name="f")
    with pytest.raises(MaestroError, match=r"PROVIDER_PROTOCOL_ERROR: .* text in a block of kind tool_call"):
        answer.text("a", key=0)


def test_media_comes_whole_or_in_pieces():
    answer = Answer("p")
    whole = b"x" * (MEDIA_CHUNK + 1)
    answer.media(whole, mime_type="image/png")
    answer.media(b"ab", mime_type="audio/wav", key="voice")
    answer.media(b"cd", transcript="hello", key="voice")
    answer.media(uri="https://example.com/a.mp4", mime_type="video/mp4")
    image, voice, film = (part.media for part in parts(finished(answer)))
    assert (image.data, image.modality) == (whole, common_pb2.MODALITY_IMAGE)
    assert (voice.data, voice.transcript, voice.modality) == (b"abcd", "hello", common_pb2.MODALITY_AUDIO)
    assert film.uri == "https://example.com/a.mp4"


def test_an_opaque_block_is_kept_as_it_is():
    answer = Answer("p")
    answer.opaque("server_tool", '{"b": 1, "a": 1.0}')
    (part,) = parts(finished(answer))
    assert part.opaque == content_pb2.OpaqueBlock(provider="p", type="server_tool", json='{"b": 1, "a": 1.0}')


def test_a_citation_of_a_complete_part_waits_for_the_end():
    answer = Answer("p")
    answer.text("a")
    answer.citation(content_pb2.Citation(title="now"))
    answer.tool_call(0, name="f", arguments="{}")
    answer.close(0)
    answer.citation(content_pb2.Citation(title="late"))
    answer.text("b")
    answer.finish(STOP)
    events = answer.end()
    check(events, numbered=False)
    assert kinds(events)[-2:] == ["citation", "completed"]
    assert [citation.title for citation in fold(events).messages[0].parts[1].citations] == ["late"]


def test_a_citation_before_anything_was_said_is_told():
    answer = Answer("p")
    answer.citation(content_pb2.Citation(title="t"))
    assert [warning.code for warning in finished(answer).warnings] == ["CITATION_DROPPED"]


def test_logprobs_follow_the_text_they_speak_of():
    answer = Answer("p")
    answer.logprobs([chat_pb2.TokenLogprob(token="nobody said it")])
    answer.text("a")
    answer.logprobs([chat_pb2.TokenLogprob(token="a", logprob=-1)])
    answer.text("b")
    answer.logprobs([])
    assert kinds(answer.drain()) == ["started", "part_started", "text_delta", "logprobs", "text_delta"]


def test_usage_is_told_once_a_drain_and_billed_at_the_end():
    answer = Answer("p")
    answer.usage(common_pb2.Usage(input_tokens=5))
    assert answer.drain() == []
    answer.text("a")
    answer.usage(common_pb2.Usage(input_tokens=5, output_tokens=1))
    answer.usage(None)
    assert [event.usage.output_tokens for event in answer.drain() if event.HasField("usage")] == [1]
    answer.usage(common_pb2.Usage(input_tokens=5, output_tokens=1))
    assert answer.drain() == []
    answer.usage(common_pb2.Usage(input_tokens=5, output_tokens=7, reasoning_output_tokens=3))
    answer.finish(STOP)
    assert answer.end()[-1].completed.usage == common_pb2.Usage(
        input_tokens=5,
        output_tokens=7,
        total_tokens=12,
        reasoning_output_tokens=3,
        source=common_pb2.USAGE_SOURCE_PROVIDER,
        model_calls=1,
    )


def test_usage_that_never_came_is_estimated_and_says_so():
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="x" * 40)])
    answer = Answer("p", chat_pb2.ChatRequest(messages=[said]))
    answer.reasoning("y" * 8)
    answer.text("é" * 8)
    usage = finished(answer).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_output_tokens) == (14, 6, 2)
    assert (usage.total_tokens, usage.source) == (20, common_pb2.USAGE_SOURCE_ESTIMATED)


def test_raw_events_are_passed_on_only_when_asked_for():
    answer = Answer("p")
    answer.provider_event("chunk", "{}")
    assert answer.drain() == []
    asked = Answer("p", chat_pb2.ChatRequest(include=[chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS]))
    asked.provider_event("chunk", "{}")
    assert kinds(asked.drain()) == ["started", "provider_event"]


def test_what_the_provider_says_about_itself_comes_with_the_end():
    answer = Answer("p")
    answer.metadata(request_id="req", headers={"x": "1"})
    answer.metadata(service_tier="flex", headers={"y": "2"})
    told = finished(answer).provider_metadata
    assert (told.request_id, told.service_tier, dict(told.headers)) == ("req", "flex", {"x": "1", "y": "2"})


def test_the_end_says_why_in_both_words():
    answer = Answer("p")
    answer.finish(None, None)
    answer.finish(None, "")
    answer.finish(chat_pb2.FINISH_REASON_STOP_SEQUENCE, "stop_sequence", "###")
    response = fold(answer.end())
    assert response.finish_reason == chat_pb2.FINISH_REASON_STOP_SEQUENCE
    assert (response.provider_finish_reason, response.stop_sequence) == ("stop_sequence", "###")


def test_a_word_nobody_knows_is_other():
    response = finished(Answer("p"), None, "moon_phase")
    assert response.finish_reason == chat_pb2.FINISH_REASON_OTHER
    assert response.provider_finish_reason == "moon_phase"


def test_a_stream_that_never_said_why_is_broken_and_may_be_tried_again_if_it_said_nothing():
    silent = Answer("p", chat_pb2.ChatRequest(model="m"))
    silent.start()
    with pytest.raises(MaestroError) as broken:
        silent.end()
    assert (broken.value.reason, broken.value.retryable) == (Reason.STREAM_BROKEN, True)
    spoken = Answer("p", chat_pb2.ChatRequest(model="m"))
    spoken.text("a")
    spoken.usage(common_pb2.Usage(input_tokens=3))
    with pytest.raises(MaestroError) as broken:
        spoken.end()
    assert (broken.value.reason, broken.value.retryable) == (Reason.STREAM_BROKEN, False)
    assert (broken.value.provider, broken.value.model, broken.value.usage.input_tokens) == ("p", "m", 3)


def test_a_character_torn_in_two_is_mended():
    answer = Answer("p")
    answer.text("\ud83d")
    answer.text("\ude00 \ud83d")
    (part,) = parts(finished(answer))
    assert part.text == "😀 \ufffd"


verbs = st.one_of(
    st.tuples(st.just("text"), texts),
    st.tuples(st.just("reasoning"), texts, st.booleans()),
    st.tuples(st.just("refusal"), texts),
    st.tuples(st.just("tool_call"), st.integers(0, 2), texts),
    st.tuples(st.just("close"), st.integers(0, 2)),
    st.tuples(st.just("state"), st.binary(max_size=3)),
    st.tuples(st.just("citation"), texts),
    st.tuples(st.just("media"), st.binary(max_size=3)),
    st.tuples(st.just("drain")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(verbs, max_size=25))
def test_whatever_is_said_keeps_the_grammar_and_nothing_said_is_lost(said):
    answer = Answer("p")
    events = []
    for verb, *values in said:
        match verb:
            case "reasoning":
                answer.reasoning(values[0], summary=values[1])
            case "tool_call":
                answer.tool_call(values[0], name="f", arguments=values[1])
            case "state":
                answer.state("signature", values[0])
            case "citation":
                answer.citation(content_pb2.Citation(title=values[0]))
            case "media":
                answer.media(values[0], mime_type="image/png")
            case "drain":
                events += answer.drain()
            case _:
                getattr(answer, verb)(*values)
    answer.finish(STOP)
    events += answer.end()
    check(events, numbered=False)
    told = parts(fold(events))
    assert "".join(part.text for part in told) == "".join(words[1] for words in said if words[0] == "text")
    assert "".join(part.reasoning.text for part in told) == "".join(w[1] for w in said if w[0] == "reasoning")
    assert len("".join(part.tool_call.arguments_json for part in told)) == sum(
        len(words[2]) for words in said if words[0] == "tool_call"
    )
