from google.protobuf import timestamp_pb2
from google.rpc import status_pb2
from hypothesis import given, settings

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_stream.fold import Fold, fold
from tests.doubles.chat_strategies import from_the_future, number, streams

Event = chat_pb2.ChatEvent
Response = chat_pb2.ChatResponse
Part = content_pb2.Part
ASSISTANT, TOOL = content_pb2.ROLE_ASSISTANT, content_pb2.ROLE_TOOL


def started(**fields):
    return Event(started=chat_pb2.ChatStarted(**fields))


def opened(index, part, message=0, role=ASSISTANT):
    return Event(part_index=index, part_started=chat_pb2.PartStarted(message_index=message, role=role, part=part))


def closed(index, remainder=None):
    return Event(part_index=index, part_completed=chat_pb2.PartCompleted(remainder=remainder))


def completed(reason=chat_pb2.FINISH_REASON_STOP, **fields):
    return Event(completed=chat_pb2.ChatCompleted(finish_reason=reason, **fields))


def interrupted(code):
    return Event(interrupted=chat_pb2.ChatInterrupted(error=status_pb2.Status(code=code, message="gone")))


@settings(max_examples=100, deadline=None)
@given(streams())
def test_looking_at_the_answer_on_the_way_changes_nothing(stream):
    watched = Fold()
    for event in stream:
        watched.add(event)
        watched.response()
    assert watched.response() == fold(stream)


@settings(max_examples=50, deadline=None)
@given(streams())
def test_what_is_newer_is_skipped_but_counted(stream):
    with_news = [*stream[:-1], from_the_future(), stream[-1]]
    expected = fold(stream)
    expected.last_sequence += 1
    assert fold(number(with_news)) == expected


def test_an_answer_runs_until_its_end():
    folded = Fold()
    for event in number([started(chat="chats/1"), opened(0, Part(text="")), Event(text_delta="né")]):
        folded.add(event)
    so_far = folded.response()
    assert so_far.state == Response.STATE_RUNNING
    assert so_far.messages[0].parts[0].text == "né"
    assert so_far.last_sequence == 3
    folded.add(Event(sequence=4, text_delta="e"))
    assert so_far.messages[0].parts[0].text == "né"
    assert folded.response().messages[0].parts[0].text == "née"


def test_the_whole_answer_is_told():
    when = timestamp_pb2.Timestamp(seconds=5)
    call = content_pb2.ToolCall(id="c1", name="f", state=content_pb2.TOOL_CALL_STATE_STREAMING)
    ready = Part(tool_call=content_pb2.ToolCall(state=content_pb2.TOOL_CALL_STATE_PENDING))
    signed = Part(provider_state=content_pb2.ProviderState(provider="p", kind="signature", data=b"s"))
    result = content_pb2.ToolResult(tool_call_id="c1", content=[Part(text="42")])
    token = chat_pb2.TokenLogprob(token="a", logprob=-1)
    usage = common_pb2.Usage(input_tokens=3, output_tokens=4, total_tokens=7)
    attempt = common_pb2.Attempt(provider="p", cause="primary")
    said_of_itself = chat_pb2.ProviderMetadata(response_id="r")
    timing = common_pb2.Timing(total={"seconds": 1})
    events = [
        started(chat="chats/1", provider="p", model="m", create_time=when),
        opened(0, Part(reasoning=content_pb2.Reasoning(summary=True))),
        Event(part_index=0, reasoning_delta="hm"),
        closed(0, signed),
        opened(1, Part(tool_call=call)),
        opened(2, Part(text="")),
        Event(part_index=1, arguments_delta='{"a"'),
        Event(part_index=2, text_delta="let me "),
        Event(part_index=1, arguments_delta=":1}"),
        Event(part_index=2, text_delta="see"),
        Event(part_index=2, logprobs=chat_pb2.PartLogprobs(part_index=2, tokens=[token])),
        Event(part_index=2, citation=content_pb2.Citation(title="t")),
        closed(1, ready),
        closed(2),
        Event(usage=common_pb2.Usage(output_tokens=1)),
        Event(warning=common_pb2.Warning(code="W")),
        Event(tool_call_update=chat_pb2.ToolCallUpdate(tool_call_id="c1", state=content_pb2.TOOL_CALL_STATE_RUNNING)),
        opened(3, Part(tool_result=content_pb2.ToolResult(tool_call_id="c1")), 1, TOOL),
        closed(3, Part(tool_result=result)),
        opened(4, Part(media=content_pb2.Media(mime_type="image/png")), 2),
        Event(part_index=4, media_delta=b"\x89P"),
        Event(part_index=4, media_delta=b"NG"),
        closed(4),
        opened(5, Part(refusal=""), 2),
        Event(part_index=5, refusal_delta="no"),
        closed(5),
        Event(part_index=2, citation=content_pb2.Citation(title="late")),
        completed(
            usage=usage,
            provider_finish_reason="end_turn",
            stop_sequence="###",
            attempts=[attempt],
            provider_metadata=said_of_itself,
            timing=timing,
        ),
    ]
    call_done = content_pb2.ToolCall(
        id="c1", name="f", arguments_json='{"a":1}', state=content_pb2.TOOL_CALL_STATE_RUNNING
    )
    thought = Part(reasoning=content_pb2.Reasoning(text="hm", summary=True), provider_state=signed.provider_state)
    sources = [content_pb2.Citation(title="t"), content_pb2.Citation(title="late")]
    assert fold(number(events)) == Response(
        chat="chats/1",
        provider="p",
        model="m",
        create_time=when,
        messages=[
            content_pb2.Message(
                role=ASSISTANT, parts=[thought, Part(tool_call=call_done), Part(text="let me see", citations=sources)]
            ),
            content_pb2.Message(role=TOOL, parts=[Part(tool_result=result)]),
            content_pb2.Message(
                role=ASSISTANT,
                parts=[Part(media=content_pb2.Media(mime_type="image/png", data=b"\x89PNG")), Part(refusal="no")],
            ),
        ],
        finish_reason=chat_pb2.FINISH_REASON_STOP,
        provider_finish_reason="end_turn",
        stop_sequence="###",
        state=Response.STATE_SUCCEEDED,
        usage=usage,
        warnings=[common_pb2.Warning(code="W")],
        attempts=[attempt],
        timing=timing,
        provider_metadata=said_of_itself,
        logprobs=[chat_pb2.PartLogprobs(part_index=2, tokens=[token])],
        last_sequence=len(events),
    )


def test_another_attempt_makes_forget_what_it_discards():
    changed = chat_pb2.AttemptChanged(
        failed=common_pb2.Attempt(provider="p"), provider="q", model="n", discard=True, discard_from_part=1
    )
    asked = chat_pb2.ApprovalRequested(approval="approvals/1", tool_call_id="c")
    answer = fold(
        [
            started(provider="p", model="m"),
            opened(0, Part(text="")),
            Event(text_delta="kept"),
            closed(0),
            opened(1, Part(tool_call=content_pb2.ToolCall(id="c"))),
            Event(part_index=1, logprobs=chat_pb2.PartLogprobs(tokens=[chat_pb2.TokenLogprob(token="x")])),
            Event(approval_requested=asked),
            Event(attempt_changed=changed),
            opened(1, Part(text="")),
            Event(part_index=1, text_delta="new"),
            closed(1),
            completed(),
        ]
    )
    assert [part.text for part in answer.messages[0].parts] == ["kept", "new"]
    assert (answer.provider, answer.model) == ("q", "n")
    assert not answer.approvals
    assert not answer.logprobs
    assert [attempt.provider for attempt in answer.attempts] == ["p"]


def test_an_approval_is_waited_for_until_its_call_goes_on():
    asked = [
        started(),
        opened(0, Part(tool_call=content_pb2.ToolCall(id="c"))),
        closed(0),
        Event(approval_requested=chat_pb2.ApprovalRequested(approval="approvals/1", tool_call_id="c")),
    ]
    held = fold([*asked, completed(chat_pb2.FINISH_REASON_AWAITING_APPROVAL)])
    assert list(held.approvals) == ["approvals/1"]
    assert held.state == Response.STATE_AWAITING_APPROVAL
    denied = chat_pb2.ToolCallUpdate(tool_call_id="c", state=content_pb2.TOOL_CALL_STATE_DENIED)
    settled = fold([*asked, Event(tool_call_update=denied), completed()])
    assert not settled.approvals
    assert settled.messages[0].parts[0].tool_call.state == content_pb2.TOOL_CALL_STATE_DENIED


def test_the_state_is_the_streams_own_word_or_follows_from_the_end():
    assert fold([started(), completed()]).state == Response.STATE_SUCCEEDED
    assert fold([started(), completed(chat_pb2.FINISH_REASON_TOOL_CALLS)]).state == Response.STATE_AWAITING_TOOLS
    assert fold([started(), completed(state=Response.STATE_CANCELLED)]).state == Response.STATE_CANCELLED


def test_an_interrupted_answer_keeps_what_came_before():
    events = [started(), opened(0, Part(text="")), Event(text_delta="half")]
    failed = fold([*events, interrupted(14)])
    assert failed.messages[0].parts[0].text == "half"
    assert failed.state == Response.STATE_FAILED
    assert failed.finish_reason == chat_pb2.FINISH_REASON_ERROR
    assert failed.error.code == 14
    stopped = fold([*events, interrupted(1)])
    assert stopped.state == Response.STATE_CANCELLED
    assert stopped.finish_reason == chat_pb2.FINISH_REASON_CANCELLED


def test_events_about_parts_nobody_started_are_skipped():
    answer = fold([started(), Event(part_index=3, text_delta="x"), Event(part_index=3, media_delta=b"x"), completed()])
    assert not answer.messages
