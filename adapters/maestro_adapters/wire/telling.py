"""A conversation over plain HTTP: asked, and told as each read brings it, where no SDK stands between."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import httpx2
import msgspec

from maestro.v1 import chat_pb2
from maestro_adapters.wire import http
from maestro_adapters.wire.bounds import Unreadable
from maestro_adapters.wire.errors import request_id
from maestro_spi.answer import Answer
from maestro_spi.errors import MaestroError


class Listener(Protocol):
    """Reads one answer of one dialect into its `answer`. What it cannot read, and what failed, it raises."""

    answer: Answer

    def feed(self, data: bytes) -> None:
        """What one read brought."""
        ...

    def close(self) -> None:
        """The stream has ended, well or not."""
        ...

    def whole(self, data: bytes) -> None:
        """The answer as one body."""
        ...

    def patience(self) -> float | None:
        """How long the next read is waited for; None: as ever."""
        ...


class Record:
    """What the provider said, word by word, for a caller who wants to see it."""

    def __init__(self, answer: Answer, request: chat_pb2.ChatRequest) -> None:
        self._answer = answer
        self._events = chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS in request.include
        self._raw: list[str] | None = [] if chat_pb2.CHAT_INCLUDE_PROVIDER_RAW in request.include else None

    def note(self, kind: str, json: bytes) -> None:
        """One event."""
        if self._raw is not None:
            self._raw.append(json.decode())
        if self._events:
            self._answer.provider_event(kind, json.decode())

    def end(self) -> None:
        """Nothing more comes: all of it is what the provider's answer was."""
        if self._raw:
            self._answer.metadata(raw_json=self._raw[0] if len(self._raw) == 1 else f"[{','.join(self._raw)}]")
            self._raw = None


async def ask(
    client: httpx2.AsyncClient, request: httpx2.Request, failures: http.Failures, model: str
) -> httpx2.Response:
    """Send a request; the answer's body is not read yet. What is no success is the error that it tells of."""
    response = await client.send(request, stream=True)
    if response.is_success:
        return response
    async with http.closing(response):
        await response.aread()
        raise failures.of_response(response, model)


async def tell(
    response: httpx2.Response, listener: Listener, failures: http.Failures, model: str, *, streamed: bool
) -> AsyncGenerator[chat_pb2.ChatEvent]:
    """The events of an answer, from its first read to its end; then the connection is closed, or free for the next."""
    answer = listener.answer
    answer.metadata(request_id=request_id(response.headers), headers=http.kept(response.headers))
    with failures.in_our_words(answer, model):
        async with http.closing(response):
            if http.media_type(response) == "text/html":
                raise failures.unreadable("a page instead of an answer", model)
            if streamed:
                async with aclosing(http.reads(response, patience=listener.patience)) as reads:
                    async for data in reads:
                        failed = _fed(listener, data)
                        for event in answer.drain():  # what was said before a failure was said
                            yield event
                        if failed is not None:
                            raise failed
                listener.close()
            else:
                listener.whole(await http.whole(response))
            for event in answer.end():
                yield event


def _fed(listener: Listener, data: bytes) -> Exception | None:
    try:
        listener.feed(data)
    except (MaestroError, Unreadable, msgspec.MsgspecError) as error:
        return error
    return None
