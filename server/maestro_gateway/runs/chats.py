"""Answers that run or are kept: read, cancelled, deleted."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from google.rpc import status_pb2

from maestro.v1 import chat_pb2, content_pb2
from maestro_gateway.base.clock import Clock
from maestro_gateway.base.ids import Ids
from maestro_gateway.runs.running import Delivery, Running
from maestro_spi.errors import MaestroError, Reason, Resource

State = chat_pb2.ChatResponse.State


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that outlives its call, with the conversation that led to it."""

    tenant: str
    response: chat_pb2.ChatResponse
    conversation: tuple[content_pb2.Message, ...]
    size: int
    until: float


class Chats:
    """What runs is found by its name; what was asked to be stored is kept after, bounded in bytes and in time.

    A chat of another tenant does not exist here.
    """

    def __init__(self, clock: Clock, ids: Ids, *, keep_bytes: int, keep_for: float) -> None:
        self._clock = clock
        self._ids = ids
        self._keep_bytes = keep_bytes
        self._keep_for = keep_for
        self._running: dict[str, tuple[str, Running]] = {}
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._kept_bytes = 0

    def open(
        self, tenant: str, request: chat_pb2.ChatRequest, explain: Callable[[MaestroError], status_pb2.Status]
    ) -> "Opened":
        """A new answer, found by its name until its context is left."""
        running = Running(f"chats/{self._ids.new()}", explain, Delivery.of(request))
        return Opened(self, tenant, request, running)

    def begin(self, tenant: str, running: Running) -> None:
        """From now on it is found."""
        self._running[running.chat] = (tenant, running)

    def finish(self, tenant: str, request: chat_pb2.ChatRequest, running: Running) -> None:
        """It is over, and kept if that was asked for."""
        del self._running[running.chat]
        if request.store:
            self._keep(tenant, request, running.fold.response())

    def get(self, tenant: str, chat: str) -> chat_pb2.ChatResponse:
        """The answer so far, or the whole."""
        if running := self._find_running(tenant, chat):
            return running.fold.response()
        return self._find_kept(tenant, chat).response

    async def cancel(self, tenant: str, chat: str, by: str, reason: str) -> chat_pb2.ChatResponse:
        """Stop a running answer; what it was is returned once everything is settled."""
        running = self._find_running(tenant, chat)
        if running is None:
            state = State.Name(self._find_kept(tenant, chat).response.state)
            raise _wrong_state(chat, state, "STATE_RUNNING", "it is over and cannot be cancelled")
        why = f": {reason}" if reason else ""
        running.stop(
            MaestroError(Reason.CANCELLED_BY_OTHER, f"the answer was stopped by another call{why}", metadata={"by": by})
        )
        await running.ended()
        return running.fold.response()

    def delete(self, tenant: str, chat: str) -> None:
        """Forget a kept answer."""
        if self._find_running(tenant, chat):
            raise _wrong_state(chat, "STATE_RUNNING", "any but STATE_RUNNING", "it still runs; cancel it first")
        self._find_kept(tenant, chat)
        self._forget(chat)

    def conversation(self, tenant: str, chat: str) -> tuple[content_pb2.Message, ...]:
        """All that was said up to the end of a kept answer."""
        return self._find_kept(tenant, chat).conversation

    def _find_running(self, tenant: str, chat: str) -> Running | None:
        owner, running = self._running.get(chat, ("", None))
        return running if owner == tenant else None

    def _find_kept(self, tenant: str, chat: str) -> Kept:
        self._expire()
        kept = self._kept.get(chat)
        if kept is None or kept.tenant != tenant:
            raise MaestroError(
                Reason.RESOURCE_NOT_FOUND,
                f"no chat '{chat}': answers are kept only with `store`, and only for a while",
                metadata={"resource": chat},
                resource=Resource("maestro.v1.Chat", chat),
            )
        return kept

    def _keep(self, tenant: str, request: chat_pb2.ChatRequest, response: chat_pb2.ChatResponse) -> None:
        conversation = (*request.messages, *response.messages)
        size = response.ByteSize() + sum(message.ByteSize() for message in conversation)
        if not response.chat or size > self._keep_bytes:
            return
        kept = Kept(tenant, response, conversation, size, self._clock.monotonic() + self._keep_for)
        self._kept[response.chat] = kept
        self._kept_bytes += size
        self._expire()
        while self._kept_bytes > self._keep_bytes:
            self._forget(next(iter(self._kept)))

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._kept:
            chat, oldest = next(iter(self._kept.items()))
            if oldest.until > now:
                return
            self._forget(chat)

    def _forget(self, chat: str) -> None:
        self._kept_bytes -= self._kept.pop(chat).size


class Opened:
    """One answer while it runs; whoever leaves this context early ends it."""

    __slots__ = ("_chats", "_request", "_running", "_tenant")

    def __init__(self, chats: Chats, tenant: str, request: chat_pb2.ChatRequest, running: Running) -> None:
        self._chats = chats
        self._tenant = tenant
        self._request = request
        self._running = running

    async def __aenter__(self) -> Running:
        self._chats.begin(self._tenant, self._running)
        return self._running

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._running.leave()
        finally:
            self._chats.finish(self._tenant, self._request, self._running)


def _wrong_state(chat: str, state: str, allowed: str, sentence: str) -> MaestroError:
    return MaestroError(
        Reason.INVALID_STATE, f"{chat}: {sentence}", metadata={"state": state, "allowed": allowed}, phase="store"
    )
