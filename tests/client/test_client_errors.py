"""From a status to an exception."""

import pickle

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from maestro.v1 import common_pb2, error_pb2
from maestro_client import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    MaestroError,
    NotFound,
    PermissionDenied,
    Precondition,
    RateLimited,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
)
from maestro_client.errors import from_call, from_status

KINDS = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Conflict,
    "ABORTED": Conflict,
    "FAILED_PRECONDITION": FailedPrecondition,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "UNIMPLEMENTED": Unimplemented,
    "INTERNAL": Internal,
    "UNKNOWN": Internal,
    "DATA_LOSS": Internal,
}


def status(code, *details, message="it failed"):
    answer = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        answer.details.add().Pack(detail)
    return answer


def call(code, *trailing, message="it failed"):
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message)


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
def test_every_code_has_its_exception(code, kind):
    failure = from_call(call(grpc.StatusCode[code]))
    assert type(failure) is kind
    assert failure.code is grpc.StatusCode[code]
    assert (failure.reason, failure.message, failure.status) == ("", "it failed", None)
    assert failure.retryable is (code == "UNAVAILABLE")
    assert not failure.context.ByteSize()


def test_everything_in_the_details_can_be_read():
    told = status(
        grpc.StatusCode.INVALID_ARGUMENT,
        error_details_pb2.ErrorInfo(reason="ERROR_REASON_INVALID_FIELD", metadata={"field": "a"}),
        error_details_pb2.BadRequest(
            field_violations=[{"field": "generation.temperature", "reason": "float.lte", "description": "at most 2"}]
        ),
        error_details_pb2.PreconditionFailure(
            violations=[{"type": "CAPABILITY", "subject": "VISION", "description": "try scripted/eyes"}]
        ),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)),
        error_details_pb2.RequestInfo(request_id="req-1"),
        error_pb2.ErrorContext(phase="validate", retryable=True, attempts=[common_pb2.Attempt(provider="scripted")]),
    )
    failure = from_call(call(grpc.StatusCode.INVALID_ARGUMENT, ("grpc-status-details-bin", told.SerializeToString())))
    assert type(failure) is InvalidRequest
    assert failure.reason == "INVALID_FIELD"
    assert failure.metadata == {"field": "a"}
    assert failure.violations == (Violation("generation.temperature", "float.lte", "at most 2"),)
    assert failure.preconditions == (Precondition("CAPABILITY", "VISION", "try scripted/eyes"),)
    assert failure.retry_delay == 1.5
    assert failure.request_id == "req-1"
    assert failure.retryable
    assert failure.context.attempts[0].provider == "scripted"
    assert failure.status == told
    text = str(failure)
    assert text == "INVALID_FIELD: it failed; generation.temperature: at most 2 (request req-1)"
    again = pickle.loads(pickle.dumps(failure))
    assert (type(again), str(again), again.violations) == (InvalidRequest, text, failure.violations)


@pytest.mark.parametrize("reason", ["RATE_LIMITED", "CONCURRENCY_EXCEEDED", "PROVIDER_RATE_LIMITED"])
def test_limits_that_pass_with_time_are_rate_limited(reason):
    info = error_details_pb2.ErrorInfo(reason=f"ERROR_REASON_{reason}")
    failure = from_status(status(grpc.StatusCode.RESOURCE_EXHAUSTED, info))
    assert type(failure) is RateLimited
    assert failure.reason == reason


def test_every_reason_of_the_contract_can_be_told():
    for name in error_pb2.ErrorReason.keys()[1:]:
        failure = from_status(status(grpc.StatusCode.INTERNAL, error_details_pb2.ErrorInfo(reason=name)))
        assert f"ERROR_REASON_{failure.reason}" == name


def test_a_reason_of_a_newer_server_is_kept():
    failure = from_status(
        status(grpc.StatusCode.ABORTED, error_details_pb2.ErrorInfo(reason="ERROR_REASON_MOON_PHASE"))
    )
    assert failure.reason == "MOON_PHASE"
    assert isinstance(failure, Conflict)


def test_the_gateways_word_on_retrying_goes_before_the_codes():
    assert not from_status(status(grpc.StatusCode.UNAVAILABLE, error_pb2.ErrorContext(phase="stream"))).retryable
    assert not from_status(status(grpc.StatusCode.UNAVAILABLE, error_pb2.ErrorContext())).retryable
    assert from_status(status(grpc.StatusCode.INTERNAL, error_pb2.ErrorContext(retryable=True))).retryable
    broken = error_details_pb2.ErrorInfo(reason="ERROR_REASON_STREAM_BROKEN")
    assert not from_status(status(grpc.StatusCode.UNAVAILABLE, broken)).retryable


def test_the_delay_is_read_from_either_place():
    context = error_pb2.ErrorContext(retry_delay=duration_pb2.Duration(seconds=2))
    assert from_status(status(grpc.StatusCode.UNAVAILABLE, context)).retry_delay == 2
    assert from_status(status(grpc.StatusCode.UNAVAILABLE, error_details_pb2.RetryInfo())).retry_delay is None


def test_a_request_id_in_the_metadata_is_enough():
    assert from_call(call(grpc.StatusCode.INTERNAL, ("x-request-id", "req-2"))).request_id == "req-2"


@pytest.mark.parametrize("details", [b"\xff\xff", b"", status(grpc.StatusCode.ABORTED).SerializeToString()])
def test_details_that_cannot_be_believed_leave_a_bare_status(details):
    failure = from_call(call(grpc.StatusCode.INTERNAL, ("grpc-status-details-bin", details)))
    assert type(failure) is Internal
    assert failure.message == "it failed"


def test_one_unreadable_detail_does_not_hide_the_others():
    told = status(grpc.StatusCode.NOT_FOUND, error_details_pb2.ErrorInfo(reason="ERROR_REASON_MODEL_NOT_FOUND"))
    told.details.append(any_pb2.Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff"))
    told.details.append(any_pb2.Any(type_url="type.googleapis.com/of.the.Future", value=b"\xff"))
    failure = from_status(told)
    assert failure.reason == "MODEL_NOT_FOUND"
    assert failure.violations == ()


def test_a_code_nobody_knows_is_internal():
    failure = from_status(status_pb2.Status(code=77, message="?"))
    assert isinstance(failure, Internal)
    assert isinstance(failure, MaestroError)
    assert failure.code is grpc.StatusCode.UNKNOWN
