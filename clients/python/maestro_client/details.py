"""What a status says beside its code and sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from maestro.v1 import error_pb2

REASON_PREFIX = "ERROR_REASON_"
NANOS = 1e9


@dataclass(frozen=True, slots=True)
class Violation:
    """A request field that breaks a rule: its path, the rule's name, and how to mend it."""

    field: str
    rule: str
    description: str


@dataclass(frozen=True, slots=True)
class Precondition:
    """Something that must hold first, and does not."""

    type: str
    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class Details:
    """All that came with a failure; empty for a bare status. `reason` stands without the contract's prefix."""

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    preconditions: tuple[Precondition, ...] = ()
    retry_delay: float | None = None
    request_id: str = ""
    context: error_pb2.ErrorContext | None = None
    status: status_pb2.Status | None = None


def read(status: status_pb2.Status) -> Details:
    """The details of a status. Kinds that this client does not know, and such as nobody can read, are passed over."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    failure = error_details_pb2.PreconditionFailure()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    context = error_pb2.ErrorContext()
    known = {kind.DESCRIPTOR.full_name: kind for kind in (info, bad_request, failure, retry, request, context)}
    found: set[str] = set()
    for packed in status.details:
        kind = known.get(packed.TypeName())
        if kind is None:
            continue
        try:
            kind.ParseFromString(packed.value)
            found.add(packed.TypeName())
        except DecodeError:
            kind.Clear()
    return Details(
        reason=info.reason.removeprefix(REASON_PREFIX),
        metadata=dict(info.metadata),
        violations=_violations(bad_request),
        preconditions=tuple(Precondition(one.type, one.subject, one.description) for one in failure.violations),
        retry_delay=_delay(retry if retry.HasField("retry_delay") else context),
        request_id=request.request_id,
        context=context if context.DESCRIPTOR.full_name in found else None,
        status=status,
    )


def _violations(bad_request: error_details_pb2.BadRequest) -> tuple[Violation, ...]:
    return tuple(
        # googleapis-common-protos 1.66 does not know the rule's name.
        Violation(one.field, getattr(one, "reason", ""), one.description)
        for one in bad_request.field_violations
    )


def _delay(source: error_details_pb2.RetryInfo | error_pb2.ErrorContext) -> float | None:
    if not source.HasField("retry_delay"):
        return None
    delay: duration_pb2.Duration = source.retry_delay
    return delay.seconds + delay.nanos / NANOS
