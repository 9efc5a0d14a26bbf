"""The hot path: check, select, open, attempt, meter."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Literal

import msgspec
from google.rpc import status_pb2

from maestro.v1 import chat_pb2, common_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.base.clock import Clock, duration, seconds, timestamp
from maestro_gateway.base.live import Live
from maestro_gateway.engine.abilities import refuse_missing_features, warnings
from maestro_gateway.engine.ceiling import affordable, ceiling
from maestro_gateway.engine.check import check, set_fields
from maestro_gateway.routing.attempt import Attempts, Trail
from maestro_gateway.routing.catalog import Catalog, Target
from maestro_gateway.routing.select import Selection, select
from maestro_gateway.runs.chats import Chats
from maestro_gateway.runs.running import Running
from maestro_gateway.spend.accounts import Accounts
from maestro_gateway.spend.meter import Ceiling
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.estimate import input_tokens

ChatEvent = chat_pb2.ChatEvent
Explain = Callable[[MaestroError, str], status_pb2.Status]  # the error, the request id

NEVER_SENT: tuple[Literal["stream", "include", "idempotency_key"], ...] = (
    "stream",
    "include",
    "idempotency_key",
)  # how an answer is delivered does not change which answer it is


class Intent(msgspec.Struct, frozen=True):
    """A request that has been understood: who may answer, and what they will not honour."""

    request: chat_pb2.ChatRequest
    selection: Selection
    warnings: Sequence[common_pb2.Warning]
    ceiling: Ceiling | None


class ChatEngine:
    """Answers chat requests: whole, or as a stream of events whose fold is the same answer."""

    def __init__(
        self,
        catalog: Live[Catalog],
        attempts: Attempts,
        accounts: Accounts,
        chats: Chats,
        clock: Clock,
        explain: Explain,
    ) -> None:
        self._catalog = catalog
        self._attempts = attempts
        self._accounts = accounts
        self._chats = chats
        self._clock = clock
        self._explain = explain

    async def complete(self, call: Call, request: chat_pb2.ChatRequest) -> chat_pb2.ChatResponse:
        """The whole answer."""
        intent = self._understand(call, request)
        async with self._open(call, intent) as running:
            with self._ending_in_time(call, request, running):
                await running.play(self._play(call, intent, running))
            if running.error is not None:
                raise running.error
            return running.fold.response()

    async def stream(self, call: Call, request: chat_pb2.ChatRequest) -> AsyncGenerator[ChatEvent]:
        """The events of the answer."""
        intent = self._understand(call, request, streaming=True)
        async with self._open(call, intent) as running:
            running.start(self._play(call, intent, running))
            with self._ending_in_time(call, request, running):
                async with aclosing(running.events()) as events:
                    async for event in events:
                        yield event

    def plan(self, call: Call, request: chat_pb2.ChatRequest) -> chat_pb2.PlanChatResponse:
        """What `complete` would do, up to the point of calling anybody."""
        plan = chat_pb2.PlanChatResponse(request_hash=request_hash(request))
        try:
            intent = self._understand(call, request)
        except MaestroError as error:
            plan.problems.append(self._explain(error, call.request_id))
            plan.estimate.CopyFrom(_estimate(request, request.generation.max_output_tokens))
            return plan
        first, *others = intent.selection.targets
        plan.provider, plan.model = first.provider, first.facts.name
        plan.route.CopyFrom(intent.selection.decision())
        plan.fallback_models.extend(target.name for target in others)
        plan.warnings.extend(intent.warnings)
        asked = request.generation.HasField("max_output_tokens")
        most = request.generation.max_output_tokens if asked else first.facts.max_output_tokens
        plan.estimate.CopyFrom(_estimate(request, most))
        self._accounts.prices.bill(plan.provider, plan.model, plan.estimate)
        return plan

    def count(self, request: chat_pb2.ChatRequest) -> chat_pb2.CountTokensResponse:
        """The tokens of a request."""
        target = self._catalog.value.find(request.model)
        return chat_pb2.CountTokensResponse(
            input_tokens=input_tokens(request),
            source=common_pb2.USAGE_SOURCE_ESTIMATED,
            context_window=target.facts.context_tokens,
        )

    def _understand(self, call: Call, request: chat_pb2.ChatRequest, *, streaming: bool = False) -> Intent:
        """Everything that can be wrong with a request is found here, before anybody is called or anything is spent."""
        fields = set_fields(request)
        check(request, fields)
        refuse_missing_features(request, fields)
        if request.previous_chat:
            said = self._chats.conversation(call.caller.tenant, request.previous_chat)
            messages = [*said, *request.messages]
            del request.messages[:]
            request.messages.extend(messages)
        prices = self._accounts.prices
        selection = affordable(request, select(self._catalog.value, request, streaming=streaming), prices)
        first = selection.targets[0]
        _refuse_overflow(request, first.name, first.facts.context_tokens)
        cut = ceiling(request, selection.targets, prices)
        told = [*emulations(first), *warnings(request, fields, first.facts, first.provider)]
        return Intent(request, selection, told, cut)

    def _open(self, call: Call, intent: Intent) -> AbstractAsyncContextManager[Running]:
        def explain(error: MaestroError) -> status_pb2.Status:
            return self._explain(error, call.request_id)

        return self._chats.open(call.caller.tenant, intent.request, explain)

    async def _play(self, call: Call, intent: Intent, running: Running) -> AsyncGenerator[ChatEvent]:
        """The events of the answer, as the contract has them, paid for. Read it aloud: this is what a chat is."""
        trail = Trail(running.attempts)
        call.chat = call.answer_metadata["x-maestro-chat"] = running.chat
        targets = intent.selection.targets
        async with (
            self._accounts.open(call, partial(input_tokens, intent.request), intent.ceiling) as meter,
            aclosing(self._attempts.play(call, intent.request, targets, trail)) as events,
        ):
            running.usage = meter.usage
            async for event in events:
                meter.observe(event)
                if event.HasField("started"):
                    self._dress(event.started, call, intent, running, trail)
                    yield event
                    for warning in intent.warnings:
                        yield ChatEvent(warning=warning)
                elif event.HasField("usage"):
                    if chat_pb2.CHAT_INCLUDE_INCREMENTAL_USAGE in intent.request.include:
                        yield event
                elif event.HasField("completed"):
                    self._close(event.completed, call, trail, meter.spent())
                    yield ChatEvent(usage=event.completed.usage)
                    yield event
                else:
                    yield event

    def _dress(self, started: chat_pb2.ChatStarted, call: Call, intent: Intent, running: Running, trail: Trail) -> None:
        assert trail.target is not None
        started.chat = running.chat
        started.provider = trail.target.provider
        started.model = started.model or trail.target.facts.name
        started.request_id = call.request_id
        started.route.CopyFrom(intent.selection.decision())
        started.create_time.CopyFrom(timestamp(self._clock.wall()))

    def _close(self, completed: chat_pb2.ChatCompleted, call: Call, trail: Trail, usage: common_pb2.Usage) -> None:
        usage.model_calls = max(1, usage.model_calls)
        completed.usage.CopyFrom(usage)
        completed.attempts.extend(trail.attempts)
        now = self._clock.monotonic()
        completed.timing.total.CopyFrom(duration(now - call.started))
        if trail.first_content is not None:
            completed.timing.first_token.CopyFrom(duration(trail.first_content - call.started))
        completed.state = STATES.get(completed.finish_reason, chat_pb2.ChatResponse.STATE_SUCCEEDED)

    def _ending_in_time(self, call: Call, request: chat_pb2.ChatRequest, running: Running) -> "_Deadline":
        limits = [] if call.deadline is None else [call.deadline - self._clock.monotonic()]
        if request.timeouts.HasField("total"):
            limits.append(seconds(request.timeouts.total) - (self._clock.monotonic() - call.started))
        return _Deadline(min(limits, default=None), running)


STATES = {
    chat_pb2.FINISH_REASON_TOOL_CALLS: chat_pb2.ChatResponse.STATE_AWAITING_TOOLS,
    chat_pb2.FINISH_REASON_AWAITING_APPROVAL: chat_pb2.ChatResponse.STATE_AWAITING_APPROVAL,
}


class _Deadline:
    """Stops the answer when its time is up: the caller's, the request's, or the gateway's own."""

    def __init__(self, after: float | None, running: Running) -> None:
        self._after = after
        self._running = running
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._after is not None:
            self._timer = self._running.loop.call_later(max(0.0, self._after), self._stop)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _stop(self) -> None:
        self._running.stop(
            MaestroError(
                Reason.DEADLINE_EXCEEDED,
                "time ran out before the answer was whole; give the call more time, or ask for less",
                metadata={"phase": "stream"},
                phase="stream",
            )
        )


def emulations(target: Target) -> list[common_pb2.Warning]:
    """What a polyfill does in the model's place, by name."""
    return [
        common_pb2.Warning(
            code="CAPABILITY_EMULATED",
            message=f"{target.name} has no {name} of its own; the gateway lends it",
            field=name,
        )
        for name in (common_pb2.Capability.Name(each).removeprefix("CAPABILITY_") for each in sorted(target.emulated))
    ]


def request_hash(request: chat_pb2.ChatRequest) -> str:
    """The same for requests that ask for the same answer, however it is delivered."""
    canonical = chat_pb2.ChatRequest()
    canonical.CopyFrom(request)
    for field in NEVER_SENT:
        canonical.ClearField(field)
    return hashlib.sha256(canonical.SerializeToString(deterministic=True)).hexdigest()


def _estimate(request: chat_pb2.ChatRequest, output: int) -> common_pb2.Usage:
    """What an answer costs at most, all that was said before included."""
    tokens = input_tokens(request)
    return common_pb2.Usage(
        input_tokens=tokens,
        output_tokens=output,
        total_tokens=tokens + output,
        source=common_pb2.USAGE_SOURCE_ESTIMATED,
    )


def _refuse_overflow(request: chat_pb2.ChatRequest, model: str, context: int) -> None:
    tokens = input_tokens(request) if context else 0
    if tokens > context:
        raise MaestroError(
            Reason.CONTEXT_OVERFLOW,
            f"the prompt has about {tokens} tokens and {model} takes {context}; shorten it",
            metadata={"inputTokens": str(tokens), "contextTokens": str(context), "model": model},
            phase="route",
            model=model,
        )
