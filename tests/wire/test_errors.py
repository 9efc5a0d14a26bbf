"""The error table over the wire, row by row, from the real cause where this server has one."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details

from maestro.v1 import chat_pb2, common_pb2, content_pb2, error_pb2
from maestro_gateway.base.call import Call
from maestro_spi.errors import Reason
from maestro_spi.reasons import TABLE
from maestro_stream.grammar import check
from tests.doubles.asking import Told, ask, interrupted, refused, unpacked
from tests.doubles.gateway import BEARER, Around, Wire, wired

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
YAML = """
providers:
  scripted:
    adapter: scripted
    options:
      models:
        small: {context_tokens: 16, steps: [{text: fits}]}
        blind: {capabilities: [STREAMING], steps: [{text: dark}]}
keys:
  - {name: stopped, secret: env:OFF, disabled: true}
  - {name: reader, secret: env:READER, scopes: [models]}
"""
ENVIRON = {"OFF": "key-switched-off", "READER": "key-that-reads"}
STATUS = {code.value[0]: code for code in grpc.StatusCode}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    async with wired(tmp_path_factory.mktemp("gateway"), YAML, environ=ENVIRON) as made:
        yield made


@dataclass(frozen=True)
class Case:
    """A chat that must fail, and what its status holds beside what every status holds."""

    request: chat_pb2.ChatRequest
    metadata: Any = BEARER
    extra: frozenset[type[Message]] = frozenset()
    keys: frozenset[str] = frozenset()
    content: bool = False  # does something come before it fails?


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


def fail(reason: Reason, **said: object) -> list[object]:
    return [{"fail": {"reason": reason.name, **said}}]


def slow() -> chat_pb2.ChatRequest:
    request = ask(script=[{"stall": True}])
    request.timeouts.first_token.FromMilliseconds(30)
    return request


def late() -> chat_pb2.ChatRequest:
    request = ask(script=[{"text": "one "}, {"stall": True}])
    request.timeouts.total.FromMilliseconds(50)
    return request


def of_provider(reason: Reason, *more: str, extra: frozenset[type[Message]] = frozenset(), **said: object) -> Case:
    return Case(ask(script=fail(reason, **said)), extra=extra, keys=frozenset({"provider", *more}))


BAD = frozenset({details.BadRequest})
RETRY = frozenset({details.RetryInfo})
FIELD = frozenset({"field"})
SCHEMA = chat_pb2.ResponseFormat(json_schema=chat_pb2.JsonSchemaFormat(name="x", schema_json='{"type": "nonsense"}'))
VISION = common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_VISION)
SAMPLED = chat_pb2.GenerationConfig(temperature=1)
STRICT = chat_pb2.RoutingOptions(native_only=True)

CASES: Mapping[Reason, Case] = {
    Reason.INVALID_FIELD: Case(
        ask(generation=chat_pb2.GenerationConfig(top_p=2)), extra=BAD, keys=frozenset({"field"})
    ),
    Reason.INVALID_SCHEMA: Case(ask(response_format=SCHEMA), extra=BAD, keys=frozenset({"field", "pointer"})),
    Reason.CREDENTIALS_MISSING: Case(ask(), metadata=()),
    Reason.CREDENTIALS_INVALID: Case(ask(), metadata=bearer("nobody's")),
    Reason.SCOPE_MISSING: Case(ask(), metadata=bearer(ENVIRON["READER"]), keys=frozenset({"scope"})),
    Reason.TENANT_SUSPENDED: Case(ask(), metadata=bearer(ENVIRON["OFF"])),
    Reason.MESSAGE_TOO_LARGE: Case(ask("x" * (65 * 2**20)), keys=frozenset({"limitBytes"})),
    Reason.REQUEST_LIMIT_REACHED: Case(
        ask(script=[{"text": ["word " * 100] * 3}], limits=chat_pb2.ChatLimits(max_total_tokens=150)),
        keys=frozenset({"limit"}),
        content=True,
    ),
    Reason.CAPABILITY_UNMET: Case(
        ask(model="scripted/blind", requires=[VISION]), extra=frozenset({details.PreconditionFailure})
    ),
    Reason.MODEL_NOT_FOUND: Case(
        ask(model="scripted/helo"), extra=frozenset({details.ResourceInfo}), keys=frozenset({"model", "nearest"})
    ),
    Reason.PROVIDER_NOT_CONFIGURED: of_provider(Reason.PROVIDER_NOT_CONFIGURED),
    Reason.CONTEXT_OVERFLOW: Case(
        ask("word " * 100, model="scripted/small"), keys=frozenset({"inputTokens", "contextTokens", "model"})
    ),
    Reason.PARAMETER_UNSUPPORTED: Case(ask(generation=SAMPLED, routing=STRICT), extra=BAD),
    Reason.PROMPT_BLOCKED: of_provider(Reason.PROMPT_BLOCKED, "category", metadata={"category": "violence"}),
    Reason.OUTPUT_INVALID: Case(
        ask(script=[{"text": "{"}, *fail(Reason.OUTPUT_INVALID, metadata={"pointer": "/a"})], store=True),
        keys=frozenset({"pointer", "lastSequence"}),
        content=True,
    ),
    Reason.PROVIDER_RATE_LIMITED: of_provider(
        Reason.PROVIDER_RATE_LIMITED, extra=RETRY, http_status=429, retry_after=1.5, provider_message="slow down"
    ),
    Reason.PROVIDER_QUOTA_EXHAUSTED: of_provider(
        Reason.PROVIDER_QUOTA_EXHAUSTED, extra=frozenset({details.Help}), http_status=429
    ),
    Reason.PROVIDER_UNAVAILABLE: of_provider(Reason.PROVIDER_UNAVAILABLE, extra=RETRY, http_status=503, retry_after=2),
    Reason.PROVIDER_TIMEOUT: Case(slow(), keys=frozenset({"provider", "phase"})),
    Reason.CIRCUIT_OPEN: of_provider(Reason.CIRCUIT_OPEN, extra=RETRY, retry_after=3),
    Reason.PROVIDER_PROTOCOL_ERROR: of_provider(Reason.PROVIDER_PROTOCOL_ERROR),
    Reason.PROVIDER_AUTH_FAILED: of_provider(Reason.PROVIDER_AUTH_FAILED, http_status=401),
    Reason.PROVIDER_REJECTED_REQUEST: of_provider(
        Reason.PROVIDER_REJECTED_REQUEST, "providerCode", http_status=400, code="bad", metadata={"providerCode": "bad"}
    ),
    Reason.STREAM_BROKEN: Case(
        ask(script=[{"text": "half"}, {"cut": True}]), keys=frozenset({"provider", "lastSequence"}), content=True
    ),
    Reason.DEADLINE_EXCEEDED: Case(late(), keys=frozenset({"phase", "lastSequence"}), content=True),
    Reason.CALLER_CANCELLED: of_provider(Reason.CALLER_CANCELLED),
    Reason.CANCELLED_BY_OTHER: of_provider(Reason.CANCELLED_BY_OTHER, "by", metadata={"by": "operator"}),
    Reason.RESOURCE_NOT_FOUND: Case(
        ask(previous_chat="chats/none"), extra=frozenset({details.ResourceInfo}), keys=frozenset({"resource"})
    ),
    Reason.INVALID_STATE: of_provider(
        Reason.INVALID_STATE, "state", "allowed", metadata={"state": "STATE_SUCCEEDED", "allowed": "STATE_RUNNING"}
    ),
    Reason.FEATURE_DISABLED: Case(ask(session="sessions/1"), keys=frozenset({"feature"})),
    Reason.INTERNAL: of_provider(Reason.INTERNAL),
}


def holds(answer: Told, reason: Reason, request_id: str, case: Case) -> None:
    """Everything that the contract promises of this row."""
    assert (answer.reason, answer.code) == (reason.name, STATUS[TABLE[reason].code])
    assert answer.info.reason == f"ERROR_REASON_{reason.name}"
    assert answer.info.domain == "maestro.gateway"
    assert answer.message == answer.status.message
    assert answer.message
    assert answer.status.code == TABLE[reason].code
    assert answer.details[details.RequestInfo].request_id == request_id == answer.trailers["x-request-id"]
    assert answer.context.phase or reason is Reason.INTERNAL
    always = {details.ErrorInfo, details.RequestInfo, error_pb2.ErrorContext}
    assert answer.details.keys() == always | case.extra
    assert case.keys <= answer.info.metadata.keys()
    assert answer.size < 4096


async def test_every_reason_has_a_case() -> None:
    assert set(CASES) == set(Reason) == set(TABLE)


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.name)
async def test_a_whole_answer_fails_as_the_table_says(wire: Wire, reason: Reason) -> None:
    case = CASES[reason]
    metadata = (*case.metadata, ("x-request-id", "row-1"))
    async with asyncio.timeout(5):
        answer = await refused(wire.chat.CompleteChat(case.request, metadata=metadata))
    holds(answer, reason, "row-1", case)


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.name)
async def test_a_stream_fails_as_the_table_says(wire: Wire, reason: Reason) -> None:
    case = CASES[reason]
    metadata = (*case.metadata, ("x-request-id", "row-2"))
    async with asyncio.timeout(5):
        events, answer = await interrupted(wire.chat.StreamChat(case.request, metadata=metadata))
    holds(answer, reason, "row-2", case)
    if not case.content:
        assert events == [], "before `started` there is a status alone"
        return
    check(events)
    last = events[-1].interrupted
    assert last.error == answer.status
    assert last.usage.total_tokens
    assert answer.context.usage == last.usage


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.name)
async def test_a_failure_after_content_tells_the_same_in_its_last_event(wire: Wire, reason: Reason) -> None:
    request = ask(script=[{"text": "some "}, *fail(reason, retry_after=1, provider_message="p" * 5000)])
    async with asyncio.timeout(5):
        events, answer = await interrupted(wire.chat.StreamChat(request, metadata=BEARER))
    check(events)
    assert answer.reason == reason.name
    assert events[-1].interrupted.error == answer.status
    assert answer.info.metadata["lastSequence"] == str(events[-1].sequence - 1)
    assert answer.context.provider == "scripted"
    assert answer.context.chat == events[0].started.chat
    assert answer.trailers["grpc-retry-pushback-ms"] == "-1", "tokens were bought: nobody buys them twice"
    assert len(answer.context.provider_message.encode()) <= 512
    assert answer.size < 4096


async def test_a_cancelled_answer_names_who_stopped_it(wire: Wire) -> None:
    call = wire.chat.StreamChat(ask(script=[{"text": "one "}, {"stall": True}]), metadata=BEARER)
    chat = dict(await call.initial_metadata())["x-maestro-chat"]
    async with asyncio.timeout(5):
        await wire.chat.CancelChat(chat_pb2.CancelChatRequest(chat=chat, reason="enough"), metadata=BEARER)
        events, answer = await interrupted(call)
    assert (answer.code, answer.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED_BY_OTHER")
    assert answer.info.metadata["by"]
    assert "enough" in answer.message
    assert events[-1].interrupted.error == answer.status


async def test_an_answer_that_is_over_cannot_be_cancelled(wire: Wire) -> None:
    whole = await wire.chat.CompleteChat(ask(store=True), metadata=BEARER)
    answer = await refused(wire.chat.CancelChat(chat_pb2.CancelChatRequest(chat=whole.chat), metadata=BEARER))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INVALID_STATE")
    assert {"state", "allowed"} <= answer.info.metadata.keys()


@pytest.mark.parametrize("delay", [0, 0.25, 90])
async def test_a_delay_is_told_to_people_to_clients_and_to_the_transport(wire: Wire, delay: float) -> None:
    request = ask(script=fail(Reason.PROVIDER_RATE_LIMITED, retry_after=delay))
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    retry = answer.details[details.RetryInfo]
    assert retry.retry_delay.ToMilliseconds() == delay * 1000
    assert answer.context.retry_delay == retry.retry_delay
    assert answer.context.retryable
    assert answer.trailers["grpc-retry-pushback-ms"] == str(round(delay * 1000))


async def test_where_nobody_knows_a_delay_the_transport_keeps_its_own_pace(wire: Wire) -> None:
    answer = await refused(wire.chat.CompleteChat(ask(script=fail(Reason.PROVIDER_UNAVAILABLE)), metadata=BEARER))
    assert "grpc-retry-pushback-ms" not in answer.trailers
    assert details.RetryInfo not in answer.details


async def test_what_the_provider_said_is_told_in_the_context(wire: Wire) -> None:
    word = {"http_status": 529, "code": "overloaded_error", "provider_message": "busy", "request_id": "req-9"}
    answer = await refused(
        wire.chat.CompleteChat(ask(script=fail(Reason.PROVIDER_UNAVAILABLE, **word)), metadata=BEARER)
    )
    context = answer.context
    assert (context.provider_http_status, context.provider_code) == (529, "overloaded_error")
    assert (context.provider_message, context.provider_request_id) == ("busy", "req-9")
    assert [(attempt.reason, attempt.provider) for attempt in context.attempts] == [
        ("ERROR_REASON_PROVIDER_UNAVAILABLE", "scripted")
    ]


async def test_an_unmet_capability_names_a_model_that_has_it(wire: Wire) -> None:
    answer = await refused(wire.chat.CompleteChat(CASES[Reason.CAPABILITY_UNMET].request, metadata=BEARER))
    (missing,) = answer.details[details.PreconditionFailure].violations
    assert (missing.type, missing.subject) == ("CAPABILITY", "VISION")
    assert "scripted/small" in missing.description


@pytest.mark.parametrize("letter", ["x", "é", "漢", "😀"])
async def test_two_hundred_violations_and_long_words_still_arrive(wire: Wire, letter: str) -> None:
    long = letter * 3000
    said = {
        "message": long,
        "code": long,
        "provider_message": long,
        "request_id": long,
        "phase": "connect",
        "retry_after": 1,
        "metadata": {f"key{number}{long}": long for number in range(40)},
        "violations": [{"field": long, "rule": long, "description": long}] * 200,
        "preconditions": [{"type": long, "subject": long, "description": long}] * 200,
        "resource": {"type": long, "name": long},
    }
    answer = await refused(
        wire.chat.CompleteChat(ask(script=fail(Reason.PROVIDER_QUOTA_EXHAUSTED, **said)), metadata=BEARER)
    )
    assert answer.reason == "PROVIDER_QUOTA_EXHAUSTED"
    assert answer.size <= 4096
    assert details.BadRequest in answer.details
    packed = base64.b64encode(answer.status.SerializeToString())
    assert len(quote(answer.message)) + len(packed) < 8000, "as they travel, with room for the other trailers"


async def test_many_short_violations_are_told_one_by_one(wire: Wire) -> None:
    stops = chat_pb2.GenerationConfig(stop_sequences=[""] * 16)
    answer = await refused(wire.chat.CompleteChat(ask(generation=stops), metadata=BEARER))
    assert answer.fields == [f"generation.stop_sequences[{number}]" for number in range(16)]
    assert "and 15 more" in answer.message


async def test_two_hundred_broken_messages_are_told_in_part(wire: Wire) -> None:
    request = chat_pb2.ChatRequest(messages=[content_pb2.Message(name="x" * 65)] * 200)
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    assert answer.reason == "INVALID_FIELD"
    assert 20 <= len(answer.fields) <= 400
    assert answer.size <= 4096


async def test_a_fault_of_ours_tells_nothing_but_the_request_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "the-prompt-and-the-key"

    class BreaksDown:
        async def enter(self, call: Call) -> None:
            raise ZeroDivisionError(secret)

        def leave(self, call: Call, error: BaseException | None) -> None:
            """It was never entered."""

    metadata = (*BEARER, ("x-request-id", "fault-1"))
    async with wired(tmp_path, around=Around(steps=[BreaksDown()])) as wire:
        whole = await refused(wire.chat.CompleteChat(ask(), metadata=metadata))
        events, streamed = await interrupted(wire.chat.StreamChat(ask(), metadata=metadata))
    assert events == []
    for answer in (whole, streamed):
        assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert answer.info.metadata["requestId"] == "fault-1"
        assert secret not in repr(answer)
    assert [record.request_id for record in caplog.records if record.exc_info] == ["fault-1", "fault-1"]


async def test_no_failure_repeats_the_prompt_or_the_key(wire: Wire) -> None:
    secret = "do-not-repeat-this"
    for reason, case in CASES.items():
        if reason is Reason.MESSAGE_TOO_LARGE:
            continue
        request = chat_pb2.ChatRequest()
        request.CopyFrom(case.request)
        request.messages[0].parts[0].text += secret
        answer = await refused(wire.chat.CompleteChat(request, metadata=case.metadata))
        assert secret not in str(answer)
        keys = [value.removeprefix("Bearer ") for _, value in case.metadata]
        assert not [key for key in keys if key in str(answer)], answer


async def test_a_fallback_that_fails_too_tells_the_whole_trail(wire: Wire) -> None:
    request = ask(script=fail(Reason.PROVIDER_UNAVAILABLE, http_status=503))
    request.routing.fallback_models.append("scripted/small")
    events, answer = await interrupted(wire.chat.StreamChat(request, metadata=BEARER))
    assert events == []
    assert [(attempt.model, attempt.cause) for attempt in answer.context.attempts] == [
        ("hello", "primary"),
        ("small", "fallback"),
    ]


async def test_a_script_that_cannot_be_read_names_the_place(wire: Wire) -> None:
    request = ask()
    request.provider_options_json["scripted"] = json.dumps([{"fail": {"reason": "NOT_A_REASON"}}])
    answer = await refused(wire.chat.CompleteChat(request, metadata=BEARER))
    assert answer.reason == "INVALID_FIELD"
    assert answer.fields[0].startswith('provider_options_json["scripted"][0]')


async def test_statuses_are_unpacked_alike_from_event_and_trailer(wire: Wire) -> None:
    events, answer = await interrupted(wire.chat.StreamChat(CASES[Reason.STREAM_BROKEN].request, metadata=BEARER))
    assert unpacked(events[-1].interrupted.error).keys() == answer.details.keys()
