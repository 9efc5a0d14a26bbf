"""The same without async: the async client on a loop of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent import futures
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar

from maestro.v1 import chat_pb2
from maestro_client.call import Metadata
from maestro_client.capability import Capabilities
from maestro_client.chat import Chat
from maestro_client.client import Client
from maestro_client.embedding import Embeddings
from maestro_client.message import Prompt
from maestro_client.stream import ChatStream

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

PATIENCE = 5.0  # seconds that a cancelled call may take to unwind


class Loop:
    """An event loop in a thread of its own. Ctrl-C while waiting for it cancels what was waited for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="maestro-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there, and wait for what comes of it."""
        outcome: futures.Future[T] = futures.Future()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda task: _settle(outcome, task))

        self._loop.call_soon_threadsafe(begin)
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            futures.wait([outcome], PATIENCE)
            raise

    @property
    def closed(self) -> bool:
        """True once nothing can be run any more."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Stop the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking(Generic[S]):
    """A service whose methods wait."""

    def __init__(self, service: S, loop: Loop) -> None:
        self.service = service
        self.loop = loop


def waits(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[S], P], T]:
    """The method, waited for."""

    @wraps(method)
    def waiting(self: Blocking[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.loop.run(method(self.service, *args, **kwargs))

    return waiting


def walks(
    method: Callable[Concatenate[S, P], AsyncIterator[T]],
) -> Callable[Concatenate[Blocking[S], P], Iterator[T]]:
    """The method, each of whose items is waited for."""

    @wraps(method)
    def walking(self: Blocking[S], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return _walk(method(self.service, *args, **kwargs), self.loop)

    return walking


class BlockingChatStream(Blocking[ChatStream]):
    """A ChatStream that is a plain context manager and iterator."""

    def __enter__(self) -> Self:
        self.loop.run(self.service.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[chat_pb2.ChatEvent]:
        return _walk(self.service, self.loop)

    text = walks(ChatStream.text)
    final = waits(ChatStream.final)
    close = waits(ChatStream.aclose)

    @property
    def response(self) -> chat_pb2.ChatResponse:
        """The answer so far."""
        return self.service.response


class BlockingChat(Blocking[Chat]):
    """client.chat, waited for."""

    RPCS: ClassVar[Mapping[str, str]] = Chat.RPCS

    complete = waits(Chat.complete)
    plan = waits(Chat.plan)
    count_tokens = waits(Chat.count_tokens)
    get = waits(Chat.get)
    cancel = waits(Chat.cancel)
    delete = waits(Chat.delete)

    def stream(
        self,
        prompt: Prompt,
        *,
        model: str = "",
        timeout: float | None = None,
        metadata: Metadata | None = None,
    ) -> BlockingChatStream:
        """The answer as it comes: `with client.chat.stream("Hello") as stream: …`."""
        return BlockingChatStream(
            self.service.stream(prompt, model=model, timeout=timeout, metadata=metadata), self.loop
        )


class BlockingEmbeddings(Blocking[Embeddings]):
    """client.embeddings, waited for."""

    RPCS: ClassVar[Mapping[str, str]] = Embeddings.RPCS

    embed = waits(Embeddings.embed)


class BlockingCapabilities(Blocking[Capabilities]):
    """client.capabilities, waited for."""

    RPCS: ClassVar[Mapping[str, str]] = Capabilities.RPCS

    server_info = waits(Capabilities.server_info)
    list_models = walks(Capabilities.list_models)
    get_model = waits(Capabilities.get_model)
    list_providers = walks(Capabilities.list_providers)
    match = waits(Capabilities.match)


class BlockingClient:
    """Client for scripts and notebooks: the same arguments, services and failures; every thread may use it.

    Ctrl-C in the middle of a call cancels it. Do not make one where an event loop runs already and can be used: the
    async client does more with less.
    """

    def __init__(
        self,
        address: str | None = None,
        key: str | None = None,
        *,
        insecure: bool = False,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        cert_key: str | Path | None = None,
        timeout: float | None = None,
        tracing: bool | None = None,
    ) -> None:
        self._client = Client(
            address,
            key,
            insecure=insecure,
            ca=ca,
            cert=cert,
            cert_key=cert_key,
            timeout=timeout,
            tracing=tracing,
        )
        self._loop = Loop()
        self.chat = BlockingChat(self._client.chat, self._loop)
        self.embeddings = BlockingEmbeddings(self._client.embeddings, self._loop)
        self.capabilities = BlockingCapabilities(self._client.capabilities, self._loop)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def address(self) -> str:
        """Where the gateway is."""
        return self._client.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what still runs, hang up, and end the thread."""
        if not self._loop.closed:
            self._loop.run(self._client.close())
            self._loop.close()


def _settle(outcome: futures.Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        outcome.set_exception(futures.CancelledError())
    elif error := task.exception():
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


def _walk(items: AsyncIterator[T], loop: Loop) -> Iterator[T]:
    async def following() -> tuple[T] | None:
        try:
            return (await anext(items),)
        except StopAsyncIteration:
            return None

    while found := loop.run(following()):
        yield from found
