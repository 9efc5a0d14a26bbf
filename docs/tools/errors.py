"""The page of errors, from the error table."""

from google.rpc import code_pb2

from maestro_spi.errors import RETRYABLE, Reason
from maestro_spi.reasons import TABLE

HEAD = """\
# Errors

<!-- Made by docs/tools/errors.py from maestro_spi/reasons.py; not edited by hand. -->

Every failure is one row of this table. On the wire it is a canonical gRPC code, one sentence that says what to do,
and, in `grpc-status-details-bin`, a `google.rpc.Status` with

- one `ErrorInfo`, always: domain `maestro.gateway`, reason `ERROR_REASON_…` as below; its metadata holds whatever
  varies in the sentence;
- one `RequestInfo` with the request id, which is also the trailer `x-request-id` and on every log line of the call;
- one [`ErrorContext`](reference.md#errorcontext): the step that failed, provider and model, what the provider itself
  said, whether the same call may be sent again, the trail of tries, and what was used all the same;
- what the column *details* names: a message of google.rpc, or keys of the metadata.

All details together stay under 4 KiB. Where they would not, the trail goes first, then the provider's own words, then
violations beyond the first twenty.

A stream that fails after its first event says so twice: its last event is `interrupted` with the same status, and the
call ends with it. A stream that fails before its first event is that status alone ([streams](streams.md)).

*Send again* means that the very same call may succeed later. On the wire that is `ErrorContext.retryable`, which can
differ from the table where more is known. The trailer `grpc-retry-pushback-ms` tells the transport: `-1` when tokens
were already bought, else how long to wait. *HTTP* is the status by which a door for HTTP will say the same.

| reason | when | code | HTTP | details | send again | the caller should |
| --- | --- | --- | --- | --- | --- | --- |
"""
FOOT = """
## Without details

Some failures are answered by gRPC itself, before any of our code runs, with a bare code: a message above 68 MiB
(RESOURCE_EXHAUSTED; between 64 and 68 MiB it is MESSAGE_TOO_LARGE above), metadata above 16 KiB, broken frames, a
service that nobody has (UNIMPLEMENTED). And whoever hangs up, or lets their deadline pass, sees the status of their own
library: ours may come too late to be read. How such a call ended is in the access log, and, where `store` was set, in
GetChat.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(map(_row, Reason)) + FOOT


def _row(reason: Reason) -> str:
    row = TABLE[reason]
    again = "yes" if reason in RETRYABLE else "no"
    cells = (
        f"`{reason.name}`",
        row.failure,
        code_pb2.Code.Name(row.code),
        str(row.http),
        row.details or "–",
        again,
        row.caller_should,
    )
    return f"| {' | '.join(cells)} |\n"
