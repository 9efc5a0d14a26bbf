"""How Anthropic words its failures: types, phrases, and the numbers in them -> our reasons."""

import re
from collections.abc import Mapping
from dataclasses import replace

from maestro_adapters.wire.errors import Complaint, Dialect, complaint_of
from maestro_spi.errors import MaestroError, Reason

DIALECT = Dialect(
    codes={
        "authentication_error": Reason.PROVIDER_AUTH_FAILED,
        "permission_error": Reason.PROVIDER_AUTH_FAILED,
        "billing_error": Reason.PROVIDER_QUOTA_EXHAUSTED,
        "rate_limit_error": Reason.PROVIDER_RATE_LIMITED,
        "timeout_error": Reason.PROVIDER_TIMEOUT,
        "api_error": Reason.PROVIDER_UNAVAILABLE,
        "overloaded_error": Reason.PROVIDER_UNAVAILABLE,
    },
    phrases=(
        ("exceed context limit", Reason.CONTEXT_OVERFLOW),
        ("credit balance is too low", Reason.PROVIDER_QUOTA_EXHAUSTED),
        ("content filtering policy", Reason.PROMPT_BLOCKED),
        ("model: ", Reason.MODEL_NOT_FOUND),
        ("model not found", Reason.MODEL_NOT_FOUND),
    ),
)

# The status that each type has where it is an answer's status; inside a stream there is none.
STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_TOKENS = re.compile(r"(\d+)(?: \+ (\d+))?(?: tokens)? > (\d+)")


def complaint(said: object) -> Complaint:
    """An error object inside an answer that began well."""
    read = complaint_of(said)
    return replace(read, status=STATUSES.get(read.type, 500))


def measured(error: MaestroError) -> None:
    """Put the numbers of an overflow where the caller finds them."""
    found = _TOKENS.search(error.word.message) if error.reason is Reason.CONTEXT_OVERFLOW else None
    if found:
        error.metadata["inputTokens"] = str(int(found[1]) + int(found[2] or 0))
        error.metadata["contextTokens"] = found[3]
