"""One family of errors, each named by its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from maestro.v1 import common_pb2, error_pb2


class Reason(IntEnum):
    """Every failure there is: the contract's enum, without its prefix."""

    INVALID_FIELD = error_pb2.ERROR_REASON_INVALID_FIELD
    INVALID_SCHEMA = error_pb2.ERROR_REASON_INVALID_SCHEMA
    CREDENTIALS_MISSING = error_pb2.ERROR_REASON_CREDENTIALS_MISSING
    CREDENTIALS_INVALID = error_pb2.ERROR_REASON_CREDENTIALS_INVALID
    SCOPE_MISSING = error_pb2.ERROR_REASON_SCOPE_MISSING
    TENANT_SUSPENDED = error_pb2.ERROR_REASON_TENANT_SUSPENDED
    MESSAGE_TOO_LARGE = error_pb2.ERROR_REASON_MESSAGE_TOO_LARGE
    REQUEST_LIMIT_REACHED = error_pb2.ERROR_REASON_REQUEST_LIMIT_REACHED
    CAPABILITY_UNMET = error_pb2.ERROR_REASON_CAPABILITY_UNMET
    MODEL_NOT_FOUND = error_pb2.ERROR_REASON_MODEL_NOT_FOUND
    PROVIDER_NOT_CONFIGURED = error_pb2.ERROR_REASON_PROVIDER_NOT_CONFIGURED
    CONTEXT_OVERFLOW = error_pb2.ERROR_REASON_CONTEXT_OVERFLOW
    PARAMETER_UNSUPPORTED = error_pb2.ERROR_REASON_PARAMETER_UNSUPPORTED
    PROMPT_BLOCKED = error_pb2.ERROR_REASON_PROMPT_BLOCKED
    OUTPUT_INVALID = error_pb2.ERROR_REASON_OUTPUT_INVALID
    PROVIDER_RATE_LIMITED = error_pb2.ERROR_REASON_PROVIDER_RATE_LIMITED
    PROVIDER_QUOTA_EXHAUSTED = error_pb2.ERROR_REASON_PROVIDER_QUOTA_EXHAUSTED
    PROVIDER_UNAVAILABLE = error_pb2.ERROR_REASON_PROVIDER_UNAVAILABLE
    PROVIDER_TIMEOUT = error_pb2.ERROR_REASON_PROVIDER_TIMEOUT
    CIRCUIT_OPEN = error_pb2.ERROR_REASON_CIRCUIT_OPEN
    PROVIDER_PROTOCOL_ERROR = error_pb2.ERROR_REASON_PROVIDER_PROTOCOL_ERROR
    PROVIDER_AUTH_FAILED = error_pb2.ERROR_REASON_PROVIDER_AUTH_FAILED
    PROVIDER_REJECTED_REQUEST = error_pb2.ERROR_REASON_PROVIDER_REJECTED_REQUEST
    STREAM_BROKEN = error_pb2.ERROR_REASON_STREAM_BROKEN
    DEADLINE_EXCEEDED = error_pb2.ERROR_REASON_DEADLINE_EXCEEDED
    CALLER_CANCELLED = error_pb2.ERROR_REASON_CALLER_CANCELLED
    CANCELLED_BY_OTHER = error_pb2.ERROR_REASON_CANCELLED_BY_OTHER
    RESOURCE_NOT_FOUND = error_pb2.ERROR_REASON_RESOURCE_NOT_FOUND
    INVALID_STATE = error_pb2.ERROR_REASON_INVALID_STATE
    FEATURE_DISABLED = error_pb2.ERROR_REASON_FEATURE_DISABLED
    INTERNAL = error_pb2.ERROR_REASON_INTERNAL


# The same call may be sent again as it is, and may then succeed.
RETRYABLE = frozenset(
    {
        Reason.PROVIDER_RATE_LIMITED,
        Reason.PROVIDER_UNAVAILABLE,
        Reason.PROVIDER_TIMEOUT,
        Reason.CIRCUIT_OPEN,
    }
)


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
class Resource:
    """What was looked for."""

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class ProviderWord:
    """What the provider itself said about a failure."""

    http_status: int = 0
    code: str = ""
    message: str = ""
    request_id: str = ""


class MaestroError(Exception):
    """A failure that the caller may be told: a reason, one sentence that says what to do, and what varies in it.

    `metadata` holds, under lowerCamelCase keys, everything that varies in the sentence. Never put a secret or a prompt
    in any of it. `phase` names the step that failed, as in ErrorContext.phase.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retryable: bool | None = None,
        retry_delay: float | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        preconditions: Sequence[Precondition] = (),
        resource: Resource | None = None,
        phase: str = "",
        provider: str = "",
        model: str = "",
        word: ProviderWord | None = None,
    ) -> None:
        super().__init__(f"{reason.name}: {message}")
        self.reason = reason
        self.message = message
        self.retryable = reason in RETRYABLE if retryable is None else retryable
        self.retry_delay = retry_delay
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.preconditions = tuple(preconditions)
        self.resource = resource
        self.phase = phase
        self.provider = provider
        self.model = model
        self.word = word or ProviderWord()
        # Filled in by who knows: the routing trail, what was spent all the same, the chat that can still be read.
        self.attempts: Sequence[common_pb2.Attempt] = ()
        self.usage: common_pb2.Usage | None = None
        self.chat = ""
