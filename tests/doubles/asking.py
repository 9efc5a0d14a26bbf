"""What tests say over the wire, and what a call that failed has told them."""

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from maestro.v1 import chat_pb2, content_pb2, error_pb2

KINDS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.ErrorInfo,
        error_details_pb2.RequestInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.PreconditionFailure,
        error_details_pb2.RetryInfo,
        error_details_pb2.ResourceInfo,
        error_details_pb2.Help,
        error_pb2.ErrorContext,
    )
}


def ask(text: str = "hi", script: object = None, **fields: object) -> chat_pb2.ChatRequest:
    """A chat request; with a script the scripted adapter plays it, else it quotes."""
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    request = chat_pb2.ChatRequest(messages=[message], **fields)
    if script is not None:
        request.provider_options_json["scripted"] = json.dumps(script)
    return request


@dataclass(slots=True)
class Told:
    """How a call ended: its code and sentence, every detail by its kind, its trailers."""

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status = field(default_factory=status_pb2.Status)
    details: dict[type[Message], Message] = field(default_factory=dict)
    trailers: Mapping[str, str | bytes] = field(default_factory=dict)

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        return self.details[error_details_pb2.ErrorInfo]

    @property
    def reason(self) -> str:
        """As in the enum, without its prefix; empty where no code of ours was reached."""
        bare = error_details_pb2.ErrorInfo()
        return self.details.get(error_details_pb2.ErrorInfo, bare).reason.removeprefix("ERROR_REASON_")

    @property
    def context(self) -> error_pb2.ErrorContext:
        return self.details[error_pb2.ErrorContext]

    @property
    def fields(self) -> list[str]:
        """The paths of a BadRequest."""
        bare = error_details_pb2.BadRequest()
        found = self.details.get(error_details_pb2.BadRequest, bare)
        return [broken.field for broken in found.field_violations]

    @property
    def size(self) -> int:
        """Bytes of all details together."""
        return sum(detail.ByteSize() for detail in self.status.details)


def told(error: grpc.aio.AioRpcError) -> Told:
    """What a failed call says, with every detail read; the same kind twice is a mistake."""
    trailers = dict(error.trailing_metadata() or ())
    packed = trailers.get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(packed)
    return Told(error.code(), error.details() or "", status, unpacked(status), trailers)


def unpacked(status: status_pb2.Status) -> dict[type[Message], Message]:
    """Every detail of a status by its kind."""
    details: dict[type[Message], Message] = {}
    for packed in status.details:
        kind = KINDS[packed.TypeName()]
        assert kind not in details, f"{kind.DESCRIPTOR.name} twice"
        details[kind] = kind.FromString(packed.value)
    return details


async def refused(call: Awaitable[object]) -> Told:
    """What a call tells that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return told(failed.value)


async def interrupted(call: "grpc.aio.UnaryStreamCall") -> tuple[list[chat_pb2.ChatEvent], Told]:
    """All events of a stream that must fail, and what it tells."""
    events: list[chat_pb2.ChatEvent] = []

    async def read() -> None:
        async for event in call:
            events.append(event)

    return events, await refused(read())
