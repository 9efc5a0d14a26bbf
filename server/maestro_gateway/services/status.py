"""Reason -> gRPC status and its details."""

from collections.abc import Callable
from itertools import islice

from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

from maestro.v1 import error_pb2
from maestro_gateway.base.clock import duration
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.reasons import TABLE

DOMAIN = "maestro.gateway"
DETAILS_BYTES = 4096  # past 8 KiB of trailers clients lose the whole status
MESSAGE_BYTES = 512  # it travels twice, once with every byte that is not ASCII written as three
NAME_BYTES = 64
METADATA = 8  # keys; ours have fewer
PROVIDER_MESSAGE_BYTES = 512
ATTEMPTS = 8
VIOLATIONS = 20
MOST_VIOLATIONS = 100  # short ones, where they all fit

NEVER_AGAIN = -1  # grpc-retry-pushback-ms: tokens were already bought


def status(error: MaestroError, request_id: str) -> status_pb2.Status:
    """The status of a failure, at most 4 KiB of details; what does not fit goes in a fixed order."""
    context = _context(error)
    info = error_details_pb2.ErrorInfo(
        reason=error_pb2.ErrorReason.Name(error.reason.value),
        domain=DOMAIN,
        metadata={_cut(key, NAME_BYTES): _cut(value, 256) for key, value in islice(error.metadata.items(), METADATA)},
    )
    request = error_details_pb2.RequestInfo(request_id=_cut(request_id, 128))
    extra = [make(error) for applies, make in DETAILS if applies(error)]
    told = status_pb2.Status(code=TABLE[error.reason].code, message=_cut(error.message, MESSAGE_BYTES))
    for shrink in (lambda: None, *_shrinkings(info, context, extra)):
        shrink()
        del told.details[:]
        told.details.extend(_packed(detail) for detail in (info, request, context, *extra))
        if sum(detail.ByteSize() for detail in told.details) <= DETAILS_BYTES:
            break
    return told


def pushback(error: MaestroError) -> int | None:
    """Milliseconds until the transport may retry by itself; -1 forbids it; None leaves it the pace."""
    if (error.usage is not None and error.usage.total_tokens) or error.reason is Reason.STREAM_BROKEN:
        return NEVER_AGAIN
    return None if error.retry_delay is None else round(error.retry_delay * 1000)


def _context(error: MaestroError) -> error_pb2.ErrorContext:
    context = error_pb2.ErrorContext(
        phase=error.phase or TABLE[error.reason].phase,
        retryable=error.retryable,
        provider=_cut(error.provider, NAME_BYTES),
        model=_cut(error.model, 256),
        provider_http_status=error.word.http_status,
        provider_code=_cut(error.word.code, NAME_BYTES),
        provider_message=_cut(error.word.message, PROVIDER_MESSAGE_BYTES),
        provider_request_id=_cut(error.word.request_id, 128),
        attempts=error.attempts[-ATTEMPTS:],
        usage=error.usage,
        chat=error.chat,
    )
    if error.retry_delay is not None:
        context.retry_delay.CopyFrom(duration(error.retry_delay))
    return context


def _bad_request(error: MaestroError) -> message.Message:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=_cut(broken.field, 256),
                reason=_cut(broken.rule, NAME_BYTES),
                description=_cut(broken.description, 256),
            )
            for broken in error.violations[:MOST_VIOLATIONS]
        ]
    )


def _precondition_failure(error: MaestroError) -> message.Message:
    return error_details_pb2.PreconditionFailure(
        violations=[
            error_details_pb2.PreconditionFailure.Violation(
                type=_cut(missing.type, NAME_BYTES),
                subject=_cut(missing.subject, 256),
                description=_cut(missing.description, 256),
            )
            for missing in error.preconditions[:VIOLATIONS]
        ]
    )


def _retry_info(error: MaestroError) -> message.Message:
    return error_details_pb2.RetryInfo(retry_delay=duration(error.retry_delay or 0))


def _resource_info(error: MaestroError) -> message.Message:
    assert error.resource is not None
    return error_details_pb2.ResourceInfo(
        resource_type=_cut(error.resource.type, NAME_BYTES),
        resource_name=_cut(error.resource.name, 256),
        description=_cut(error.message, 256),
    )


def _help(error: MaestroError) -> message.Message:
    return error_details_pb2.Help(
        links=[error_details_pb2.Help.Link(description=f"What to do: {TABLE[error.reason].caller_should}", url=HELP)]
    )


HELP = "https://maestro.example/docs/errors"
DETAILS: tuple[tuple[Callable[[MaestroError], bool], Callable[[MaestroError], message.Message]], ...] = (
    (lambda error: bool(error.violations), _bad_request),
    (lambda error: bool(error.preconditions), _precondition_failure),
    (lambda error: error.retry_delay is not None, _retry_info),
    (lambda error: error.resource is not None, _resource_info),
    (lambda error: error.reason is Reason.PROVIDER_QUOTA_EXHAUSTED, _help),
)


def _shrinkings(
    info: error_details_pb2.ErrorInfo, context: error_pb2.ErrorContext, extra: list[message.Message]
) -> list[Callable[[], None]]:
    """What is dropped when the details are too long, one after the other."""

    def no_help() -> None:
        extra[:] = [detail for detail in extra if not isinstance(detail, error_details_pb2.Help)]

    def fewer(violations: int) -> Callable[[], None]:
        def cut() -> None:
            for detail in extra:
                if isinstance(detail, error_details_pb2.BadRequest):
                    del detail.field_violations[violations:]
                elif isinstance(detail, error_details_pb2.PreconditionFailure):
                    del detail.violations[violations:]

        return cut

    def shorter_metadata() -> None:
        for key, value in list(info.metadata.items()):
            info.metadata[key] = _cut(value, NAME_BYTES)

    return [
        lambda: context.ClearField("attempts"),
        lambda: context.ClearField("provider_message"),
        no_help,
        *(fewer(count) for count in (VIOLATIONS, 10, 5, 1)),
        lambda: context.ClearField("usage"),
        shorter_metadata,
    ]


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, never half a character, not even one that a provider has sent."""
    data = text.encode(errors="replace")
    return data.decode() if len(data) <= most else data[: most - 3].decode(errors="ignore") + "…"
