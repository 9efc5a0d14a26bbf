"""How the failures of Cohere are worded."""

from maestro_adapters.wire.errors import Dialect
from maestro_spi.errors import Reason

DIALECT = Dialect(
    codes={
        "error": Reason.PROVIDER_UNAVAILABLE,
        "error_toxic": Reason.PROMPT_BLOCKED,
        "error_limit": Reason.CONTEXT_OVERFLOW,
        "invalid_tool_generation": Reason.PROVIDER_UNAVAILABLE,
        "timeout": Reason.PROVIDER_TIMEOUT,
    },
    phrases=(
        ("calls / month", Reason.PROVIDER_QUOTA_EXHAUSTED),
        ("billing", Reason.PROVIDER_QUOTA_EXHAUSTED),
        ("too many tokens", Reason.CONTEXT_OVERFLOW),
        ("invalid api token", Reason.PROVIDER_AUTH_FAILED),
    ),
    # 200: in the middle of a stream; 498: a filter on the prompt; 499: cancelled there, by whomever.
    statuses={200: Reason.PROVIDER_UNAVAILABLE, 498: Reason.PROMPT_BLOCKED, 499: Reason.PROVIDER_UNAVAILABLE},
)
