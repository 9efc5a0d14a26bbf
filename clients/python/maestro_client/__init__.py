"""The Python client of Maestro: what is named here stays."""

from maestro_client.address import ConnectionSettingsError
from maestro_client.blocking import BlockingChatStream, BlockingClient
from maestro_client.client import Client
from maestro_client.details import Precondition, Violation
from maestro_client.embedding import vector_of, vectors_of
from maestro_client.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    MaestroError,
    NotFound,
    PermissionDenied,
    RateLimited,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from maestro_client.message import assistant, function, image, system, text_of, tool_calls_of, tool_result, user
from maestro_client.stream import ChatStream

__all__ = [
    "BlockingChatStream",
    "BlockingClient",
    "Cancelled",
    "ChatStream",
    "Client",
    "Conflict",
    "ConnectionSettingsError",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidRequest",
    "MaestroError",
    "NotFound",
    "PermissionDenied",
    "Precondition",
    "RateLimited",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Violation",
    "assistant",
    "function",
    "image",
    "system",
    "text_of",
    "tool_calls_of",
    "tool_result",
    "user",
    "vector_of",
    "vectors_of",
]
