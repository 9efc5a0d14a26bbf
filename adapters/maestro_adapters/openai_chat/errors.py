"""How the failures of Chat Completions servers are worded."""

from maestro_adapters.wire.errors import Dialect
from maestro_spi.errors import Reason

DIALECT = Dialect(
    codes={
        "context_length_exceeded": Reason.CONTEXT_OVERFLOW,
        "string_above_max_length": Reason.CONTEXT_OVERFLOW,
        "exceed_context_size_error": Reason.CONTEXT_OVERFLOW,
        "content_filter": Reason.PROMPT_BLOCKED,
        "content_policy_violation": Reason.PROMPT_BLOCKED,
        "responsibleaipolicyviolation": Reason.PROMPT_BLOCKED,
        "model_not_found": Reason.MODEL_NOT_FOUND,
        "invalid_model": Reason.MODEL_NOT_FOUND,
        "deploymentnotfound": Reason.MODEL_NOT_FOUND,
        "insufficient_quota": Reason.PROVIDER_QUOTA_EXHAUSTED,
        "billing_hard_limit_reached": Reason.PROVIDER_QUOTA_EXHAUSTED,
        "invalid_api_key": Reason.PROVIDER_AUTH_FAILED,
        "authentication_error": Reason.PROVIDER_AUTH_FAILED,
        "rate_limit_exceeded": Reason.PROVIDER_RATE_LIMITED,
        "rate_limit_error": Reason.PROVIDER_RATE_LIMITED,
        "server_error": Reason.PROVIDER_UNAVAILABLE,
        "service_unavailable": Reason.PROVIDER_UNAVAILABLE,
        "overloaded_error": Reason.PROVIDER_UNAVAILABLE,
        "internal_error": Reason.PROVIDER_UNAVAILABLE,
    },
    phrases=(
        ("content management policy", Reason.PROMPT_BLOCKED),
        ("incorrect api key", Reason.PROVIDER_AUTH_FAILED),
        ("insufficient balance", Reason.PROVIDER_QUOTA_EXHAUSTED),
        ("model not found", Reason.MODEL_NOT_FOUND),
        ("no such model", Reason.MODEL_NOT_FOUND),
        ("token limit reached", Reason.CONTEXT_OVERFLOW),
    ),
    statuses={413: Reason.CONTEXT_OVERFLOW},
)
