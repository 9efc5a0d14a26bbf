"""The ChatAdapter protocol: one verb, ChatRequest -> ChatEvents."""

from collections.abc import AsyncGenerator
from typing import Protocol

from maestro.v1 import chat_pb2


class ChatAdapter(Protocol):
    """Speaks to one provider with one set of credentials; shared by all calls.

    What an adapter owes:

    - `request.model` is the provider's own name of the model. The request is read, never changed.
    - The events follow the stream grammar, from `started` (the provider has accepted the request) to `completed`. Build
      them with `maestro_spi.answer.Answer`. They are not numbered: the engine does that, in place.
    - A failure is a MaestroError. A stream that ends before the provider has said why is STREAM_BROKEN.
    - No retry, no fallback, no logging, no waiting for limits: others do that.
    - `aclose()` of the generator closes the provider's connection before it returns.
    """

    def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """Answer `request`."""
        ...
