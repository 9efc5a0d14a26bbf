"""gRPC status -> an exception with its reason."""
# ruff: noqa: N818 - every one of them is an error; the names say which.

from collections.abc import Mapping, Sequence
from dataclasses import replace

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from maestro.v1 import chat_pb2, error_pb2
from maestro_client.details import Details, read

STATUS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
STREAM_BROKEN = "STREAM_BROKEN"
CODES = {code.value[0]: code for code in grpc.StatusCode}


class MaestroError(Exception):
    """A call that failed.

    `code` is the gRPC code, `message` the sentence for a person. `reason` is the name in the contract's ErrorReason
    without its prefix: empty where the gateway's code was never reached, and kept as sent where this client does not
    know it yet. `context` may be empty, never None. `partial` is the answer so far, for a stream that had begun.
    `retryable`: the same call may be sent again as it is.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Details | None = None) -> None:
        details = details or Details()
        super().__init__(code, message, details)
        self.code = code
        self.message = message
        self.reason = details.reason
        self.metadata = details.metadata
        self.violations = details.violations
        self.preconditions = details.preconditions
        self.retry_delay = details.retry_delay
        self.request_id = details.request_id
        self.context = details.context or error_pb2.ErrorContext()
        self.status = details.status
        self.retryable = _retryable(code, details)
        self.partial: chat_pb2.ChatResponse | None = None

    def __str__(self) -> str:
        broken = "".join(f"; {violation.field}: {violation.description}" for violation in self.violations)
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.reason or self.code.name}: {self.message}{broken}{request}"


class InvalidRequest(MaestroError):
    """The request is wrong as it is: mend it; `violations` says where."""


class Unauthenticated(MaestroError):
    """No key, or one that is not live."""


class PermissionDenied(MaestroError):
    """The key is known and may not do this."""


class NotFound(MaestroError):
    """No such model or resource, or none that this key may see."""


class Conflict(MaestroError):
    """It is there already, or has changed since it was read."""


class FailedPrecondition(MaestroError):
    """Something must be put right first; `preconditions` says what."""


class ResourceExhausted(MaestroError):
    """A limit, a budget or a size was reached."""


class RateLimited(ResourceExhausted):
    """Too much at once, here or at the provider: wait `retry_delay` and send again."""


class Unavailable(MaestroError):
    """Not reached, or not now. A stream that was cut says STREAM_BROKEN, and is never sent again by itself."""


class DeadlineExceeded(MaestroError):
    """Time ran out: the caller's own, or the provider's."""


class Cancelled(MaestroError):
    """Stopped, by this caller or by another."""


class Unimplemented(MaestroError):
    """This server does not have it."""


class Internal(MaestroError):
    """A fault of the gateway, or an answer that nobody can read."""


BY_CODE: Mapping[grpc.StatusCode, type[MaestroError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}
BY_REASON: Mapping[str, type[MaestroError]] = {
    "RATE_LIMITED": RateLimited,
    "CONCURRENCY_EXCEEDED": RateLimited,
    "PROVIDER_RATE_LIMITED": RateLimited,
}


def error(code: grpc.StatusCode, message: str, details: Details | None = None) -> MaestroError:
    """The exception of this code and reason."""
    kind = BY_REASON.get(details.reason if details else "") or BY_CODE.get(code, Internal)
    return kind(code, message, details)


def from_status(status: status_pb2.Status) -> MaestroError:
    """A status that came in a message: the end of a stream, or a problem of a plan."""
    return error(CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, read(status))


def from_call(failure: grpc.aio.AioRpcError) -> MaestroError:
    """A status that ended a call."""
    trailing = _pairs(failure.trailing_metadata())
    request_id = _text(trailing, REQUEST_ID_KEY) or _text(_pairs(failure.initial_metadata()), REQUEST_ID_KEY)
    status = _status(trailing)
    if status is None or CODES.get(status.code) is not failure.code():
        return error(failure.code(), failure.details() or "", Details(request_id=request_id))
    details = read(status)
    return error(failure.code(), status.message, replace(details, request_id=details.request_id or request_id))


def cut(message: str, request_id: str = "") -> MaestroError:
    """A stream that stopped before it had said why."""
    return error(grpc.StatusCode.UNAVAILABLE, message, Details(reason=STREAM_BROKEN, request_id=request_id))


def _retryable(code: grpc.StatusCode, details: Details) -> bool:
    if details.context is not None:
        return details.context.retryable
    return code is grpc.StatusCode.UNAVAILABLE and details.reason != STREAM_BROKEN


def _status(metadata: Sequence[tuple[str, str | bytes]]) -> status_pb2.Status | None:
    for key, value in metadata:
        if key == STATUS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _pairs(metadata: grpc.aio.Metadata | None) -> Sequence[tuple[str, str | bytes]]:
    return tuple(metadata or ())


def _text(metadata: Sequence[tuple[str, str | bytes]], key: str) -> str:
    return next((value for name, value in metadata if name == key and isinstance(value, str)), "")
