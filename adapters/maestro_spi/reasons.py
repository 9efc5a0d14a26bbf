"""The error table: every reason, its code, its HTTP status, and what the caller should do."""

from collections.abc import Mapping
from dataclasses import dataclass

from google.rpc import code_pb2

from maestro_spi.errors import Reason


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the error table."""

    failure: str
    code: int
    http: int
    caller_should: str
    details: str = ""  # beside ErrorInfo, RequestInfo and ErrorContext
    phase: str = ""  # the step that fails with it, where the error itself does not say


C = code_pb2
TABLE: Mapping[Reason, Row] = {
    Reason.INVALID_FIELD: Row("a field breaks its rule", C.INVALID_ARGUMENT, 400, "fix", "BadRequest, one violation each, `reason` = rule id", "validate"),
    Reason.INVALID_SCHEMA: Row("a schema is no JSON Schema", C.INVALID_ARGUMENT, 400, "fix", "BadRequest; field, pointer", "validate"),
    Reason.CREDENTIALS_MISSING: Row("no credentials", C.UNAUTHENTICATED, 401, "log in", "", "auth"),
    Reason.CREDENTIALS_INVALID: Row("credentials unknown, expired or revoked", C.UNAUTHENTICATED, 401, "get a new key", "", "auth"),
    Reason.SCOPE_MISSING: Row("the key lacks a scope", C.PERMISSION_DENIED, 403, "ask an admin", "scope", "auth"),
    Reason.TENANT_SUSPENDED: Row("the tenant or key is switched off", C.PERMISSION_DENIED, 403, "ask an admin", "", "auth"),
    Reason.MESSAGE_TOO_LARGE: Row("the message is too large", C.RESOURCE_EXHAUSTED, 413, "send large content by reference", "limitBytes", "validate"),
    Reason.REQUEST_LIMIT_REACHED: Row("the request's own ceiling", C.RESOURCE_EXHAUSTED, 429, "raise the limit", "limit", "quota"),
    Reason.CAPABILITY_UNMET: Row("no target has a capability the request needs", C.FAILED_PRECONDITION, 412, "change model or requirement", "PreconditionFailure: type CAPABILITY, subject = capability, description = nearest model", "route"),
    Reason.MODEL_NOT_FOUND: Row("no such model", C.NOT_FOUND, 404, "fix", "ResourceInfo", "route"),
    Reason.PROVIDER_NOT_CONFIGURED: Row("the provider has no key here", C.FAILED_PRECONDITION, 412, "ask an admin", "provider", "route"),
    Reason.CONTEXT_OVERFLOW: Row("the prompt does not fit", C.INVALID_ARGUMENT, 400, "shorten or compact", "inputTokens, contextTokens, model", "route"),
    Reason.PARAMETER_UNSUPPORTED: Row("a parameter is not supported (with `native_only`; otherwise a warning)", C.INVALID_ARGUMENT, 400, "drop it", "BadRequest", "route"),
    Reason.PROMPT_BLOCKED: Row("the prompt is blocked by a filter", C.FAILED_PRECONDITION, 400, "rephrase", "provider, category", "first_token"),
    Reason.OUTPUT_INVALID: Row("the output never met the schema", C.INTERNAL, 502, "retry or loosen", "pointer; a partial answer can be read", "stream"),
    Reason.PROVIDER_RATE_LIMITED: Row("the provider's own limit on every target", C.RESOURCE_EXHAUSTED, 429, "wait", "RetryInfo from the provider's headers", "connect"),
    Reason.PROVIDER_QUOTA_EXHAUSTED: Row("the account at the provider is out of credit", C.RESOURCE_EXHAUSTED, 429, "ask an admin", "provider; Help", "connect"),
    Reason.PROVIDER_UNAVAILABLE: Row("the provider failed: 5xx, network", C.UNAVAILABLE, 503, "retry", "RetryInfo", "connect"),
    Reason.PROVIDER_TIMEOUT: Row("the provider is too slow: connect, first token, idle", C.DEADLINE_EXCEEDED, 504, "retry with more time", "provider, phase", "first_token"),
    Reason.CIRCUIT_OPEN: Row("every breaker is open", C.UNAVAILABLE, 503, "retry then", "RetryInfo to the next trial", "route"),
    Reason.PROVIDER_PROTOCOL_ERROR: Row("the provider is unreadable", C.INTERNAL, 502, "report", "provider", "stream"),
    Reason.PROVIDER_AUTH_FAILED: Row("the provider refuses the gateway's key", C.FAILED_PRECONDITION, 502, "ask an admin", "provider", "connect"),
    Reason.PROVIDER_REJECTED_REQUEST: Row("the provider calls the request wrong", C.INVALID_ARGUMENT, 400, "fix", "provider, providerCode", "connect"),
    Reason.STREAM_BROKEN: Row("the stream broke after content", C.UNAVAILABLE, 502, "resume, or send again knowingly", "lastSequence; pushback -1", "stream"),
    Reason.DEADLINE_EXCEEDED: Row("the caller's deadline", C.DEADLINE_EXCEEDED, 504, "give more time", "phase", "stream"),
    Reason.CALLER_CANCELLED: Row("the caller left or asked to stop", C.CANCELLED, 499, "nothing", "", "stream"),
    Reason.CANCELLED_BY_OTHER: Row("stopped by someone else", C.CANCELLED, 409, "nothing", "by", "stream"),
    Reason.RESOURCE_NOT_FOUND: Row("the resource is not found", C.NOT_FOUND, 404, "check the name", "ResourceInfo", "store"),
    Reason.INVALID_STATE: Row("the resource is in the wrong state", C.FAILED_PRECONDITION, 409, "look at its state", "state, allowed", "store"),
    Reason.FEATURE_DISABLED: Row("a feature this server does not have", C.UNIMPLEMENTED, 501, "see GetServerInfo", "feature", "validate"),
    Reason.INTERNAL: Row("a fault of the gateway", C.INTERNAL, 500, "report", ""),
}  # fmt: skip
