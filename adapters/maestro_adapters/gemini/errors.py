"""How Google words its failures."""

from maestro_adapters.wire.errors import Dialect
from maestro_spi.errors import Reason

DIALECT = Dialect(
    codes={
        "unauthenticated": Reason.PROVIDER_AUTH_FAILED,
        "permission_denied": Reason.PROVIDER_AUTH_FAILED,
        "cancelled": Reason.PROVIDER_UNAVAILABLE,
        "deadline_exceeded": Reason.PROVIDER_TIMEOUT,
        "internal": Reason.PROVIDER_UNAVAILABLE,
        "unavailable": Reason.PROVIDER_UNAVAILABLE,
        "aborted": Reason.PROVIDER_UNAVAILABLE,
    },
    phrases=(
        ("api key not valid", Reason.PROVIDER_AUTH_FAILED),
        ("api key expired", Reason.PROVIDER_AUTH_FAILED),
        ("api_key_invalid", Reason.PROVIDER_AUTH_FAILED),
        ("credits are depleted", Reason.PROVIDER_QUOTA_EXHAUSTED),
        ("input token count", Reason.CONTEXT_OVERFLOW),
        ("is not found for api version", Reason.MODEL_NOT_FOUND),
        ("publisher model", Reason.MODEL_NOT_FOUND),
        ("cached content", Reason.PROVIDER_REJECTED_REQUEST),
    ),
    statuses={404: Reason.MODEL_NOT_FOUND, 413: Reason.CONTEXT_OVERFLOW, 499: Reason.PROVIDER_UNAVAILABLE},
)
