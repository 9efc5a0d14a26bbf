"""How the failures of Bedrock are worded: exceptions by name, in a header, a body or the middle of a stream."""

import json
from collections.abc import Mapping
from typing import Any

from maestro_adapters.wire.errors import Complaint, Dialect
from maestro_spi.errors import Reason

DIALECT = Dialect(
    codes={
        "accessdeniedexception": Reason.PROVIDER_AUTH_FAILED,
        "expiredtoken": Reason.PROVIDER_AUTH_FAILED,
        "expiredtokenexception": Reason.PROVIDER_AUTH_FAILED,
        "incompletesignatureexception": Reason.PROVIDER_AUTH_FAILED,
        "invalidsignatureexception": Reason.PROVIDER_AUTH_FAILED,
        "missingauthenticationtokenexception": Reason.PROVIDER_AUTH_FAILED,
        "unrecognizedclientexception": Reason.PROVIDER_AUTH_FAILED,
        "internalserverexception": Reason.PROVIDER_UNAVAILABLE,
        "modelerrorexception": Reason.PROVIDER_UNAVAILABLE,
        "modelnotreadyexception": Reason.PROVIDER_UNAVAILABLE,
        "modelstreamerrorexception": Reason.PROVIDER_UNAVAILABLE,
        "modeltimeoutexception": Reason.PROVIDER_TIMEOUT,
        "resourcenotfoundexception": Reason.MODEL_NOT_FOUND,
        "servicequotaexceededexception": Reason.PROVIDER_QUOTA_EXHAUSTED,
        "serviceunavailableexception": Reason.PROVIDER_UNAVAILABLE,
        "throttlingexception": Reason.PROVIDER_RATE_LIMITED,
        "toomanyrequestsexception": Reason.PROVIDER_RATE_LIMITED,
    },
    phrases=(
        ("model identifier is invalid", Reason.MODEL_NOT_FOUND),
        ("could not resolve the foundation model", Reason.MODEL_NOT_FOUND),
        ("too many tokens", Reason.CONTEXT_OVERFLOW),
        ("too many total text bytes", Reason.CONTEXT_OVERFLOW),
        ("maximum tokens", Reason.CONTEXT_OVERFLOW),
        ("input length and `max_tokens` exceed", Reason.CONTEXT_OVERFLOW),
    ),
    statuses={424: Reason.PROVIDER_UNAVAILABLE},
)

# Inside a stream there is no status; these are the senders' own fault.
SENDERS = frozenset({"validationexception", "conflictexception"})


def complaint(name: str, body: bytes) -> Complaint:
    """What an exception says. Its name may be followed by the address of its documentation."""
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = None
    fields: Mapping[str, Any] = told if isinstance(told, dict) else {}
    code = (name or str(fields.get("__type") or "")).partition(":")[0].rpartition("#")[2]
    message = fields.get("originalMessage") or fields.get("message") or fields.get("Message") or ""
    return Complaint(code=code, message=str(message), status=400 if code.lower() in SENDERS else 0)
