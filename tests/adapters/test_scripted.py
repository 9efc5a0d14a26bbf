import asyncio
import json
import re
from contextlib import aclosing

import pytest

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2
from maestro_adapters.scripted.adapter import SCRIPTS_COUNTED, Scripted
from maestro_adapters.scripted.script import VERBS
from maestro_spi import AdapterSettings, MaestroError, Reason
from maestro_stream.fold import fold
from maestro_stream.grammar import check


def scripted(sleep=asyncio.sleep, **options):
    return Scripted(AdapterSettings(name="scripted", adapter="scripted", options=options), sleep=sleep)


def request(script=None, model="hello", **fields):
    options = {} if script is None else {"scripted": script if isinstance(script, str) else json.dumps(script)}
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(model=model, messages=[said], provider_options_json=options, **fields)


async def events_of(script, adapter=None, **fields):
    """The events of a script, up to its failure if it has one."""
    seen = []
    failure = None
    async with asyncio.timeout(5), aclosing((adapter or scripted()).chat(request(script, **fields))) as events:
        try:
            async for event in events:
                seen.append(event)
        except MaestroError as error:
            failure = error
    if failure is None:
        check(seen, numbered=False)
    return seen, failure


async def answer_of(script, adapter=None, **fields):
    events, failure = await events_of(script, adapter, **fields)
    assert failure is None
    return fold(events)


def kinds(events):
    return [event.WhichOneof("event") for event in events]


EVERY_ARM = [
    {"start": {"model": "m-1", "response_id": "r-1"}},
    {"heartbeat": True},
    {"warning": {"code": "W", "message": "careful", "field": "generation.seed"}},
    {"provider_event": {"type": "chunk", "json": {"a": 1}}},
    {"metadata": {"request_id": "req-1", "service_tier": "flex", "headers": {"x-left": "3"}}},
    {"reasoning": {"text": ["hm", "m"], "summary": True, "signature": "sig"}},
    {"text": ["It is ", "warm."]},
    {"citation": {"start_index": 0, "end_index": 2, "title": "t", "uri": "https://example.com/"}},
    {"logprobs": [{"token": "It", "logprob": -0.5, "top": [{"token": "He", "logprob": -2}]}]},
    {"json": {"degrees": 21}},
    {"tool_calls": [{"id": "a", "name": "f", "arguments": {"city": "Oslo"}}, {"name": "g", "arguments": "{broken"}]},
    {"media": {"mime": "image/png", "data": "iVBO", "transcript": "a dot"}},
    {"opaque": {"type": "block", "json": {"z": [1, 2]}}},
    {"refusal": "not that"},
    {"usage": {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 4, "reasoning_output_tokens": 2}},
    {"delay": 0},
    {"finish": {"reason": "MAX_TOKENS", "word": "length", "stop_sequence": ""}},
]


async def test_a_script_can_say_everything_that_an_answer_holds():
    asked = [chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS]
    events, _ = await events_of(EVERY_ARM, include=asked)
    assert {"heartbeat", "provider_event", "logprobs", "citation", "usage"} <= set(kinds(events))
    answer = fold(events)
    reasoning, text, call, other, media, opaque, refusal = answer.messages[0].parts
    assert (reasoning.reasoning.text, reasoning.reasoning.summary, reasoning.provider_state.data) == (
        "hmm",
        True,
        b"sig",
    )
    assert text.text == 'It is warm.{"degrees":21}'
    assert text.citations[0].uri == "https://example.com/"
    assert (call.tool_call.id, call.tool_call.arguments_json) == ("a", '{"city":"Oslo"}')
    assert (other.tool_call.name, other.tool_call.arguments_json) == ("g", "{broken")
    assert (media.media.data, media.media.mime_type, media.media.transcript) == (b"\x89PN", "image/png", "a dot")
    assert (opaque.opaque.type, opaque.opaque.json) == ("block", '{"z":[1,2]}')
    assert refusal.refusal == "not that"
    assert (answer.model, answer.provider_metadata.response_id) == ("m-1", "r-1")
    assert (answer.provider_metadata.request_id, answer.provider_metadata.headers["x-left"]) == ("req-1", "3")
    assert answer.logprobs[0].tokens[0].top[0].token == "He"
    assert answer.warnings[0].field == "generation.seed"
    assert (answer.finish_reason, answer.provider_finish_reason) == (chat_pb2.FINISH_REASON_MAX_TOKENS, "length")
    assert answer.usage == common_pb2.Usage(
        input_tokens=9,
        output_tokens=5,
        total_tokens=14,
        cache_read_input_tokens=4,
        reasoning_output_tokens=2,
        source=common_pb2.USAGE_SOURCE_PROVIDER,
        model_calls=1,
    )


def test_every_verb_is_tried_in_this_file():
    assert {*VERBS} - {verb for step in EVERY_ARM for verb in step} == {"stall", "cut", "fail"}


async def test_fragments_leave_one_by_one():
    events, _ = await events_of([{"text": ["a", "b", "c"]}])
    assert [event.text_delta for event in events if event.HasField("text_delta")] == ["a", "b", "c"]


async def test_parallel_calls_grow_in_turn():
    arguments = {"text": "twenty characters..."}
    events, _ = await events_of([{"tool_calls": [{"name": n, "arguments": arguments} for n in "fg"]}])
    deltas = [event.part_index for event in events if event.HasField("arguments_delta")]
    assert deltas[:4] == [0, 1, 0, 1]


async def test_a_large_stream_is_a_short_script():
    answer = await answer_of([{"text": {"repeat": 1000, "of": "é"}}])
    assert answer.messages[0].parts[0].text == "é" * 1000


async def test_time_passes_only_where_the_script_says_so():
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    script = [{"delay": 2}, {"text": ["a", "b", "c"], "every": 0.5}, {"text": "d"}]
    await answer_of(script, scripted(sleep))
    assert slept == [2, 0.5, 0.5]


async def test_what_came_before_a_stall_is_sent_and_the_stall_ends_with_the_call():
    events = scripted().chat(request([{"text": "one "}, {"stall": True}]))
    async with asyncio.timeout(5):
        seen = [await anext(events) for _ in range(3)]
        assert seen[-1].text_delta == "one "
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await events.aclose()


async def test_a_cut_is_a_broken_stream():
    events, failure = await events_of([{"text": "a"}, {"cut": True}])
    assert kinds(events) == ["started", "part_started", "text_delta"]
    assert (failure.reason, failure.retryable) == (Reason.STREAM_BROKEN, False)
    events, failure = await events_of([{"cut": True}])
    assert (events, failure.reason, failure.retryable) == ([], Reason.STREAM_BROKEN, True)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
async def test_every_failure_can_be_scripted_by_its_name(reason):
    events, failure = await events_of([{"fail": {"reason": reason.name}}])
    assert events == []
    assert failure.reason is reason


async def test_a_failure_after_content_comes_in_the_middle():
    events, failure = await events_of([{"text": "a"}, {"fail": {"reason": "PROVIDER_UNAVAILABLE"}}])
    assert kinds(events) == ["started", "part_started", "text_delta"]
    assert failure.reason is Reason.PROVIDER_UNAVAILABLE


async def test_an_accepted_request_may_fail_before_its_first_content():
    events, failure = await events_of([{"start": True}, {"fail": {"reason": "PROVIDER_UNAVAILABLE"}}])
    assert kinds(events) == ["started"]
    assert failure.retryable


async def test_a_failure_carries_all_that_an_error_may_say():
    told = {
        "reason": "PROVIDER_RATE_LIMITED",
        "message": "slow down",
        "retryable": False,
        "retry_after": 1.5,
        "http_status": 429,
        "code": "rate_limit",
        "provider_message": "too fast",
        "request_id": "req-9",
        "phase": "connect",
        "metadata": {"provider": "p"},
        "violations": [{"field": "model", "rule": "known", "description": "spell it right"}],
        "preconditions": [{"type": "CAPABILITY", "subject": "TOOLS", "description": "take another"}],
        "resource": {"type": "maestro.v1.Model", "name": "m"},
    }
    _, failure = await events_of([{"fail": told}])
    assert (failure.message, failure.retryable, failure.retry_delay) == ("slow down", False, 1.5)
    assert (failure.word.http_status, failure.word.code, failure.word.request_id) == (429, "rate_limit", "req-9")
    assert (failure.word.message, failure.phase, failure.metadata["provider"]) == ("too fast", "connect", "p")
    assert failure.violations[0].field == "model"
    assert failure.preconditions[0].subject == "TOOLS"
    assert failure.resource.name == "m"


async def test_attempts_are_played_in_turn_and_begin_again():
    script = {"attempts": [[{"fail": {"reason": "PROVIDER_UNAVAILABLE"}}], [{"text": "there"}]]}
    adapter = scripted(models={"flaky": script})
    for model, options in (("flaky", None), ("hello", script)):
        for _ in range(2):
            _, failure = await events_of(options, adapter, model=model)
            assert failure.reason is Reason.PROVIDER_UNAVAILABLE
            answer = await answer_of(options, adapter, model=model)
            assert answer.messages[0].parts[0].text == "there"


async def test_the_calls_of_a_bounded_number_of_scripts_are_counted():
    adapter = scripted()
    first = {"attempts": [[{"text": "0"}], [{"text": "again"}]]}
    await answer_of(first, adapter)
    for number in range(1, SCRIPTS_COUNTED + 1):
        await answer_of({"attempts": [[{"text": str(number)}], []]}, adapter)
    assert (await answer_of(first, adapter)).messages[0].parts[0].text == "0"


async def test_usage_is_counted_where_the_script_says_nothing_of_it():
    usage = (await answer_of([{"text": "x" * 8}])).usage
    assert (usage.output_tokens, usage.source) == (2, common_pb2.USAGE_SOURCE_PROVIDER)
    assert usage.input_tokens > 0


@pytest.mark.parametrize(
    ("script", "reason", "word"),
    [
        ([{"text": "a"}], chat_pb2.FINISH_REASON_STOP, "stop"),
        ([{"refusal": "no"}], chat_pb2.FINISH_REASON_REFUSAL, "refusal"),
        ([{"tool_calls": {"name": "f"}}], chat_pb2.FINISH_REASON_TOOL_CALLS, "tool_calls"),
        ([{"text": "a"}, {"finish": {"reason": "PAUSED"}}], chat_pb2.FINISH_REASON_PAUSED, "paused"),
        ([], chat_pb2.FINISH_REASON_STOP, "stop"),
    ],
    ids=["text", "refusal", "calls", "said", "nothing"],
)
async def test_an_answer_ends_as_what_it_says(script, reason, word):
    answer = await answer_of(script)
    assert (answer.finish_reason, answer.provider_finish_reason) == (reason, word)


WRONG = {
    "no JSON": ("[{", "", "malformed|truncated"),
    "no script": ("5", "", "Expected"),
    "an unknown step": ([{"txt": "a"}], "[0]", "did you mean text"),
    "an unknown field": ([{"text": "a"}, {"fail": {"reason": "INTERNAL", "retry_afte": 1}}], "[1].fail", "retry_after"),
    "an unknown field of a call": ([{"tool_calls": [{"nam": "f"}]}], "[0].tool_calls[0]", "did you mean name"),
    "an unknown key beside the steps": ({"step": []}, "", "did you mean steps"),
    "an unknown reason": ([{"fail": {"reason": "STREAM_BROKE"}}], "[0].fail", "did you mean STREAM_BROKEN"),
    "an unknown finish": ([{"finish": {"reason": "LENGTH"}}], "[0].finish", "no finish reason is called 'LENGTH'"),
    "a wrong type": ([{"text": "a"}, {"text": 1}], "[1].text", "Expected `str"),
    "two things at once": ([{"text": "a", "cut": True}], "[0]", "says text and cut; split it"),
    "nothing": ([{}], "[0]", "says nothing"),
    "a pause where none can be": ([{"cut": True, "every": 1}], "[0]", "write a step `delay`"),
    "a false stall": ([{"stall": False}], "[0]", "true, or left out"),
    "a negative delay": ([{"delay": -1}], "[0].delay", ">= 0"),
    "a stream without end": ([{"text": {"repeat": 10**7, "of": "x"}}], "[0].text.repeat", "<= 1000000"),
    "a stream too large": ([{"text": {"repeat": 10**6, "of": "x" * 100}}], "[0].text", "make one of them smaller"),
    "steps and attempts": ({"steps": [], "attempts": [[]]}, "", "either `steps` or `attempts`"),
    "no attempt": ({"attempts": []}, ".attempts", "length >= 1"),
    "broken base64": ([{"media": {"mime": "image/png", "data": "%"}}], "[0].media.data", "base64"),
}


@pytest.mark.parametrize(("script", "path", "said"), WRONG.values(), ids=WRONG)
async def test_a_wrong_script_is_an_invalid_field_with_its_path_and_the_fix(script, path, said):
    events, failure = await events_of(script)
    assert events == []
    assert failure.reason is Reason.INVALID_FIELD
    (violation,) = failure.violations
    assert violation.field == f'provider_options_json["scripted"]{path}'
    assert re.search(said, violation.description)


async def test_each_script_of_the_file_is_a_model(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(
        "models:\n  greeter: [{text: [hel, lo]}]\n"
        "  poor: {title: Poor, aliases: [old], context_tokens: 9, capabilities: [TOOLS], steps: [{text: a}]}\n"
    )
    adapter = scripted(script=str(file), models={"own": [{"text": "mine"}]})
    greeter = await answer_of(None, adapter, model="greeter")
    assert greeter.messages[0].parts[0].text == "hello"
    facts = {model.name: model for model in adapter.models()}
    assert list(facts) == ["hello", "own", "greeter", "poor"]
    assert (facts["poor"].title, facts["poor"].aliases, facts["poor"].context_tokens) == ("Poor", ("old",), 9)
    assert list(facts["poor"].capabilities) == [common_pb2.CAPABILITY_TOOLS]
    assert common_pb2.CAPABILITY_VISION in facts["greeter"].capabilities
    assert common_pb2.CAPABILITY_VISION not in facts["hello"].capabilities
    assert facts["hello"].parameters == {"generation.max_output_tokens", "generation.stop_sequences"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("models: {m: [{txt: a}]}", r"models\.m\[0\]: .*did you mean text"),
        ("models: {m: {steps: [], capabilities: [TOOL]}}", r"models\.m: .*did you mean TOOLS"),
        ("models: [", "cannot be read as YAML"),
        ("[{text: a}]", "has one key, `models`"),
        ("models: [1]", "models: a mapping is needed"),
    ],
)
def test_a_wrong_file_is_named_with_the_path_into_it(tmp_path, written, said):
    file = tmp_path / "wrong.yaml"
    file.write_text(written)
    with pytest.raises(ValueError, match=rf"wrong\.yaml: .*{said}|wrong\.yaml: {said}"):
        scripted(script=str(file))


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="'modls' is not known; there are: script, models, health"):
        scripted(modls={})
    with pytest.raises(ValueError, match="health: one of"):
        scripted(health="fine")
    with pytest.raises(ValueError, match=r"nowhere\.yaml: cannot be read"):
        scripted(script="nowhere.yaml")


async def test_its_health_is_what_the_options_say():
    assert (await scripted().check()).health == capability_pb2.PROVIDER_HEALTH_SERVING
    assert (await scripted(health="unreachable").check()).health == capability_pb2.PROVIDER_HEALTH_UNREACHABLE


async def test_a_model_that_nobody_scripted_is_not_found():
    _, failure = await events_of(None, model="nobody")
    assert failure.reason is Reason.MODEL_NOT_FOUND
    await scripted().aclose()


async def test_a_script_under_the_providers_own_name_is_taken_too():
    adapter = Scripted(AdapterSettings(name="mock", adapter="scripted"))
    asked = chat_pb2.ChatRequest(model="hello", provider_options_json={"mock": '[{"text": "mine"}]'})
    events = [event async for event in adapter.chat(asked)]
    assert events[0].started.provider == "mock"
    assert fold(events).messages[0].parts[0].text == "mine"
